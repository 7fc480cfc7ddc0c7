"""The origin of a run's data, kept as ``data.json`` in its folder to detect changed data.

::

    {"format": 1, "graphrec_pt": "…", "graph": fingerprint, "raw": folder that --raw named, or null,
     "files": {name: {"bytes": n, "modified": nanoseconds, "sha256": "…"}}}
"""

import json
from hashlib import file_digest
from pathlib import Path

from graphrec_pt.core.documents import read_json_object
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import write_text
from graphrec_pt.core.version import __version__
from graphrec_pt.data.card import Card, load_card
from graphrec_pt.data.raw import find_files
from graphrec_pt.graph.schema import Strict
from graphrec_pt.recipe.recipe import Data

FORMAT = 1
ORIGIN = "data.json"


class FileStamp(Strict):
    """Size, time and digest of a file when a run began.

    Args:
        bytes: Its size.
        modified: Its time, in nanoseconds.
        sha256: Of its content.
    """

    bytes: int
    modified: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileStamp":
        """Return the stamp of a file as it is now."""
        state = path.stat()
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        return cls(bytes=state.st_size, modified=state.st_mtime_ns, sha256=digest)

    def fits(self, path: Path) -> bool:
        """Return whether a file is unchanged; its content is read only when its time changed."""
        state = path.stat()
        if state.st_size != self.bytes:
            return False
        return state.st_mtime_ns == self.modified or FileStamp.of(path).sha256 == self.sha256


class Origin(Strict):
    """The graph and files that a run was made from.

    Args:
        format: Format of the record.
        graphrec_pt: The version that wrote it.
        graph: Fingerprint of the whole graph.
        raw: Folder of raw files that the user named; None where they were downloaded, or where
            there are none.
        files: Files of the user's card, and of the raw files by their names in that folder.
    """

    format: int
    graphrec_pt: str
    graph: str
    raw: str | None
    files: dict[str, FileStamp]


def write_origin(
    out: Path, data: Data, fingerprint: str, raw: str | Path | None, *, given: bool
) -> None:
    """Write the origin of a run into its folder.

    Args:
        out: Folder of the run.
        data: Data of the recipe.
        fingerprint: Fingerprint of the graph.
        raw: Folder of raw files, where the graph was built from some.
        given: Whether the user named that folder, so that the run goes on with it.
    """
    origin = Origin(
        format=FORMAT,
        graphrec_pt=__version__,
        graph=fingerprint,
        raw=str(Path(raw).resolve()) if raw is not None and given else None,
        files={name: FileStamp.of(path) for name, path in _files(data, raw).items()},
    )
    write_text(out / ORIGIN, json.dumps(origin.model_dump(mode="json"), indent=1) + "\n")


def read_origin(out: Path) -> Origin | None:
    """Return the origin of a run; None where its folder has no record.

    Raises:
        GraphRecError: For a record that cannot be read, or that another version wrote.
    """
    path = out / ORIGIN
    try:
        record = read_json_object(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise GraphRecError(str(path), "the record of the data of a run", error) from error
    if record.get("format") != FORMAT:
        raise GraphRecError(str(path), f"data record format {FORMAT}", record.get("format"))
    return Origin.checked(record, str(path))


def kept_raw(out: Path) -> Path | None:
    """Return the folder that ``--raw`` named for a run; None where it named none."""
    origin = read_origin(out)
    return None if origin is None or origin.raw is None else Path(origin.raw)


def check_files(out: Path, data: Data, raw: str | Path | None) -> None:
    """Raise when a raw file changed since a run began; a missing folder raises nothing.

    Args:
        out: Folder of the run.
        data: Data of its recipe.
        raw: Folder where its raw files are now.

    Raises:
        GraphRecError: Names the first file that changed, came or went.
    """
    origin = read_origin(out)
    if origin is None:
        return
    saved, now = origin.files, _files(data, raw)
    if raw is None or not Path(raw).exists():
        saved = {name: stamp for name, stamp in saved.items() if name in now}
    for name in sorted(saved.keys() | now.keys()):
        if name not in now:
            raise _changed(out, f"{name} is gone")
        if name not in saved:
            raise _changed(out, f"{name} is new")
        if not saved[name].fits(now[name]):
            raise _changed(out, f"{name} has changed since")


def check_graph(out: Path, fingerprint: str, before: str | None = None) -> None:
    """Raise when the graph of a run is not the one that it began with.

    Args:
        out: Folder of the run.
        fingerprint: Fingerprint of the graph of today.
        before: Fingerprint of the graph of the run, where its folder has no record.

    Raises:
        GraphRecError: Then.
    """
    origin = read_origin(out)
    known = before if origin is None else origin.graph
    if known is not None and known != fingerprint:
        raise _changed(out, f"another graph ({known[:8]} before, {fingerprint[:8]} now)")


def _changed(out: Path, got: str) -> GraphRecError:
    hint = "another --out for the data of today"
    if (out / "model").is_dir():
        hint += f", with start={out / 'model'} to begin with this model"
    return GraphRecError(str(out), "the data that the run began with", got, hint)


def _files(data: Data, raw: str | Path | None) -> dict[str, Path]:
    """Return the files that a recipe's graph is built from, by name: the user's card, raw files."""
    if data.card is None:
        return {}
    card = Path(data.card)
    files = {f"card {card.name}": card} if card.is_file() else {}
    if raw is None or not Path(raw).exists():
        return files
    folder = Path(raw)
    for path in _raw_files(load_card(data.card), folder):
        files[path.relative_to(folder).as_posix() if folder.is_dir() else path.name] = path
    return files


def _raw_files(card: Card, raw: Path) -> list[Path]:
    paths: dict[Path, None] = {}
    for table in card.tables.values():
        for layout in (table, *table.or_else):
            names = (layout.file,) if isinstance(layout.file, str) else layout.file or ()
            files = [file.path for name in names for file in find_files(raw, name)]
            paths |= dict.fromkeys(files)
            if files:
                break
    return list(paths)
