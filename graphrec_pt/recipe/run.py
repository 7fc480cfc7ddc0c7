"""From a recipe to the folder of a run."""

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.ranking import HISTORY as SHOWN
from graphrec_pt.evaluation.ranks import Ranks, write_ranks
from graphrec_pt.evaluation.seen import SeenPolicy, seen_policies
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, When
from graphrec_pt.graph.store import save_graph, writing
from graphrec_pt.models.model import Model
from graphrec_pt.recipe.data import baselines_of, check_fits, graph_of, split_of
from graphrec_pt.recipe.files import parse_yaml, write_recipe
from graphrec_pt.recipe.folder import (
    HISTORY,
    METRICS,
    MODEL,
    RANKS,
    RECIPE,
    SCRATCH,
    Run,
    open_run,
    write_metrics,
)
from graphrec_pt.recipe.measure import (
    differences,
    explanations,
    intervals,
    of_one_file,
    rank_baseline,
    rank_model,
    spread,
)
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.training.run_identity import check_same_run
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.strategy import strategy
from graphrec_pt.training.trainer import Trainer

logger = logging.getLogger(__name__)
PRETRAIN = "pretrain"
"""Strategy of the stages that a twin goes without."""
WHEN: tuple[When, ...] = ("valid", "test")


def run_recipe(
    recipe: Recipe,
    out: str | Path,
    *,
    raw: str | Path | None = None,
    graph: Graph | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Run:
    """Train what a recipe says, measure it, and keep all in a folder.

    Models are chosen on validation alone; test targets are ranked once for each trained model and
    baseline, at the end. Baselines learn from training edges. The folder names everything that a
    number depends on: a run with its ``recipe.yaml`` gives the same numbers again.

    Args:
        recipe: What to do.
        out: Folder of the run; see :mod:`graphrec_pt.recipe.folder`.
        raw: Folder of raw files; without it they are downloaded.
        graph: The whole graph that the recipe names, where it is at hand already.
        resume: Go on where a run in that folder was interrupted.
        progress: Show bars of the training.

    Raises:
        GraphRecError: For a recipe that does not fit its data, every mistake at once; for a folder
            that holds a run unless `resume`, and for one that holds another run.
    """
    out, begun = Path(out), time.monotonic()
    if not will_train(recipe, out, resume=resume):
        return open_run(out)
    made = split_of(recipe.data, graph_of(recipe.data, raw) if graph is None else graph)
    check_fits(recipe, made)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_recipe(recipe, out / RECIPE)
    seeds = [
        _run_seed(recipe, made, seed, out if not number else out / f"seed-{seed}", resume, progress)
        for number, seed in enumerate(recipe.seeds)
    ]
    logger.info("baselines and tests")
    first = seeds[0]
    metrics = {
        "recipe": recipe.name,
        "data": _data(recipe, made),
        "history": dict(SHOWN),
        "seen": recipe.evaluate.seen,
        **first.told,
        **_beside(recipe, made, first),
        "seeds": list(recipe.seeds),
        "by_seed": [{"seed": seed.seed, **seed.told} for seed in seeds],
        "over_seeds": {
            name: spread([seed.told[name] for seed in seeds])
            for name in ("valid", "test", "scratch")
            if first.told[name] is not None
        },
        "parameters": first.parameters,
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
        told: Metrics of ``valid``, ``test`` and ``scratch``, which is None where there is no twin,
            and of ``explanations``, None for a model that does not recommend by paths.
        ranks: Of the trained model, by split.
        other: Ranks of test targets under the other policy, where the data has repeats.
        scratch: Test ranks of the twin without pre-training, if there is one.
        parameters: Size of the model.
    """

    seed: int
    told: Mapping[str, Any]
    ranks: Mapping[When, Ranks]
    other: Mapping[SeenPolicy, Ranks]
    scratch: Ranks | None
    parameters: int


def _run_seed(
    recipe: Recipe, made: Split, seed: int, folder: Path, resume: bool, progress: bool
) -> _Seed:
    """Train with one seed, rank its targets, and leave the folder of the seed."""
    last, seen, rerank = recipe.stages[-1], recipe.evaluate.seen, recipe.evaluate.rerank
    model = _trained(recipe, made, recipe.stages, seed, folder, resume, progress)
    scratch = None
    alone = _without_pretraining(recipe.stages)
    if len(alone) < len(recipe.stages) and recipe.evaluate.scratch:
        logger.info("seed %d: the same from scratch", seed)
        twin = _trained(recipe, made, alone, seed, folder / SCRATCH, resume, progress)
        scratch = rank_model(twin, last, made, "test", seen, rerank)
    logger.info("seed %d: ranking", seed)
    ranks = {when: rank_model(model, last, made, when, seen, rerank) for when in WHEN}
    others = [policy for policy in seen_policies(made) if policy != seen]
    other = {policy: rank_model(model, last, made, "test", policy, rerank) for policy in others}
    model.save_pretrained(folder / MODEL)
    with writing(folder):
        write_ranks(folder / RANKS, of_one_file(ranks))
    metrics = recipe.evaluate.metrics
    told: dict[str, Any] = {when: evaluate(each, metrics) for when, each in ranks.items()}
    told["scratch"] = None if scratch is None else evaluate(scratch, metrics)
    told["explanations"] = explanations(model, last, made)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return _Seed(seed, told, ranks, other, scratch, parameters)


def _trained(
    recipe: Recipe,
    made: Split,
    stages: Sequence[Stage],
    seed: int,
    folder: Path,
    resume: bool,
    progress: bool,
) -> Model:
    """Return a new model, trained by some stages and chosen on validation."""
    logger.info("seed %d: training %s", seed, ", ".join(stage.name for stage in stages))
    model = Model.of(made.train, **dict(recipe.model), seed=seed)
    last, wanted = stages[-1], recipe.evaluate

    def validate(model: Model) -> dict[str, float]:
        ranks = rank_model(model, last, made, "valid", wanted.seen, wanted.rerank)
        return evaluate(ranks, wanted.metrics)

    options = {**recipe.options.model_dump(), "seed": seed}
    trainer = Trainer(folder, progress=progress, **options)
    trainer.fit(model, made.train, stages, validate={last.name: validate}, resume=resume)
    return model


def _without_pretraining(stages: Sequence[Stage]) -> list[Stage]:
    """Return the stages from the first that adapts a model, with all their weights training."""
    adapts = (n for n, stage in enumerate(stages) if stage.strategy.name != PRETRAIN)
    first = next(adapts, len(stages) - 1)
    whole = {"strategy": strategy.build(PRETRAIN)}
    return [stage.model_copy(update=whole) for stage in stages[first:]]


def _beside(recipe: Recipe, made: Split, first: _Seed) -> dict[str, Any]:
    """Return what stands beside the numbers of a model: how sure they are, and baselines."""
    wanted, key = recipe.evaluate, Key(0).named("run")
    compared = recipe.options.watch or wanted.metrics[0]
    configs = baselines_of(recipe, made)
    policies: list[SeenPolicy] = [wanted.seen, *first.other]
    ranked = {
        policy: {name: rank_baseline(config, made, policy) for name, config in configs.items()}
        for policy in policies
    }
    test, others = first.ranks["test"], dict(ranked[wanted.seen])
    if first.scratch is not None:
        others["scratch"] = first.scratch
    return {
        "intervals": intervals(test, wanted.metrics, key),
        "baselines": _metrics(ranked[wanted.seen], wanted.metrics),
        "compared": differences(test, others, compared, key),
        "other_policy": {
            policy: {
                "test": evaluate(ranks, wanted.metrics),
                "baselines": _metrics(ranked[policy], wanted.metrics),
            }
            for policy, ranks in first.other.items()
        },
    }


def _metrics(ranks: Mapping[str, Ranks], metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    return {name: evaluate(each, metrics) for name, each in ranks.items()}


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
    }


def _check_recipe(recipe: Recipe, out: Path) -> None:
    path = out / RECIPE
    saved = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    wanted = json.loads(json.dumps(recipe.resolved()))  # tuples as the lists they come back as
    check_same_run(str(path), saved, wanted)


def _peak_memory() -> float | None:
    """Return the most memory that the process ever held, in MiB; None where nobody counts."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
