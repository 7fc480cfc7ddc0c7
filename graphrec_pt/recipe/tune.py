"""Search of a recipe's options by validation, with Optuna; the test targets are never judged.

::

    OUT/trials.journal   every trial, from which an interrupted search goes on
    OUT/graph/           the graph, which workers share
    OUT/best.yaml        the recipe with the best options
    OUT/tune.html        a page of the trials, by :mod:`graphrec_pt.serve.report.tuning`
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphrec_pt.core.documents import read_json_object
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import remove, write_text
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split
from graphrec_pt.graph.store import open_graph, save_graph
from graphrec_pt.models.model import Model
from graphrec_pt.recipe.data import check_fits, split_of
from graphrec_pt.recipe.files import override_option, recipe_text
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.recipe.search_space import Range, ranges_of
from graphrec_pt.recipe.train import Training
from graphrec_pt.training.weights import lower_is_better

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)
JOURNAL, PLAN, GRAPH, BEST = "trials.journal", "search.json", "graph", "best.yaml"
STUDY = "graphrec"
WARM = 5
"""Trials before any is pruned."""


@dataclass(frozen=True)
class Trial:
    """One set of options that was tried.

    Args:
        number: From 0.
        state: ``complete``, ``pruned`` or ``failed``.
        values: Path of the option → value.
        metric: Of validation: the best of the trial, or the last before it was pruned.
        steps: Validations that it had.
    """

    number: int
    state: str
    values: Mapping[str, Any]
    metric: float | None
    steps: int


@dataclass(frozen=True)
class Search:
    """A finished search.

    Args:
        folder: Where it is.
        metric: What was watched.
        trials: All of them, by number.
        best: The recipe with the best options.
    """

    folder: Path
    metric: str
    trials: Sequence[Trial]
    best: Recipe


def tune(
    recipe: Recipe,
    space: Sequence[str],
    out: str | Path,
    *,
    trials: int = 30,
    workers: int = 1,
    graph: Graph,
) -> Search:
    """Try options of a recipe and return those with the best validation.

    Options are drawn by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), and a
    trial below the median of the others at the same validation ends early. The same call goes on
    where an interrupted search ended; with more `trials` it goes on beyond.

    Args:
        recipe: What to change; its first seed is used.
        space: Ranges, see :func:`~graphrec_pt.recipe.search_space.ranges_of`.
        out: Folder of the search.
        trials: How many, those that are there already included.
        workers: Processes that try options at the same time.
        graph: The whole graph of the recipe.

    Raises:
        GraphRecError: For ranges that do not fit the recipe, when Optuna is not installed, for a
            folder that holds another search, and when no trial ended.
    """
    out, resolved = Path(out), recipe.resolved()
    ranges = ranges_of(space, json.loads(json.dumps(resolved)))
    _study(None)  # raises without Optuna
    check_fits(recipe, split_of(recipe.data, graph))
    plan = {"recipe": resolved, "space": sorted(space), "graph": graph.fingerprint}
    _keep_plan(out, json.loads(json.dumps(plan)))
    if workers > 1:
        if not (out / GRAPH).exists():
            save_graph(graph, out / GRAPH)
        context = get_context("spawn")
        given = str(out), recipe_text(recipe), tuple(space), trials
        started = [context.Process(target=_work, args=(*given, n)) for n in range(workers)]
        for process in started:
            process.start()
        for process in started:
            process.join()
    else:
        _search(out, recipe, ranges, trials, split_of(recipe.data, graph), 0)
    return finished_search(out, recipe)


def finished_search(out: Path, recipe: Recipe) -> Search:
    """Return the trials of a search, and keep the recipe with the best options.

    Raises:
        GraphRecError: When no trial ended.
    """
    metric = watched(recipe)
    study = _study(out)
    made = [_trial(each) for each in study.get_trials(deepcopy=False) if each.state.is_finished()]
    if not any(each.state == "complete" for each in made):
        raise GraphRecError(str(out), "a trial that ended", f"{len(made)} that did not", "--trials")
    best = _changed(recipe, study.best_trial.params)
    write_text(out / BEST, recipe_text(best))
    return Search(out, metric, made, best)


def watched(recipe: Recipe) -> str:
    """Return the metric of validation that a search goes by."""
    return recipe.options.watch or recipe.evaluate.metrics[0]


def _work(out: str, text: str, space: tuple[str, ...], trials: int, worker: int) -> None:
    """Search in a process of its own."""
    from graphrec_pt.core.documents import parse_yaml_mapping

    recipe = Recipe.checked(parse_yaml_mapping(text, "recipe"), "recipe")
    ranges = ranges_of(space, json.loads(json.dumps(recipe.resolved())))
    made = split_of(recipe.data, open_graph(Path(out) / GRAPH))
    _search(Path(out), recipe, ranges, trials, made, worker)


def _search(
    out: Path, recipe: Recipe, ranges: Sequence[Range], trials: int, made: Split, worker: int
) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _study(out, lower_is_better(watched(recipe)), seed=recipe.seeds[0] + worker)
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)

    def attempt(trial: "optuna.Trial") -> float:
        chosen = {each.path: _drawn(trial, each) for each in ranges}
        folder = out / f"trial-{trial.number}"
        try:
            return _validated(_changed(recipe, chosen), made, folder, trial)
        finally:
            remove(folder)

    while len(study.get_trials(deepcopy=False, states=ended)) < trials:
        study.optimize(attempt, n_trials=1, catch=(GraphRecError,))
        last = study.get_trials(deepcopy=False)[-1]
        if last.state == optuna.trial.TrialState.FAIL:
            failed = len(study.get_trials(deepcopy=False, states=(last.state,)))
            logger.warning("trial %d failed with %s", last.number, last.params)
            if failed > trials:
                return


def _validated(recipe: Recipe, made: Split, folder: Path, trial: "optuna.Trial") -> float:
    """Train and return the best validation; a trial with bad prospects is pruned."""
    import optuna

    metric, seen = watched(recipe), list[float]()
    last, wanted = recipe.stages[-1], recipe.evaluate
    task, policy = wanted.asked, wanted.policy
    better: Callable[[list[float]], float] = min if lower_is_better(metric) else max

    def validate(model: Model) -> dict[str, float]:
        system = task.trained(model, last, made, "valid")
        metrics = evaluate(task.judge(system, made, "valid", policy), wanted.metrics)
        seen.append(metrics[metric])
        trial.report(better(seen), len(seen))
        if trial.should_prune():
            raise optuna.TrialPruned
        return metrics

    Training(recipe, made, recipe.seeds[0], validate).model(folder)
    logger.info("trial %d: %s %.4f with %s", trial.number, metric, better(seen), trial.params)
    return better(seen)


def _drawn(trial: "optuna.Trial", each: Range) -> Any:
    if each.low is None or each.high is None:
        return trial.suggest_categorical(each.path, each.values)
    if each.whole:
        return trial.suggest_int(each.path, int(each.low), int(each.high), log=each.log)
    return trial.suggest_float(each.path, each.low, each.high, log=each.log)


def _changed(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    content = json.loads(json.dumps(recipe.resolved()))
    for path, value in values.items():
        override_option(content, f"{path}={json.dumps(value)}")
    return Recipe.checked(content, "recipe")


def _study(out: Path | None, lower: bool = False, seed: int = 0) -> "optuna.Study":
    """Return the search in a folder, made if needed; None checks that Optuna is there."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        hint = "pip install 'graphrec-pt[tune]'"
        raise GraphRecError("tune", "the package optuna", "none", hint) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=WARM, n_warmup_steps=1)
    if out is None:
        return optuna.create_study()
    backend = JournalFileBackend(str(out / JOURNAL))
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name=STUDY,
        sampler=sampler,
        pruner=pruner,
        direction="minimize" if lower else "maximize",
        load_if_exists=True,
    )


def _keep_plan(out: Path, plan: Mapping[str, Any]) -> None:
    path = out / PLAN
    if not path.exists():
        if out.exists() and any(out.iterdir()):
            raise GraphRecError(str(out), "a new folder", "one with other files", "another --out")
        write_text(path, json.dumps(plan, indent=1) + "\n")
        return
    before = read_json_object(path)
    for name, value in plan.items():
        if before.get(name) != value:
            got = f"one with another {name}"
            raise GraphRecError(str(out), "the search that is there", got, "another --out")


def _trial(each: "optuna.trial.FrozenTrial") -> Trial:
    steps = each.intermediate_values
    value = each.value
    if value is None and steps:
        value = steps[max(steps)]
    state = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(each.state.name, "failed")
    return Trial(each.number, state, dict(each.params), value, len(steps))
