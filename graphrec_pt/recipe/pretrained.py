"""Pre-trained models: a finished pre-training in the folder of a run, or a saved model.

::

    pretrained/       the model after the last stage that pre-trains, with its heads
    pretrained.json   what it was trained by and on, written last; from which run, if not this one
"""

import json
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

from graphrec_pt.core.documents import read_json_object, read_yaml_mapping
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import config_of
from graphrec_pt.core.scratch import finished_folder, write_text
from graphrec_pt.core.version import __version__
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.backbone import Backbone
from graphrec_pt.models.model import Model
from graphrec_pt.models.transfer import transfer
from graphrec_pt.recipe.folder import METRICS, RECIPE, folder_of, resume_command
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.training.options import check_same_run

FORMAT = 1
PRETRAINED, RECORD = "pretrained", "pretrained.json"


@dataclass(frozen=True)
class Pretrained:
    """A finished pre-training.

    Args:
        folder: Folder of the seed of a run.
        identity: What it was trained by and on; see
            :func:`~graphrec_pt.training.options.identity_of`.
        source: Folder of the run that trained it, where that is another one.
    """

    folder: Path
    identity: Mapping[str, Any]
    source: str | None = None

    @property
    def stages(self) -> int:
        """The number of stages of the pre-training."""
        return len(self.identity["stages"])

    def check(self, wanted: Mapping[str, Any]) -> None:
        """Raise unless the pre-training has the wanted identity.

        Raises:
            GraphRecError: Names the first option that differs.
        """
        who = str(self.folder / PRETRAINED)
        check_same_run(who, self.identity, wanted, of="pre-training")

    def model(self, graph: Graph) -> Model:
        """Return the pre-trained model, bound to the graph of the adaptation."""
        model = Model.from_pretrained(self.folder / PRETRAINED)
        return model.attach_graph(graph)


def pretrained_of(run: str | Path, seed: int) -> Pretrained:
    """Return the finished pre-training of a seed of a run, which itself may be unfinished.

    Raises:
        GraphRecError: When there is none.
    """
    run, expected = Path(run), "a run with a finished pre-training"
    hint = "the folder that `graphrec run RECIPE` made"
    if not (run / RECIPE).is_file():
        got = "none" if run.is_dir() else "no folder"
        raise GraphRecError(str(run), expected, got, hint)
    content = read_yaml_mapping(run / RECIPE)
    seeds = content.get("seeds", [0])
    if not isinstance(seeds, list) or not all(isinstance(each, int) for each in seeds):
        raise GraphRecError(f"{run / RECIPE} seeds", "a list of numbers", repr(seeds))
    if seed not in seeds:
        got, hint = f"seeds {', '.join(map(str, seeds))}", f"seeds={seeds}"
        raise GraphRecError(str(run), f"a pre-training with seed {seed}", got, hint)
    pretrained = find_pretrained(folder_of(run, seed, seeds))
    if pretrained is None:
        got = f"none of seed {seed}"
        if len(content.get("stages") or ()) < 2:
            got, hint = "one of a single stage", "a recipe with stages that pre-train"
        elif (run / METRICS).exists():
            hint = f"{shlex.join(['graphrec', 'run', str(run / RECIPE)])}, which keeps it"
        else:
            hint = resume_command(run)
        raise GraphRecError(str(run), expected, got, hint)
    return pretrained


def source_of(run: Path) -> str | None:
    """Return the run that pre-trained the model of a run, where that is another one."""
    kept = find_pretrained(run)
    return None if kept is None else kept.source


def keep_pretrained(folder: Path, identity: Mapping[str, Any], model: Model) -> None:
    """Save a pre-trained model in the folder of a run."""
    model.save_pretrained(folder / PRETRAINED, inputs=False)
    _write_record(folder, identity, None)


def copy_pretrained(found: Pretrained, folder: Path) -> Pretrained:
    """Copy a finished pre-training into the folder of another run, and return it there."""
    source = found.source or str(found.folder)
    with finished_folder(folder / PRETRAINED) as made:
        copytree(found.folder / PRETRAINED, made, dirs_exist_ok=True)
    _write_record(folder, found.identity, source)
    return Pretrained(folder, found.identity, source)


def find_pretrained(folder: Path) -> Pretrained | None:
    """Return the finished pre-training in the folder of a seed, if there is one.

    Raises:
        GraphRecError: When another version wrote it, or it cannot be read.
    """
    path = folder / RECORD
    try:
        record = read_json_object(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise GraphRecError(str(path), "the record of a pre-training", error) from error
    stamp = record.get("format")
    if stamp != FORMAT:
        hint = f"graphrec_pt {record.get('graphrec_pt', '?')}, which wrote it"
        raise GraphRecError(str(path), f"pre-training format {FORMAT}", stamp or "none", hint)
    identity, source = record.get("identity"), record.get("from")
    if not isinstance(identity, dict) or not isinstance(identity.get("stages"), list):
        raise GraphRecError(str(path), "what the pre-training was trained by", repr(identity))
    if not isinstance(source, str | None):
        raise GraphRecError(str(path), "the folder that it comes from", repr(source))
    return Pretrained(folder, identity, source)


def _write_record(folder: Path, identity: Mapping[str, Any], source: str | None) -> None:
    record = {"format": FORMAT, "graphrec_pt": __version__, "from": source, "identity": identity}
    write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")


logger = logging.getLogger(__name__)
_BY_GRAPH = ("structure", "relations")


def first_model(recipe: Recipe, graph: Graph, seed: int) -> Model:
    """Return the model that a run takes from its ``start``.

    From another graph everything goes over that does not belong to its nodes, see
    :func:`~graphrec_pt.models.transfer.transfer`; features are those of the recipe.

    Args:
        recipe: With a ``start``.
        graph: The training graph.
        seed: Seed of new weights.
    """
    structure = getattr(recipe.model.backbone, "structure", {})
    sizes = {name: size for name, size in structure.items() if size is not None}
    features = recipe.model.features
    model, report = transfer(
        saved_model(recipe), graph, features=features, structure=sizes, seed=seed
    )
    logger.info("started from %s:\n%s", recipe.start, report)
    return model


def saved_model(recipe: Recipe) -> Model:
    """Return the model that a recipe starts from.

    Raises:
        GraphRecError: When it is not there, or its backbone is not that of the recipe.
    """
    assert recipe.start is not None
    model = Model.from_pretrained(recipe.start)
    has, wanted = (_plain(each) for each in (model.config.backbone, recipe.model.backbone))
    for name in sorted(has.keys() | wanted.keys()):
        if has.get(name) != wanted.get(name):
            hint = f"model.backbone.{name}={has.get(name)}"
            expected = f"a backbone with {name}: {wanted.get(name)}"
            raise GraphRecError(f"start {recipe.start}", expected, has.get(name), hint)
    return model


def _plain(chosen: Backbone) -> dict[str, Any]:
    """Return the options of a backbone without sizes that depend on the graph."""
    return {name: value for name, value in config_of(chosen).items() if name not in _BY_GRAPH}
