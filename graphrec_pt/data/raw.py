"""Raw files as a user has them: plain, gzipped, or members of zip and tar archives.

Archives are read as streams and never unpacked, so a member cannot write anywhere; one whose
name points outside its folder is refused all the same.
"""

import gzip
import io
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.copies import distinct, without_copies

ARCHIVES = (".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class RawFile:
    """One raw file, wherever it lies.

    Args:
        path: The file, or the archive that holds it.
        member: Name inside the archive; None for a plain or gzipped file.
    """

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """What errors call it, without ``.gz``."""
        return PurePosixPath(self.member or self.path.name).name.removesuffix(".gz")

    @property
    def plain(self) -> bool:
        """Whether it can be read in place."""
        return self.member is None and self.path.suffix != ".gz"

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open for reading, decompressed.

        Raises:
            GraphRecError: When the file is truncated or damaged.
        """
        self._check_readable()
        try:
            with _opened(self.path, self.member) as stream:
                yield stream
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError) as e:
            raise GraphRecError(
                self.path.name, "a complete compressed file", e, "downloading it again"
            ) from e

    def lines(self, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
        """Yield (line number from 1, line without its end).

        Raises:
            GraphRecError: At the first line that is not text in this encoding.
        """
        for number, text in self.texts(encoding):
            yield number, text.rstrip("\r\n")

    def texts(self, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
        """Yield (line number from 1, line with its end).

        Raises:
            GraphRecError: At the first line that is not text in this encoding.
        """
        number = 0
        with self.open() as stream:
            # Only these two families have lines that are more than bytes up to a newline.
            wide = encoding.lower().startswith(("utf-16", "utf16", "utf-32", "utf32"))
            decoded = io.TextIOWrapper(stream, encoding, newline="\n") if wide else None
            lines: Iterable[str | bytes] = stream if decoded is None else decoded
            try:
                for number, line in enumerate(lines, 1):
                    yield number, line if isinstance(line, str) else line.decode(encoding)
            except UnicodeDecodeError as error:
                raise GraphRecError(
                    f"{self.name}:{number + bool(wide)}",
                    f"{encoding} text",
                    f"byte 0x{error.object[error.start]:02x}",
                    "`encoding: latin1` in the card",
                ) from error
            except LookupError as error:
                raise GraphRecError(
                    self.name, "a known text encoding", repr(encoding), "`encoding: latin1`"
                ) from error
            finally:
                if decoded is not None:
                    decoded.detach()

    def local(self, scratch: Path) -> Path:
        """Return a plain file with the content, decompressed into `scratch` if need be."""
        if self.plain:
            self._check_readable()
            return self.path
        copy = scratch / f"{abs(hash((self.path, self.member))):x}-{self.name}"
        if not copy.exists():
            with self.open() as stream, copy.open("wb") as out:
                shutil.copyfileobj(stream, out, 1 << 20)
        return copy

    def _check_readable(self) -> None:
        if not os.access(self.path, os.R_OK):
            raise GraphRecError(str(self.path), "a file that may be read", "no permission")


def find_files(folder: Path, pattern: str, copies: list[str] | None = None) -> list[RawFile]:
    """Find what a card calls `pattern`: in the folder, below it, or inside its archives.

    A plain file wins over its ``.gz``, a file near the top over one deeper down, and any file
    over archive members. Members of several archives are all returned.

    Args:
        folder: The raw folder, or a single file or archive.
        pattern: Name or glob pattern, with ``/`` between folders.
        copies: A sentence is added for every copy of a file, which is left out; see
            :mod:`graphrec_pt.data.copies`.

    Raises:
        GraphRecError: When an archive on the way is damaged or holds unsafe names.
    """
    paths = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    base = folder.parent if folder.is_file() else folder

    def place(path: Path) -> str:
        return path.relative_to(base).as_posix()

    for wanted in (pattern, pattern + ".gz"):
        near = [p for p in paths if _matches(p.relative_to(folder.parent).as_posix(), wanted)]
        if near:
            depth = min(len(p.parts) for p in near)
            level = {p for p in near if len(p.parts) == depth}
            level |= {p.with_name(p.name + ".gz") for p in level} & set(paths)
            single = without_copies(sorted(level), place, copies)
            return [RawFile(p) for p in distinct(single, copies)]
    packed = []
    archives = (p for p in paths if p.name.lower().endswith(ARCHIVES))
    for archive in without_copies(archives, place, copies):
        names = without_copies(archive_members(archive), str, copies)
        for wanted in (pattern, pattern + ".gz"):
            members = [RawFile(archive, name) for name in names if _matches(name, wanted)]
            if members:
                packed += members
                break
    return packed


def archive_members(archive: Path) -> list[str]:
    """List the files of a zip or tar archive.

    Raises:
        GraphRecError: When it is damaged, or a member's name points outside its folder.
    """
    try:
        if archive.suffix.lower() in (".zip", ".whl"):
            with zipfile.ZipFile(archive) as zipped:
                names = [i.filename for i in zipped.infolist() if not i.is_dir()]
        else:
            with tarfile.open(archive) as tarred:
                names = [m.name for m in tarred.getmembers() if m.isfile()]
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise GraphRecError(
            archive.name, "a complete archive", error, "downloading it again"
        ) from error
    for name in names:
        if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts:
            raise GraphRecError(
                archive.name, "members inside the archive's own folder", repr(name), "another copy"
            )
    return sorted(names)


def _matches(name: str, pattern: str) -> bool:
    return fnmatch("/" + name, "*/" + pattern)


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[BinaryIO]:
    if member is None:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as plain:
            yield cast(BinaryIO, plain)
    elif path.suffix.lower() in (".zip", ".whl"):
        with zipfile.ZipFile(path) as zipped, zipped.open(member) as zip_member:
            yield from _unzipped(cast(BinaryIO, zip_member), member)
    else:
        with tarfile.open(path) as tarred:
            tar_member = tarred.extractfile(member)
            assert tar_member is not None  # archive_members lists files only
            yield from _unzipped(cast(BinaryIO, tar_member), member)


def _unzipped(stream: BinaryIO, member: str) -> Iterator[BinaryIO]:
    if member.endswith(".gz"):
        with gzip.open(stream) as inner:
            yield cast(BinaryIO, inner)
    else:
        yield stream
