"""Raw files: plain, compressed, or members of zip and tar archives.

The first bytes of a file decide how it is compressed; its name does not matter.

Archives are read as streams and never unpacked, so a member cannot write anywhere. An archive with
a member whose name points outside its folder is refused as well.
"""

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatch
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import pyarrow as pa

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.copies import distinct, without_copies

EVERYWHERE = "**/"
ARCHIVES = (".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
MAGIC = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
FOREIGN = {
    b"PAR1": ("a Parquet file", "renaming it to end in .parquet"),
    b"ARROW1": ("an Arrow file", "renaming it to end in .arrow"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "saving it as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "saving it as CSV"),
    b"SQLite format 3": ("an SQLite database", "exporting the table as CSV"),
}
"""First bytes of files that are no text: what they are, and what to do."""
DAMAGED = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    pa.ArrowException,
)


@dataclass(frozen=True)
class RawFile:
    """One raw file, on disk or in an archive.

    Args:
        path: The file, or the archive that holds it.
        member: Name inside the archive; None for a plain or compressed file.
    """

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """Name of the file in errors, without the suffix of its compression."""
        name = PurePosixPath(self.member or self.path.name).name
        return name.removesuffix(next((e for e in COMPRESSED if name.lower().endswith(e)), ""))

    @property
    def plain(self) -> bool:
        """Whether the file can be read in place."""
        if self.member is not None:
            return False
        with self.path.open("rb") as stream:
            return _compression(stream.read(16)) is None

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
        except (*DAMAGED, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # an error of the disk, not of the content
            raise GraphRecError(
                self.path.name, "a complete compressed file", error, "downloading it again"
            ) from error
        except (RuntimeError, NotImplementedError) as error:  # encrypted members
            if self.member is None:
                raise
            raise GraphRecError(
                self.path.name, "an archive without a password", error, "unpacking it by hand"
            ) from error

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
                    if number == 1 and isinstance(line, bytes):
                        line = _unmarked(self.name, line, encoding)
                    text = line if isinstance(line, str) else line.decode(encoding)
                    yield number, text.removeprefix("\ufeff") if number == 1 else text
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
            part = scratch / f".{copy.name}"
            with self.open() as stream, part.open("wb") as out:
                shutil.copyfileobj(stream, out, 1 << 20)
            part.replace(copy)
        return copy

    def utf8(self, scratch: Path, encoding: str = "utf-8", *, unmarked: bool = False) -> Path:
        """Return a plain UTF-8 file with the content, in `scratch` if it must be written anew.

        Args:
            scratch: Folder for copies.
            encoding: Encoding of the file.
            unmarked: Whether a byte-order mark must be removed.

        Raises:
            GraphRecError: At the first line that is not text in this encoding.
        """
        path = self.local(scratch)
        if encoding.lower().replace("-", "") in ("utf8", "ascii"):
            with path.open("rb") as stream:
                start = stream.read(16)
            if _unmarked(self.name, start, encoding) == start or not unmarked:
                return path
        copy = scratch / f"utf8-{abs(hash((self.path, self.member, encoding))):x}-{self.name}"
        if not copy.exists():
            with copy.open("w", encoding="utf-8", newline="") as out:
                out.writelines(text for _, text in self.texts(encoding))
        return copy

    def _check_readable(self) -> None:
        if not os.access(self.path, os.R_OK):
            raise GraphRecError(str(self.path), "a file that may be read", "no permission")


def find_files(folder: Path, pattern: str, copies: list[str] | None = None) -> list[RawFile]:
    """Find the files that match `pattern`: in the folder, below it, or inside its archives.

    A plain file wins over its compressed copy, a file near the top over one deeper down, and any
    file over archive members. Members of several archives are all returned. The one member of
    ``NAME.zip`` serves as ``NAME`` under any name.

    Args:
        folder: The raw folder, or a single file or archive.
        pattern: Name or glob pattern, with ``/`` between folders; ``**/`` before it finds the
            files of all depths.
        copies: A sentence is added for every copy of a file, which is left out; see
            :mod:`graphrec_pt.data.copies`.

    Raises:
        GraphRecError: When an archive on the way is damaged or holds unsafe names.
    """
    paths = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    base = folder.parent if folder.is_file() else folder

    def place(path: Path) -> str:
        return path.relative_to(base).as_posix()

    archives = [p for p in paths if p.name.lower().endswith(ARCHIVES)]
    spellings = (pattern, *(pattern + ending for ending in COMPRESSED))
    for wanted in spellings:
        near = [
            p
            for p in paths
            if p not in archives and _matches(p.relative_to(folder.parent).as_posix(), wanted)
        ]
        if near:
            depth = min(len(p.parts) for p in near)
            level = {p for p in near if len(p.parts) == depth or pattern.startswith(EVERYWHERE)}
            packed_too = {p.with_name(p.name + end) for p in level for end in COMPRESSED}
            level |= packed_too & set(paths)
            single = without_copies(sorted(level), place, copies)
            everywhere = pattern.startswith(EVERYWHERE)  # equal files of two folders are both meant
            return [RawFile(p) for p in (single if everywhere else distinct(single, copies))]
    packed = []
    for archive in without_copies(archives, place, copies):
        names = without_copies(archive_members(archive), str, copies)
        for wanted in spellings:
            members = [RawFile(archive, name) for name in names if _matches(name, wanted)]
            if members:
                packed += members
                break
        else:
            whole = archive.relative_to(folder.parent).as_posix()
            named = _matches(whole, pattern) or _matches(whole.rpartition(".")[0], pattern)
            if named and len(names) == 1:
                packed.append(RawFile(archive, names[0]))
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
    except (*DAMAGED, OSError) as error:
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
    return fnmatch("/" + name, "*/" + pattern.removeprefix(EVERYWHERE))


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        stream: BinaryIO
        if member is None:
            stream = stack.enter_context(path.open("rb"))
        elif path.suffix.lower() in (".zip", ".whl"):
            zipped = stack.enter_context(zipfile.ZipFile(path))
            stream = stack.enter_context(cast(BinaryIO, zipped.open(member)))
        else:
            held = stack.enter_context(tarfile.open(path)).extractfile(member)
            stream = stack.enter_context(cast(BinaryIO, held))  # archive_members lists files only
        made = stack.enter_context(_decompressed(stream))
        if made is not stream or member is not None:
            name = PurePosixPath(member or path.name).name
            made = cast(BinaryIO, Expanded(made, path.stat().st_size, name))
        yield made


def _decompressed(stream: BinaryIO) -> BinaryIO:
    kind = _compression(cast(io.BufferedReader, stream).peek(16)[:16])
    if kind == "gzip":
        return cast(BinaryIO, gzip.open(stream))
    if kind == "bz2":
        return cast(BinaryIO, bz2.open(stream))
    if kind == "xz":
        return cast(BinaryIO, lzma.open(stream))
    if kind == "zstd":
        return cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(stream, kind)))
    return stream


def _compression(start: bytes) -> str | None:
    if start[:3] == b"BZh" and start[4:10] == b"1AY&SY":
        return "bz2"
    return next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)


def _unmarked(name: str, line: bytes, encoding: str) -> bytes:
    """Return the first line of a file without its byte-order mark; raise if it is not text."""
    for magic, (what, hint) in FOREIGN.items():
        if line.startswith(magic):
            raise GraphRecError(name, "text", what, hint)
    utf8 = encoding.lower().replace("-", "").replace("_", "") in ("utf8", "ascii", "utf8sig")
    if line.startswith(BOM_UTF8):
        if not utf8:
            hint = "leaving `encoding` out of the card"
            raise GraphRecError(f"{name}:1", f"{encoding} text", "utf-8, by its first bytes", hint)
        return line[len(BOM_UTF8) :]
    if line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        hint = "`encoding: utf-16` in the card, or saving it as UTF-8"
        raise GraphRecError(f"{name}:1", f"{encoding} text", "utf-16", hint)
    return line


RATIO = 200
"""Largest ratio of decompressed to compressed size; text of data sets grows 3 to 30 times."""
FREE = 256 << 20
"""Decompressed bytes that are always allowed, for any compressed size."""

_ratio: ContextVar[int] = ContextVar("expansion", default=RATIO)


@contextmanager
def expanding(ratio: int) -> Iterator[None]:
    """Allow compressed files to grow to `ratio` times their size inside the block.

    Args:
        ratio: Instead of :data:`RATIO`.
    """
    before = _ratio.set(ratio)
    try:
        yield
    finally:
        _ratio.reset(before)


class Expanded(BufferedIOBase):
    """A decompressed stream that ends with an error when it has grown too large.

    Args:
        stream: Decompressed bytes.
        packed: Bytes of the compressed file.
        who: Name of the file in errors.
    """

    def __init__(self, stream: BinaryIO, packed: int, who: str) -> None:
        self._stream, self._who = stream, who
        self._most = max(FREE, _ratio.get() * packed)
        self._left = self._most

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises:
            GraphRecError: When there are more than the file may have.
        """
        wanted = self._left + 1 if size is None or size < 0 else min(size, self._left + 1)
        return self._counted(self._stream.read(wanted))

    def read1(self, size: int = -1, /) -> bytes:
        """Return some of the next bytes; see :meth:`read`."""
        return self.read(1 << 16 if size < 0 else size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line; see :meth:`read`."""
        wanted = self._left + 1 if size is None or size < 0 else min(size, self._left + 1)
        return self._counted(self._stream.readline(wanted))

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            expected = f"at most {self._most >> 20:,} MiB when decompressed"
            hint = "decompressing it yourself, or expanding(ratio) if you know what it is"
            raise GraphRecError(self._who, expected, "more", hint)
        return content
