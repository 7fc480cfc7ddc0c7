"""From a recipe to the folder of a run."""

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import config_of
from graphrec_pt.evaluation.explanations import explained
from graphrec_pt.evaluation.metric import evaluate, measurable
from graphrec_pt.evaluation.outcome import Outcome, write_outcomes
from graphrec_pt.evaluation.seen import HISTORY as SHOWN
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, When
from graphrec_pt.graph.store import save_graph
from graphrec_pt.models.model import Model
from graphrec_pt.predict.paths import PathScorer
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.recipe.begin import begun, clear, nothing_trained, will_train
from graphrec_pt.recipe.data import CACHE, baselines_of, check_fits, graph_of, raw_folder, split_of
from graphrec_pt.recipe.files import write_recipe
from graphrec_pt.recipe.folder import (
    HISTORY,
    MODEL,
    RECIPE,
    SCRATCH,
    Run,
    folder_of,
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
from graphrec_pt.recipe.origin import ORIGIN, check_graph, write_origin
from graphrec_pt.recipe.places import check_places
from graphrec_pt.recipe.pretrained import (
    Pretrained,
    copy_pretrained,
    find_pretrained,
    source_of,
)
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.recipe.train import Training, pretrainings
from graphrec_pt.recipe.with_strategy import pretraining
from graphrec_pt.recipe.zero_shot import TransferResult, other_data, zero_shot, zero_shot_metrics
from graphrec_pt.training.stage import usage_of

logger = logging.getLogger(__name__)
HISTORY_GRAPH = "history-graph"
"""Before the name of a file of outcomes: the model read a graph with validation edges."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """The inputs of a recipe before training starts.

    Args:
        recipe: What to do.
        split: Its data, split.
        other: The data of its zero-shot test, if it has one.
        pretrained: Finished pre-trainings of another run, by seed.
    """

    recipe: Recipe
    split: Split
    other: Split | None
    pretrained: Mapping[int, Pretrained]


@dataclass(frozen=True, eq=False)
class SeedResult:
    """The results of one seed.

    Args:
        seed: Seed of weights, batches and dropout.
        metrics: Metrics of ``valid`` and ``test``; of ``scratch``, None without a control; of
            ``explanations``, None for a model that does not recommend by paths; of
            ``history_graph``: of test targets when what the model reads off the graph (links,
            propagation) shows validation edges too, None where it reads nothing of the kind; and
            of ``transfer``, None where there is no other data.
        outcomes: Outcomes of the trained model, by split.
        other_policy: Of test targets under the other policy, where the data has repeats.
        control: Of test targets by the control that was trained from scratch, if there is one.
        beyond: What test targets do not say of the model's lists.
        transfer: What the model makes of other data, if there is any.
        parameters: Size of the model.
    """

    seed: int
    metrics: Mapping[str, Any]
    outcomes: Mapping[When, Outcome]
    other_policy: Mapping[SeenPolicy, Outcome]
    control: Outcome | None
    beyond: Mapping[str, float]
    transfer: TransferResult | None
    parameters: int


def run_recipe(
    recipe: Recipe,
    out: str | Path,
    *,
    raw: str | Path | None = None,
    graph: Graph | None = None,
    resume: bool = False,
    pretrained: str | Path | None = None,
    cache: Path | None = None,
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
        cache: Where downloads are kept.
        progress: Show bars of the training.

    Raises:
        GraphRecError: For a recipe that does not fit its data, every mistake at once; for a folder
            that holds a run unless `resume`, for one that holds another run or one on other data,
            and for one that another process runs in; for another pre-training than that of the
            recipe.

    Example:
        >>> split = "data.split={name: global_time, valid: 0.2, test: 0.2}"
        >>> measure = ["evaluate.metrics=[ndcg@2]", "options.watch=ndcg@2"]
        >>> changes = ["data.card=toy-shop", split, "stages.0.epochs=1", *measure]
        >>> run = run_recipe(load_recipe("sasrec", changes), "runs/toy")
        >>> list(run.metrics["test"])
        ['ndcg@2']
    """
    out, begin = Path(out), time.monotonic()
    place = {} if cache is None else {"cache": cache}
    if not will_train(recipe, out, raw=raw, resume=resume, **place):
        return open_run(out)
    ready = prepare(recipe, raw, graph, pretrained, **place)
    with begun(out):
        if not will_train(recipe, out, raw=raw, resume=resume, **place):
            return open_run(out)  # another process has finished it
        if nothing_trained(out):
            clear(out)
        check_graph(out, ready.split.graph.fingerprint)
        if not (out / ORIGIN).exists():
            known = raw is not None or graph is None or cache is not None
            files = raw or (raw_folder(recipe.data, **place) if known else None)
            write_origin(out, recipe.data, ready.split.graph.fingerprint, files, given=bool(raw))
        if not (out / RECIPE).exists():
            write_recipe(recipe, out / RECIPE)
        seeds = []
        for seed in recipe.seeds:
            folder = folder_of(out, seed, recipe.seeds)
            model, control = train(ready, seed, folder, resume=resume, progress=progress)
            seeds.append(evaluate_seed(ready, seed, folder, model, control))
        logger.info("baselines and tests")
        metrics = _run_metrics(ready, out, seeds)
        used = {"seconds": round(time.monotonic() - begin, 3), "peak_memory_mb": _peak_memory()}
        save_graph(ready.split.history("test"), out / HISTORY)
        write_metrics(out, {**metrics, "device": _device(recipe), **used})
    return open_run(out)


def prepare(
    recipe: Recipe,
    raw: str | Path | None = None,
    graph: Graph | None = None,
    pretrained: str | Path | None = None,
    cache: Path = CACHE,
) -> Prepared:
    """Build and split the data of a recipe, and check that all of the recipe fits it.

    Raises:
        GraphRecError: As for :func:`run_recipe`.
    """
    graph = graph_of(recipe.data, raw, cache=cache) if graph is None else graph
    made = split_of(recipe.data, graph)
    check_fits(recipe, made)
    check_places(recipe, made.train)
    known = {} if pretrained is None else pretrainings(recipe, made, pretrained)
    return Prepared(recipe, made, other_data(recipe), known)


def train(
    ready: Prepared, seed: int, folder: Path, *, resume: bool = False, progress: bool = False
) -> tuple[Model, Model | None]:
    """Train the model of a seed, and its control from scratch where the recipe pre-trains.

    Args:
        ready: Data and recipe.
        seed: Seed of weights, batches and dropout.
        folder: Folder of the seed, for checkpoints.
        resume: Go on from the checkpoints there.
        progress: Show bars.
    """
    recipe = ready.recipe
    if seed in ready.pretrained and find_pretrained(folder) is None:
        copy_pretrained(ready.pretrained[seed], folder)
    validate = _validation(recipe, ready.split)
    training = Training(recipe, ready.split, seed, validate, resume, progress)
    model = training.model(folder)
    if not recipe.evaluate.scratch or not (pretraining(recipe.stages) or recipe.start):
        return model, None
    logger.info("seed %d: the same from scratch", seed)
    return model, training.control(folder / SCRATCH, ready.pretrained.get(seed))


def evaluate_seed(
    ready: Prepared, seed: int, folder: Path, model: Model, control: Model | None
) -> SeedResult:
    """Evaluate a trained model and its control, and write model and outcomes."""
    recipe, made = ready.recipe, ready.split
    last, wanted = recipe.stages[-1], recipe.evaluate
    task, policy = wanted.asked, wanted.policy

    def judged(of: Model, when: When) -> Outcome:
        return task.judge(task.trained(of, last, made, when), made, when, policy)

    logger.info("seed %d: judging", seed)
    scratch = None if control is None else judged(control, "test")
    system = task.trained(model, last, made, "test")
    test = task.judge(system, made, "test", policy)
    outcomes: dict[When, Outcome] = {"valid": judged(model, "valid"), "test": test}
    other = {
        seen: task.judge(system, made, "test", replace(policy, seen=seen))
        for seen in task.policies(made)
        if seen != policy.seen
    }
    model.usage = usage_of(last, made.relation)
    model.save_pretrained(folder / MODEL)
    write_outcomes(folder / task.file, list(outcomes.values()))
    knowing = None
    if reads_graph(model, last):
        model.attach_graph(made.history("test"))
        knowing = judged(model, "test")
        model.attach_graph(made.train)
        write_outcomes(folder / f"{HISTORY_GRAPH}-{task.file}", [knowing])
    explanations = explained(system, made) if isinstance(system, PathScorer) else None
    beyond = task.beyond(system, made, policy)
    transfer = None if ready.other is None else zero_shot(recipe, model, ready.other, seed)

    def measured(outcome: Outcome | None) -> dict[str, float] | None:
        return None if outcome is None else evaluate(outcome, wanted.metrics)

    metrics: dict[str, Any] = {
        "valid": measured(outcomes["valid"]),
        "test": measured(outcomes["test"]),
        "scratch": measured(scratch),
        "history_graph": measured(knowing),
        "explanations": explanations,
        "transfer": measured(transfer and transfer.outcome),
    }
    size = model.num_parameters
    return SeedResult(seed, metrics, outcomes, other, scratch, beyond, transfer, size)


def _run_metrics(ready: Prepared, out: Path, seeds: Sequence[SeedResult]) -> dict[str, Any]:
    """Return the content of ``metrics.json`` except the cost of the run."""
    recipe, made, first = ready.recipe, ready.split, seeds[0]
    transfer = None
    if ready.other is not None and first.transfer is not None:
        transfer = zero_shot_metrics(recipe, ready.other, first.transfer)
    return {
        "recipe": recipe.name,
        "task": config_of(recipe.evaluate.task),
        "pretrained": source_of(out),
        "data": _data(recipe, made),
        "history": dict(SHOWN),
        "seen": recipe.evaluate.seen,
        **first.metrics,
        **_beside(recipe, made, seeds),
        "transfer": transfer,
        "seeds": list(recipe.seeds),
        "by_seed": [{"seed": seed.seed, **seed.metrics} for seed in seeds],
        "over_seeds": {
            name: spread([seed.metrics[name] for seed in seeds])
            for name in ("valid", "test", "scratch", "history_graph", "transfer")
            if first.metrics[name] is not None
        },
        "parameters": first.parameters,
    }


def _validation(recipe: Recipe, made: Split) -> Callable[[Model], dict[str, float]]:
    """Return the function that validates a model during training."""
    last, wanted = recipe.stages[-1], recipe.evaluate
    task, policy = wanted.asked, wanted.policy

    def validate(model: Model) -> dict[str, float]:
        system = task.trained(model, last, made, "valid")
        return evaluate(task.judge(system, made, "valid", policy), wanted.metrics)

    return validate


def _beside(recipe: Recipe, made: Split, seeds: Sequence[SeedResult]) -> dict[str, Any]:
    """Return intervals, slices and baselines that accompany the metrics of a model.

    Intervals and slices are of the first seed; differences of means over all.
    """
    first = seeds[0]
    wanted, key = recipe.evaluate, Key(0).named("run")
    task, policy = wanted.asked, wanted.policy
    compared = recipe.options.watch or wanted.metrics[0]
    systems = {
        name: task.fitted(config, made, "test")
        for name, config in baselines_of(recipe, made).items()
    }
    policies: list[SeenPolicy] = [wanted.seen, *first.other_policy]
    judged = {
        seen: {
            name: task.judge(system, made, "test", replace(policy, seen=seen))
            for name, system in systems.items()
        }
        for seen in policies
    }
    test, others = first.outcomes["test"], dict(judged[wanted.seen])
    tests: list[Outcome] = [seed.outcomes["test"] for seed in seeds]
    tested: dict[str, Outcome | Sequence[Outcome]] = dict(others)
    if first.control is not None:
        others["scratch"] = first.control
        tested["scratch"] = [seed.control for seed in seeds if seed.control is not None]
    return {
        "intervals": intervals(test, wanted.metrics, key),
        "baselines": _metrics(judged[wanted.seen], wanted.metrics),
        "compared": differences(tests, tested, compared, key),
        "slices": by_slice(test, others, compared, made),
        "beyond_accuracy": {
            "model": dict(first.beyond),
            **{name: task.beyond(system, made, policy) for name, system in systems.items()},
        },
        "other_policy": {
            seen: {
                "test": evaluate(outcome, wanted.metrics),
                "baselines": _metrics(judged[seen], wanted.metrics),
            }
            for seen, outcome in first.other_policy.items()
        },
    }


def _metrics(
    outcomes: Mapping[str, Outcome], metrics: Sequence[str]
) -> dict[str, dict[str, float]]:
    return {name: evaluate(each, measurable(each, metrics)) for name, each in outcomes.items()}


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


def _device(recipe: Recipe) -> str:
    """Return the name of the device that trained the models."""
    if recipe.options.cpu or not torch.cuda.is_available():
        return "cpu"
    return torch.cuda.get_device_name()


def _peak_memory() -> float | None:
    """Return the peak memory of the process in MiB; None where the system does not report it."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
