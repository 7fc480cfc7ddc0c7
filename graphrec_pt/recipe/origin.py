"""What a run was made from, kept in its folder as ``data.json``: changed data is noticed there.

::

    {"format": 1, "graphrec_pt": "…", "graph": fingerprint, "raw": folder that --raw named, or null,
     "files": {name: {"bytes": n, "modified": nanoseconds, "sha256": "…"}}}
"""

import json
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any

from graphrec_pt import __version__
from graphrec_pt.core.documents import read_json_object
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import write_text
from graphrec_pt.data.card import Card, load_card
from graphrec_pt.data.raw import find_files
from graphrec_pt.recipe.recipe import Data

FORMAT = 1
ORIGIN = "data.json"


def write_origin(
    out: Path, data: Data, fingerprint: str, raw: str | Path | None, *, given: bool
) -> None:
    """Note in the folder of a run what it is made from.

    Args:
        out: Folder of the run.
        data: Of the recipe.
        fingerprint: Of the graph.
        raw: Folder of raw files, where the graph was built from some.
        given: Whether the user named that folder, so that the run goes on with it.
    """
    record = {
        "format": FORMAT,
        "graphrec_pt": __version__,
        "graph": fingerprint,
        "raw": str(Path(raw).resolve()) if raw is not None and given else None,
        "files": {name: _stamp(path) for name, path in _files(data, raw).items()},
    }
    write_text(out / ORIGIN, json.dumps(record, indent=1) + "\n")


def read_origin(out: Path) -> dict[str, Any] | None:
    """Return what a run was made from; None where its folder does not say so.

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
    if not isinstance(record.get("files"), dict):
        raise GraphRecError(f"{path} files", "the raw files of a run", repr(record.get("files")))
    return record


def kept_raw(out: Path) -> Path | None:
    """Return the folder that ``--raw`` named for a run; None where it named none."""
    record = read_origin(out)
    raw = None if record is None else record.get("raw")
    return Path(raw) if isinstance(raw, str) else None


def check_files(out: Path, data: Data, raw: str | Path | None) -> None:
    """Raise when a raw file changed since a run began; files that are all absent say nothing.

    Args:
        out: Folder of the run.
        data: Of its recipe.
        raw: Folder where its raw files are now.

    Raises:
        GraphRecError: Names the first file that changed, came or went.
    """
    record = read_origin(out)
    now = {} if record is None else _files(data, raw)
    if record is None or not now:
        return
    saved: Mapping[str, Any] = record["files"]
    for name in sorted(saved.keys() | now.keys()):
        if name not in now:
            raise _changed(out, f"{name} is gone")
        if name not in saved:
            raise _changed(out, f"{name} is new")
        if not _same(now[name], saved[name]):
            raise _changed(out, f"{name} has changed since")


def check_graph(out: Path, fingerprint: str, before: str | None = None) -> None:
    """Raise when the graph of a run is not the one that it began with.

    Args:
        out: Folder of the run.
        fingerprint: Of the graph of today.
        before: Of the graph of the run, where its folder has no record.

    Raises:
        GraphRecError: Then.
    """
    record = read_origin(out)
    known = before if record is None else record["graph"]
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
    own = Path(data.card)
    found = {f"card {own.name}": own} if own.is_file() else {}
    if raw is None or not Path(raw).exists():
        return found
    folder = Path(raw)
    for path in _raw_files(load_card(data.card), folder):
        found[path.relative_to(folder).as_posix() if folder.is_dir() else path.name] = path
    return found


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


def _stamp(path: Path) -> dict[str, Any]:
    state = path.stat()
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return {"bytes": state.st_size, "modified": state.st_mtime_ns, "sha256": digest}


def _same(path: Path, saved: Mapping[str, Any]) -> bool:
    """Say whether a file is what it was; its content is read only when its times are others."""
    state = path.stat()
    if state.st_size != saved["bytes"]:
        return False
    same_time = bool(state.st_mtime_ns == saved["modified"])
    return same_time or bool(_stamp(path)["sha256"] == saved["sha256"])
