"""From a recipe to the folder of a run."""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from graphrec_pt.core.documents import read_yaml_mapping
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import config_of
from graphrec_pt.core.scratch import writing
from graphrec_pt.evaluation.explanations import explained
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.outcome import Outcome, write_outcomes
from graphrec_pt.evaluation.seen import HISTORY as SHOWN
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, When
from graphrec_pt.graph.store import save_graph
from graphrec_pt.models.model import Model
from graphrec_pt.predict.paths import PathScorer
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.recipe.data import baselines_of, check_fits, graph_of, split_of
from graphrec_pt.recipe.elsewhere import Moved, moved, other_data, told_elsewhere
from graphrec_pt.recipe.files import write_recipe
from graphrec_pt.recipe.folder import (
    HISTORY,
    METRICS,
    MODEL,
    RECIPE,
    SCRATCH,
    Run,
    folder_of,
    keep_raw,
    open_run,
    write_metrics,
)
from graphrec_pt.recipe.measure import (
    by_slice,
    differences,
    intervals,
    reads_graph,
    spread,
)
from graphrec_pt.recipe.pretrained import copy_pretrained, find_pretrained, source_of
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.recipe.swap import pretraining
from graphrec_pt.recipe.train import Training, pretrainings
from graphrec_pt.training.run_identity import check_same_run
from graphrec_pt.training.stage import usage_of

logger = logging.getLogger(__name__)
HISTORY_GRAPH = "history-graph"
"""Before the name of a file of outcomes: the model read a graph with validation edges."""
WHEN: tuple[When, ...] = ("valid", "test")


def run_recipe(
    recipe: Recipe,
    out: str | Path,
    *,
    raw: str | Path | None = None,
    graph: Graph | None = None,
    resume: bool = False,
    pretrained: str | Path | None = None,
    progress: bool = False,
) -> Run:
    """Train what a recipe says, measure it, and keep all in a folder.

    Models are chosen on validation alone; test targets are judged once for each trained model and
    baseline, at the end. Baselines learn from training edges. The folder names everything that a
    number depends on: a run with its ``recipe.yaml`` gives the same numbers again.

    Args:
        recipe: What to do.
        out: Folder of the run; see :mod:`graphrec_pt.recipe.folder`.
        raw: Folder of raw files; without it they are downloaded.
        graph: The whole graph that the recipe names, where it is at hand already.
        resume: Go on where a run in that folder was interrupted.
        pretrained: Folder of a run whose pre-training, the same as the recipe's, is not repeated.
        progress: Show bars of the training.

    Raises:
        GraphRecError: For a recipe that does not fit its data, every mistake at once; for a folder
            that holds a run unless `resume`, and for one that holds another run; for another
            pre-training than that of the recipe.
    """
    out, begun = Path(out), time.monotonic()
    if not will_train(recipe, out, resume=resume):
        return open_run(out)
    made = split_of(recipe.data, graph_of(recipe.data, raw) if graph is None else graph)
    check_fits(recipe, made)
    kept = {} if pretrained is None else pretrainings(recipe, made, pretrained)
    elsewhere = other_data(recipe)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_recipe(recipe, out / RECIPE)
        keep_raw(out, None if raw is None else Path(raw))
    seeds = []
    for seed in recipe.seeds:
        folder = folder_of(out, seed, recipe.seeds)
        if seed in kept and find_pretrained(folder) is None:
            copy_pretrained(kept[seed], folder)
        seeds.append(_run_seed(recipe, made, elsewhere, seed, folder, resume, progress))
    logger.info("baselines and tests")
    first = seeds[0]
    metrics = {
        "recipe": recipe.name,
        "task": config_of(recipe.evaluate.task),
        "pretrained": source_of(out),
        "data": _data(recipe, made),
        "history": dict(SHOWN),
        "seen": recipe.evaluate.seen,
        **first.told,
        **_beside(recipe, made, seeds),
        "transfer": elsewhere and first.moved and told_elsewhere(recipe, elsewhere, first.moved),
        "seeds": list(recipe.seeds),
        "by_seed": [{"seed": seed.seed, **seed.told} for seed in seeds],
        "over_seeds": {
            name: spread([seed.told[name] for seed in seeds])
            for name in ("valid", "test", "scratch", "history_graph", "transfer")
            if first.told[name] is not None
        },
        "parameters": first.parameters,
        "device": _device(recipe),
        "seconds": round(time.monotonic() - begun, 3),
        "peak_memory_mb": _peak_memory(),
    }
    save_graph(made.history("test"), out / HISTORY)
    write_metrics(out, metrics)
    return open_run(out)


def will_train(recipe: Recipe, out: str | Path, *, resume: bool = False) -> bool:
    """Say whether there is something left to do for a recipe in a folder.

    Raises:
        GraphRecError: When the folder holds anything but the same run, to be gone on with.
    """
    out = Path(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return True
    if not (out / RECIPE).exists():
        got = "other files" if out.is_dir() else "a file"
        raise GraphRecError(str(out), "a new folder", got, "another --out")
    if not resume:
        hint = "--resume, or another --out"
        raise GraphRecError(str(out), "a new folder", "one that holds a run", hint)
    _check_recipe(recipe, out)
    return not (out / METRICS).exists()


@dataclass(frozen=True, eq=False)
class _Seed:
    """What one seed gave.

    Args:
        seed: Of weights, batches and dropout.
        told: Metrics of ``valid`` and ``test``; of ``scratch``, None where there is no twin; of
            ``explanations``, None for a model that does not recommend by paths; of
            ``history_graph``: of test targets when what the model reads off the graph (links,
            propagation) shows validation edges too, None where it reads nothing of the kind; and
            of ``transfer``, None where there is no other data.
        outcomes: Of the trained model, by split.
        other: Of test targets under the other policy, where the data has repeats.
        scratch: Of test targets by the twin without pre-training, if there is one.
        beyond: What test targets do not tell of the model's lists.
        moved: What the model makes of other data, if there is any.
        parameters: Size of the model.
    """

    seed: int
    told: Mapping[str, Any]
    outcomes: Mapping[When, Outcome]
    other: Mapping[SeenPolicy, Outcome]
    scratch: Outcome | None
    beyond: Mapping[str, float]
    moved: Moved | None
    parameters: int


def _run_seed(
    recipe: Recipe,
    made: Split,
    elsewhere: Split | None,
    seed: int,
    folder: Path,
    resume: bool,
    progress: bool,
) -> _Seed:
    """Train with one seed, judge its targets, and leave the folder of the seed."""
    last, wanted = recipe.stages[-1], recipe.evaluate
    asked, policy = wanted.asked, wanted.policy
    training = Training(recipe, made, seed, _validation(recipe, made), resume, progress)
    model, scratch = training.model(folder), None
    if (pretraining(recipe.stages) or recipe.start) and wanted.scratch:
        logger.info("seed %d: the same from scratch", seed)
        twin = training.twin(folder / SCRATCH)
        alike = asked.trained(twin, last, made, "test")
        scratch = asked.judge(alike, made, "test", policy)
    logger.info("seed %d: judging", seed)
    systems = {when: asked.trained(model, last, made, when) for when in WHEN}
    outcomes = {when: asked.judge(each, made, when, policy) for when, each in systems.items()}
    other = {
        seen: asked.judge(systems["test"], made, "test", replace(policy, seen=seen))
        for seen in asked.policies(made)
        if seen != policy.seen
    }
    model.usage = usage_of(last, made.relation)
    model.save_pretrained(folder / MODEL)
    write_outcomes(folder / asked.file, list(outcomes.values()))
    told: dict[str, Any] = {n: evaluate(each, wanted.metrics) for n, each in outcomes.items()}
    told["scratch"] = None if scratch is None else evaluate(scratch, wanted.metrics)
    told["history_graph"] = None
    if reads_graph(model, last):
        model.bind(made.history("test"))
        system = asked.trained(model, last, made, "test")
        knowing = asked.judge(system, made, "test", policy)
        model.bind(made.train)
        told["history_graph"] = evaluate(knowing, wanted.metrics)
        write_outcomes(folder / f"{HISTORY_GRAPH}-{asked.file}", [knowing])
    ours = systems["test"]
    told["explanations"] = explained(ours, made) if isinstance(ours, PathScorer) else None
    beyond = asked.beyond(ours, made, policy)
    there = None if elsewhere is None else moved(recipe, model, elsewhere, seed)
    told["transfer"] = None if there is None else evaluate(there.outcome, wanted.metrics)
    return _Seed(seed, told, outcomes, other, scratch, beyond, there, model.num_parameters)


def _validation(recipe: Recipe, made: Split) -> Callable[[Model], dict[str, float]]:
    """Return what measures a model while it is trained."""
    last, wanted = recipe.stages[-1], recipe.evaluate
    asked, policy = wanted.asked, wanted.policy

    def validate(model: Model) -> dict[str, float]:
        system = asked.trained(model, last, made, "valid")
        return evaluate(asked.judge(system, made, "valid", policy), wanted.metrics)

    return validate


def _beside(recipe: Recipe, made: Split, seeds: Sequence[_Seed]) -> dict[str, Any]:
    """Return what stands beside the numbers of a model: how sure they are, and baselines.

    Intervals and slices are of the first seed; differences of means over all.
    """
    first = seeds[0]
    wanted, key = recipe.evaluate, Key(0).named("run")
    asked, policy = wanted.asked, wanted.policy
    compared = recipe.options.watch or wanted.metrics[0]
    systems = {
        name: asked.fitted(config, made, "test")
        for name, config in baselines_of(recipe, made).items()
    }
    policies: list[SeenPolicy] = [wanted.seen, *first.other]
    judged = {
        seen: {
            name: asked.judge(system, made, "test", replace(policy, seen=seen))
            for name, system in systems.items()
        }
        for seen in policies
    }
    test, others = first.outcomes["test"], dict(judged[wanted.seen])
    tests: list[Outcome] = [seed.outcomes["test"] for seed in seeds]
    tested: dict[str, Outcome | Sequence[Outcome]] = dict(others)
    if first.scratch is not None:
        others["scratch"] = first.scratch
        tested["scratch"] = [seed.scratch for seed in seeds if seed.scratch is not None]
    return {
        "intervals": intervals(test, wanted.metrics, key),
        "baselines": _metrics(judged[wanted.seen], wanted.metrics),
        "compared": differences(tests, tested, compared, key),
        "slices": by_slice(test, others, compared, made),
        "beyond_accuracy": {
            "model": dict(first.beyond),
            **{name: asked.beyond(system, made, policy) for name, system in systems.items()},
        },
        "other_policy": {
            seen: {
                "test": evaluate(outcome, wanted.metrics),
                "baselines": _metrics(judged[seen], wanted.metrics),
            }
            for seen, outcome in first.other.items()
        },
    }


def _metrics(
    outcomes: Mapping[str, Outcome], metrics: Sequence[str]
) -> dict[str, dict[str, float]]:
    return {name: evaluate(each, metrics) for name, each in outcomes.items()}


def _data(recipe: Recipe, made: Split) -> dict[str, Any]:
    graph, relation = made.graph, made.graph.schema.relation(made.relation)
    return {
        "name": recipe.data.card or recipe.data.graph,
        "fingerprint": graph.fingerprint,
        "relation": relation.name,
        "users": graph.num_nodes(relation.source),
        "items": graph.num_nodes(relation.target),
        "interactions": graph.num_edges(relation.name),
        "nodes": graph.num_nodes(),
        "edges": graph.num_edges(),
        "train": made.train.num_edges(relation.name),
        "valid": len(made.valid),
        "test": len(made.test),
        "split": dict(made.protocol),
        "permutation_seed": graph.provenance.get("permutation_seed"),
        "warnings": list(made.warnings),
    }


def _check_recipe(recipe: Recipe, out: Path) -> None:
    path = out / RECIPE
    saved = read_yaml_mapping(path)
    wanted = json.loads(json.dumps(recipe.resolved()))  # tuples as the lists they come back as
    check_same_run(str(path), saved, wanted, of="run")


def _device(recipe: Recipe) -> str:
    """Return what the models were trained on."""
    if recipe.options.cpu or not torch.cuda.is_available():
        return "cpu"
    return torch.cuda.get_device_name()


def _peak_memory() -> float | None:
    """Return the most memory that the process ever held, in MiB; None where nobody counts."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
