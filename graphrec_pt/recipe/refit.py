"""The model that serves: trained on every edge, for the steps that validation chose.

::

    RUN/final/model/      the model, trained on all edges
    RUN/final/history/    the graph of all edges, from which recommendations are made
    RUN/final/refit.json  what was trained how long and on what, written last
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphrec_pt.core.documents import read_json_object
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import write_text
from graphrec_pt.core.version import __version__
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import protocol
from graphrec_pt.graph.store import open_graph, save_graph
from graphrec_pt.models.model import Model
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.recipe.data import CACHE, graph_of, split_of
from graphrec_pt.recipe.folder import HISTORY, MODEL, Run, predictor_of
from graphrec_pt.recipe.origin import kept_raw, read_origin
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.recipe.train import Training
from graphrec_pt.training.stage import Stage, usage_of
from graphrec_pt.training.tracking import METRICS as LOG
from graphrec_pt.training.tracking import read_metrics
from graphrec_pt.training.weights import lower_is_better

FORMAT = 1
FINAL, RECORD = "final", "refit.json"
SPLIT = "final"
"""The protocol that holds nothing out."""


@dataclass(frozen=True, eq=False)
class Served:
    """What a run recommends with.

    Args:
        predictor: Of the refitted model if there is one, else of the measured one.
        edges: Which edges it was trained on and reads, as a sentence.
        refitted: Whether every edge is used.
        folder: Folder of the model and the graph.
    """

    predictor: Predictor
    edges: str
    refitted: bool
    folder: Path


def refit_run(
    run: Run,
    *,
    raw: str | Path | None = None,
    graph: Graph | None = None,
    cache: Path | None = None,
    steps: int | None = None,
    progress: bool = False,
) -> Path:
    """Train the model of a run again on all edges, and keep it in ``RUN/final``.

    Stages before the last are trained as the recipe says. The last one takes the steps after which
    validation was best; nothing is validated or tested, since nothing is held out. An interrupted
    refit goes on from its checkpoint. What the run measured stays as it is.

    Args:
        run: A finished run; its first seed is trained.
        raw: Folder of raw files; by default that of the run.
        graph: The whole graph, where it is at hand already.
        cache: Where downloads are kept.
        steps: Of the last stage, in place of those that validation chose. With 0 nothing is trained
            again: the measured weights read all edges.
        progress: Show bars.

    Returns:
        The folder.

    Raises:
        GraphRecError: When the data are not those of the run.

    Example:
        >>> folder = refit_run(open_run("runs/toy"), raw="shop")
        >>> serving_of(open_run("runs/toy")).edges
        'all 7 edges of buys, none held out'
    """
    out = run.folder / FINAL
    origin = read_origin(run.folder)
    raw = raw or kept_raw(run.folder)
    if graph is None:
        graph = graph_of(run.recipe.data, raw, cache=CACHE if cache is None else cache)
    expected = str(run.metrics["data"]["fingerprint"]) if origin is None else origin.graph
    if graph.fingerprint != expected:
        hint = f"`graphrec run start={run.folder / MODEL} --raw NEW` for new data"
        got = f"another graph ({graph.fingerprint[:8]}, not {expected[:8]})"
        raise GraphRecError(str(run.folder), "the data of the run", got, hint)
    relation = run.relation
    data = run.recipe.data.model_copy(
        update={"split": protocol.build({"name": SPLIT, "relation": relation})}
    )
    made = split_of(data, graph)
    chosen = best_step(run) if steps is None else steps
    if chosen:
        stages = _with_steps(run.recipe.stages, chosen)
        changes = {"data": data, "stages": stages, "budget": None}
        recipe: Recipe = run.recipe.model_copy(update=changes)
        training = Training(recipe, made, run.recipe.seeds[0], None, True, progress)
        model = training.model(out)
    else:
        model = run.model()
    model.usage = usage_of(run.recipe.stages[-1], relation)
    model.attach_graph(made.train)
    model.save_pretrained(out / MODEL)
    save_graph(made.train, out / HISTORY)
    record = {
        "format": FORMAT,
        "graphrec_pt": __version__,
        "graph": graph.fingerprint,
        "relation": relation,
        "edges": made.train.num_edges(relation),
        "stage": run.recipe.stages[-1].name,
        "steps": chosen,
        "chosen_by": "validation" if steps is None else "the user",
    }
    write_text(out / RECORD, json.dumps(record, indent=1) + "\n")
    return out


def best_step(run: Run) -> int:
    """Return the steps of the last stage after which the validation of the first seed was best.

    Raises:
        GraphRecError: When the log of the run has no validation of the stage.
    """
    stage, watch = run.recipe.stages[-1].name, run.recipe.options.watch
    metric = watch or run.recipe.evaluate.metrics[0]
    best: tuple[float, int] | None = None
    for row in read_metrics(run.folder):
        value = row.get(f"valid/{metric}")
        if row.get("stage") != stage or not isinstance(value, int | float):
            continue
        goodness = -float(value) if lower_is_better(metric) else float(value)
        if best is None or goodness > best[0]:
            best = goodness, int(row["stage_step"])
    if best is None:
        got, hint = f"none in {LOG}", "--steps with the optimiser steps of the last stage"
        raise GraphRecError(str(run.folder), f"validations of stage {stage!r}", got, hint)
    return best[1]


def serving_of(run: Run, *, measured: bool = False) -> Served:
    """Return what a run recommends with: the refitted model if there is one.

    Args:
        run: A finished run.
        measured: Take the model that the test measured, with its history graph, in any case.

    Raises:
        GraphRecError: When the folder of the refit was damaged or is of another version.
    """
    relation, folder = run.relation, run.folder / FINAL
    record = None if measured else refit_record(run)
    if record is None:
        history = run.history
        held = int(run.metrics["data"].get("test", 0))
        edges = f"{history.num_edges(relation):,} edges of {relation}, training and validation"
        if held:
            edges += f"; {held:,} test edges are held out (`graphrec refit {run.folder}` uses all)"
        return Served(predictor_of(run), edges, False, run.folder)
    graph = open_graph(folder / HISTORY)
    model = Model.from_pretrained(folder / MODEL)
    if not model.bound:
        model.attach_graph(graph)
    predictor = Predictor(model, graph, stage=run.recipe.stages[-1], relation=relation)
    edges = f"all {graph.num_edges(relation):,} edges of {relation}, none held out"
    return Served(predictor, edges, True, folder)


def refit_record(run: Run) -> Mapping[str, Any] | None:
    """Return the record of the refit of a run; None where there is none.

    Raises:
        GraphRecError: For a record of another version.
    """
    path = run.folder / FINAL / RECORD
    try:
        record = read_json_object(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if record.get("format") != FORMAT:
        hint = f"graphrec refit {run.folder}"
        raise GraphRecError(str(path), f"refit format {FORMAT}", record.get("format"), hint)
    return record


def _with_steps(stages: Sequence[Stage], steps: int) -> tuple[Stage, ...]:
    last = stages[-1].model_copy(update={"steps": steps, "most_epochs": None, "patience": 0})
    return (*stages[:-1], last)
