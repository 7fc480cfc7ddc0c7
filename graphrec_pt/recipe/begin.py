"""Beginning a run in its folder: start anew, resume, or refuse a folder in use."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graphrec_pt.core.documents import read_yaml_mapping
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import LOCK, MARK, locked, remove
from graphrec_pt.graph.store import open_graph
from graphrec_pt.recipe.data import CACHE, raw_folder
from graphrec_pt.recipe.folder import METRICS, RECIPE, open_run
from graphrec_pt.recipe.origin import ORIGIN, check_files, check_graph, kept_raw
from graphrec_pt.recipe.pretrained import PRETRAINED, RECORD, source_of
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.training.checkpoint import saved_steps
from graphrec_pt.training.options import check_same_run
from graphrec_pt.training.tracking import METRICS as LOG
from graphrec_pt.training.trainer import CHECKPOINTS


def will_train(
    recipe: Recipe,
    out: str | Path,
    *,
    raw: str | Path | None = None,
    cache: Path = CACHE,
    resume: bool = False,
) -> bool:
    """Return whether a recipe still has to train in a folder.

    A folder where a run failed before it trained anything counts as new.

    Args:
        recipe: What is to be done.
        out: Folder of the run.
        raw: Folder of its raw files; by default the one that the run in the folder had.
        cache: Where downloads are kept.
        resume: Go on with the run that is there.

    Raises:
        GraphRecError: When the folder holds anything but the same run on the same data, to be gone
            on with.
    """
    out = Path(out)
    if not out.exists() or (out.is_dir() and nothing_trained(out)):
        return True
    if not (out / RECIPE).exists():
        got = "other files" if out.is_dir() else "a file"
        raise GraphRecError(str(out), "a new folder", got, "another --out")
    if not resume:
        hint = "--resume, or another --out"
        raise GraphRecError(str(out), "a new folder", "one that holds a run", hint)
    path = out / RECIPE
    saved = read_yaml_mapping(path)
    wanted = json.loads(json.dumps(recipe.resolved()))  # tuples as the lists they come back as
    check_same_run(str(path), saved, wanted, of="run")
    check_files(out, recipe.data, raw or kept_raw(out) or raw_folder(recipe.data, cache))
    if not (out / METRICS).exists():
        return True
    if recipe.data.graph is not None and Path(recipe.data.graph).is_dir():
        before = str(open_run(out).metrics["data"]["fingerprint"])
        check_graph(out, open_graph(recipe.data.graph).fingerprint, before)
    return False


@contextmanager
def begun(out: Path) -> Iterator[None]:
    """Lock the folder of a run; a run that fails before training removes its files.

    Args:
        out: Made if needed.

    Raises:
        GraphRecError: While another process runs there.
    """
    new = not out.exists()
    try:
        with locked(out / LOCK, out):
            try:
                yield
            except Exception:
                if nothing_trained(out):
                    clear(out)
                raise
    finally:
        if new:
            with suppress(OSError):
                out.rmdir()


def nothing_trained(out: Path) -> bool:
    """Return whether a folder is empty or holds only files that a run writes before training."""
    names = {path.name for path in out.iterdir() if not path.name.startswith(MARK)}
    if not names - {LOCK}:
        return True
    if ORIGIN not in names or saved_steps(out / CHECKPOINTS):
        return False
    before = {ORIGIN, RECIPE, LOCK, LOG, CHECKPOINTS, "track"}
    if source_of(out) is not None:  # copied here from another run
        before |= {PRETRAINED, RECORD}
    return names <= before


def clear(out: Path) -> None:
    """Remove the files that a run wrote before training; ``data.json``, its mark, last."""
    for name in (RECIPE, LOG, CHECKPOINTS, "track", RECORD, PRETRAINED, ORIGIN):
        remove(out / name)
