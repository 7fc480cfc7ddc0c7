"""Detection of copies of a raw file in the same folder, which would count every row twice.

Copies are: a plain file beside its ``.gz``; files of editors, browsers, backups and sync programs
(``x.csv.bak``, ``x.csv~``, ``x (1).csv``, ``._x.csv``); and identical files of one name in two
folders. A file whose name looks like a copy is read if the original is absent.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import TypeVar

File = TypeVar("File")
PACKED = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".tbz2", ".txz", ".tar", ".zip")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".br", ".lz4", ".z")
NEVER_DATA = re.compile(
    r"\._.*|\.#.*|#.*#|~\$.*|\.~.*|\..*\.sw[a-p]|\.ds_store|thumbs\.db|__macosx"
)
"""Names that no data set has: what macOS, editors and office programs keep beside a file."""
AT_THE_END = re.compile(
    r"(~|\.~\d+~|[._-](bak|bck|back|backup|old|orig|original|prev|previous|save|saved|tmp|temp|copy)"
    r"[._-]?\d*|\.(part|partial|crdownload|download|rej|sw[a-p])|\.sync-conflict-[\w-]+"
    + "".join(rf"|(?<=\.[a-z]{{{length}}})\.\d{{1,3}}" for length in range(2, 9))  # x.csv.1
    + ")$"
)
IN_THE_NAME = re.compile(
    r"( ?\(\d+\)|[ ._-]+(copy|kopie|copie)( ?\(?\d+\)?)?|[ ._-]+(bak|backup|old|orig|prev)\d*"
    r"|[ ._-]*\([^()]*conflict[^()]*\)|[._-]sync-conflict-[\w-]+|[ ._-]conflict(ed)?[ \w-]*)$"
)
IN_FRONT = re.compile(r"^(copy( \(?\d+\)?)? of |kopie von |copie de |backup[ _-]of[ _-])")


def without_copies(
    files: Iterable[File], place: Callable[[File], str], notes: list[str] | None = None
) -> list[File]:
    """Return the files without copies of other files in the list, in their order.

    Args:
        files: Files that one pattern of a card found.
        place: Returns the path of a file, with ``/`` between folders; equal paths do not occur.
        notes: Receives a sentence for every file that is left out.
    """
    listed = {place(file): file for file in files}
    kept: dict[str, str] = {}  # path without a compression → the path that is read
    for path in sorted(listed, key=lambda path: (_plain(path) != path, path)):
        if any(NEVER_DATA.fullmatch(part.lower()) for part in PurePosixPath(path).parts):
            _tell(notes, path, "what an editor or a system leaves behind")
        elif (first := kept.setdefault(_plain(path), path)) != path:
            _tell(notes, path, "a copy", first)
    lower = {path.lower(): path for path in kept}
    for path in list(kept):
        original = next((lower[name] for name in _originals(path.lower()) if name in lower), None)
        if original is not None:
            _tell(notes, kept.pop(path), "by its name a copy", original)
    read = set(kept.values())
    return [file for path, file in listed.items() if path in read]


def distinct(files: Sequence[Path], notes: list[str] | None = None) -> list[Path]:
    """Return the files of which no earlier one has the same name and the same bytes."""
    kept: list[Path] = []
    first: dict[tuple[str, int], list[Path]] = {}
    digests: dict[Path, bytes] = {}
    for path in files:
        alike = first.setdefault((path.name, path.stat().st_size), [])
        same = [other for other in alike if _digest(other, digests) == _digest(path, digests)]
        if same and path.stat().st_size:
            _tell(notes, path.as_posix(), "byte for byte a copy", same[0].as_posix())
        else:
            alike.append(path)
            kept.append(path)
    return kept


def _originals(path: str) -> list[str]:
    """Return the possible originals of a path: the path with the copy marks of a part removed."""
    parts = PurePosixPath(path).parts
    cleaned = [_unmarked(part) for part in parts]
    names = [
        "/".join((*parts[:at], cleaned[at], *parts[at + 1 :]))
        for at in range(len(parts))
        if cleaned[at] != parts[at]
    ]
    return [name.removeprefix("/") if not path.startswith("/") else name for name in names]


def _unmarked(name: str) -> str:
    """Return a name without all its copy marks."""
    while True:
        before = name
        name = _plain(IN_FRONT.sub("", AT_THE_END.sub("", name)))
        stem, dot, ending = name.partition(".")
        cut = IN_THE_NAME.sub("", stem)
        last, point, suffix = name.rpartition(".")
        if cut and cut != stem:
            name = cut + dot + ending
        elif point and (cut := IN_THE_NAME.sub("", last)) and cut != last:
            name = cut + point + suffix
        if name == before or not name:
            return before


def _plain(path: str) -> str:
    """Return a path without the ending of a compression."""
    ending = next((end for end in (*PACKED, *COMPRESSED) if path.lower().endswith(end)), "")
    return path[: len(path) - len(ending)] if path != ending else path


def _digest(path: Path, known: dict[Path, bytes]) -> bytes:
    if path not in known:
        digest = blake2b()
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        known[path] = digest.digest()
    return known[path]


def _tell(notes: list[str] | None, path: str, why: str, original: str | None = None) -> None:
    if notes is None:
        return
    shown, other = PurePosixPath(path), PurePosixPath(original or "")
    length = 1 if shown.name != other.name else 2  # the folder too, where the names are the same
    name, of = ("/".join(path_of.parts[-length:]) for path_of in (shown, other))
    notes.append(f"{name} was left out: {why}" + (f" of {of}" if original else ""))
