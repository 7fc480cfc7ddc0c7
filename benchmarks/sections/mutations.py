"""Damage to files and folders, as disks, careless tools and malicious authors do it."""

import json
import math
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphrec_pt.core.documents import digest_of

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    10**30,
    -0.5,
    1e308,
    math.nan,
    math.inf,
    "",
    "../../etc/passwd",
    "/etc/passwd",
    "a\x00b",
    "[/bold]\x1b[31m",
    "\u202e",
    "x" * 5000,
    [],
    {},
    [[]],
    {"name": "os.system"},
    ["a", 1],
    [None],
)
"""Values that stand where others are expected."""
TEXTS = (b"NaN", b"inf", b"-1", b"1e999", b"\x00", b"\xff\xfe", b"\\", b"\r", b"\n\n", b"[" * 99)


def bit_flip(raw: bytes, draw: random.Random) -> bytes:
    """Flip a bit, of the header more often than not."""
    changed = bytearray(raw or b"\0")
    end = len(changed) if draw.random() < 0.5 else min(len(changed), 400)
    changed[draw.randrange(end)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(raw: bytes, draw: random.Random) -> bytes:
    """Lose the end, or the beginning."""
    at = draw.randrange(len(raw) + 1)
    return raw[:at] if draw.random() < 0.7 else raw[at:]


def longer(raw: bytes, draw: random.Random) -> bytes:
    """Repeat a part, or add zeros."""
    at = draw.randrange(len(raw) + 1)
    return raw[:at] + (raw[at : at + 64] or bytes(8)) + raw[at:] if draw.random() < 0.7 else raw * 2


def number(raw: bytes, draw: random.Random) -> bytes:
    """Write an odd number of four or eight bytes over something."""
    value = draw.choice([-1, 0, 2**31 - 1, -(2**31), 7, 10**9])
    word = draw.choice([struct.pack("<i", value), struct.pack("<q", value * 2**31)])
    at = draw.randrange(max(len(raw) - len(word), 1)) // 4 * 4
    return raw[:at] + word + raw[at + len(word) :]


def text(raw: bytes, draw: random.Random) -> bytes:
    """Put an odd text somewhere, or swap two lines."""
    lines = raw.split(b"\n")
    if len(lines) > 2 and draw.random() < 0.3:
        one, two = draw.randrange(len(lines)), draw.randrange(len(lines))
        lines[one], lines[two] = lines[two], lines[one]
        return b"\n".join(lines)
    at = draw.randrange(len(raw) + 1)
    return raw[:at] + draw.choice(TEXTS) + raw[at + draw.choice([0, 0, 1, 5]) :]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (bit_flip, cut, longer, number, text)


def odd_value(content: Any, draw: random.Random) -> Any:
    """Return a JSON value with one place changed: another value, key, order, or deep nesting."""
    places = [(content, key) for content, key in _places(content)]
    if not places:
        return draw.choice(ODD)
    holder, key = draw.choice(places)
    how = draw.randrange(6)
    if how == 0 and isinstance(holder, dict):
        holder[draw.choice(["", "extra", "../x", "\x1b"])] = holder.pop(key)
    elif how == 1:
        del holder[key]
    elif how == 2:
        other, place = draw.choice(places)
        holder[key] = json.loads(json.dumps(other[place])) if place in _keys(other) else None
    elif how == 3 and isinstance(holder[key], int | float):
        holder[key] = draw.choice([holder[key] + 1, -holder[key], holder[key] * 10**9, 0.5])
    elif how == 4 and draw.random() < 0.2:
        deep: Any = holder[key]
        for _ in range(draw.choice([50, 500])):
            deep = [deep]
        holder[key] = deep
    else:
        holder[key] = draw.choice(ODD)
    return content


def _keys(holder: Any) -> Any:
    return range(len(holder)) if isinstance(holder, list) else holder


def _places(content: Any) -> list[tuple[Any, Any]]:
    found, open_ = [], [content]
    while open_:
        holder = open_.pop()
        if isinstance(holder, dict | list):
            for key in _keys(holder):
                found.append((holder, key))
                open_.append(holder[key])
    return found


def damage_folder(folder: Path, other: Path, draw: random.Random) -> tuple[str, bool]:
    """Damage a folder once.

    Args:
        folder: Is changed.
        other: A folder of the same kind, whose files may be swapped in.
        draw: Decides how.

    Returns:
        What was done, and whether the digests were made to fit, as a forger would.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = draw.choice(files)
    name, how = path.relative_to(folder).as_posix(), draw.random()
    if path.suffix == ".json" and how < 0.6:
        content = odd_value(json.loads(path.read_text()), draw)
        forged = draw.random() < 0.5
        if forged and isinstance(content, dict):
            content.pop("digest", None)
            content.pop("checksums", None)
            content["digest"] = digest_of(content)
        path.write_text(json.dumps(content))
        return f"odd value in {name}", forged
    if how < 0.7:
        mutate = draw.choice(BYTES)
        before = path.read_bytes()
        path.write_bytes(mutate(before, draw))
        forged = draw.random() < 0.4
        if forged:
            unseal(folder)
        return f"{mutate.__name__} in {name}", forged
    return _rearranged(folder, other, path, name, draw), False


def _rearranged(folder: Path, other: Path, path: Path, name: str, draw: random.Random) -> str:
    how = draw.randrange(7)
    if how == 0:
        path.unlink()
        return f"{name} lost"
    if how == 1 and (other / name).is_file():
        shutil.copyfile(other / name, path)
        return f"{name} of another one"
    if how == 2:
        (path.parent / draw.choice(["extra.npy", ".hidden", "copy.json"])).write_bytes(b"\0")
        return f"something beside {name}"
    if how == 3:
        path.unlink()
        path.symlink_to(draw.choice(["/etc/passwd", "/dev/zero", "/dev/null", str(other / name)]))
        return f"{name} a link outside"
    if how == 4:
        path.unlink()
        path.mkdir()
        return f"{name} a folder"
    if how == 5:
        again = path.read_bytes()
        path.unlink()
        path.write_bytes(again)
        return f"{name} written again"
    partner = draw.choice([each for each in path.parent.iterdir() if each.is_file()])
    one, two = path.read_bytes(), partner.read_bytes()
    path.write_bytes(two)
    partner.write_bytes(one)
    return f"{name} and {partner.name} swapped"


def unseal(folder: Path) -> None:
    """Take every digest and checksum out of a folder: nothing but its numbers can be checked."""
    for path in folder.rglob("*.json"):
        try:
            content = json.loads(path.read_text())
        except ValueError:
            continue
        if isinstance(content, dict):
            for key in ("digest", "checksums"):
                content.pop(key, None)
            if path.name == "metrics.json":
                content.pop("files", None)
            if path.name == "config.json" and isinstance(content.get("files"), dict):
                content["files"] = {name: _sha256(path.parent / name) for name in content["files"]}
            path.write_text(json.dumps(content))


def _sha256(path: Path) -> str:
    from hashlib import sha256

    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
