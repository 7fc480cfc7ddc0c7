"""Measurements of a run: confidence intervals, differences from baselines, and slices."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.intervals import Comparison, compare, resampled
from graphrec_pt.evaluation.metric import evaluate, measurable
from graphrec_pt.evaluation.outcome import Outcome
from graphrec_pt.evaluation.slices import slices
from graphrec_pt.graph.split import Split
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.recipe.folder import Run
from graphrec_pt.training.stage import Stage

LEVEL = 0.95
"""Of all intervals."""


def intervals(outcome: Outcome, metrics: Sequence[str], key: Key) -> dict[str, list[float]]:
    """Return the bootstrap interval of every metric over users, as (low, high)."""
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(resampled(outcome, metrics, key), tails, axis=0)
    return {name: [float(low[n]), float(high[n])] for n, name in enumerate(metrics)}


def differences(
    ours: Outcome | Sequence[Outcome],
    others: Mapping[str, Outcome | Sequence[Outcome]],
    metric: str,
    key: Key,
) -> dict[str, dict[str, Any]]:
    """Return paired tests of a model against others over users, on means over seeds.

    Systems that have no data for the metric are left out.
    """
    return {
        name: asdict(compare(ours, theirs, metric, key))
        for name, theirs in others.items()
        if measurable(theirs[0] if isinstance(theirs, Sequence) else theirs, [metric])
    }


def by_slice(
    ours: Outcome, others: Mapping[str, Outcome], metric: str, made: Split
) -> dict[str, dict[str, Any]]:
    """Return a metric of a model and of others on the parts of the test targets.

    Args:
        ours: Outcome of the model.
        others: Outcomes of baselines and the control, by name.
        metric: Name such as ``"ndcg@10"``.
        made: Whose training edges say what is cold, rare or in the tail.

    Returns:
        Slice → ``targets``, ``users``, and the metric of every system by name, the model's as
        ``model``; None where it is undefined, such as an AUC of one kind of label.
    """
    cut = {
        name: slices(each, made.train, made.relation)
        for name, each in {"model": ours, **others}.items()
    }
    return {
        part: {
            "targets": len(outcome),
            "users": len(outcome.users),
            "metric": metric,
            **{name: _metric_or_none(parts[part], metric) for name, parts in cut.items()},
        }
        for part, outcome in cut["model"].items()
    }


def _metric_or_none(outcome: Outcome, metric: str) -> float | None:
    try:
        return evaluate(outcome, [metric])[metric]
    except GraphRecError:
        return None


def spread(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation (n − 1; 0 for one) of metrics over seeds."""
    spreads = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        spreads[name] = {"mean": float(values.mean()), "sd": sd}
    return spreads


def reads_graph(model: Model, last: Stage) -> bool:
    """Return whether a model's scores depend on the edges of the given graph."""
    prior = any(
        isinstance(readout := term.objective.readout(), QueryReadout) and readout.prior is not None
        for term in last.objectives
    )
    return prior or model.features.propagate is not None


@dataclass(frozen=True)
class Compared:
    """The test metrics of one of several compared runs.

    Args:
        name: Its folder.
        values: Test metrics, means over the seeds of the run.
        differences: Metric → this run minus the first one, user by user as means over their
            seeds; empty for the first.
    """

    name: str
    values: Mapping[str, float]
    differences: Mapping[str, Comparison]


def compare_runs(runs: Sequence[Run], metrics: Sequence[str] | None = None) -> list[Compared]:
    """Return the test metrics of runs, and paired tests against the first run.

    Args:
        runs: Runs of the same targets, judged by the same policy.
        metrics: Names; by default those that the recipes of all runs name.

    Raises:
        GraphRecError: For fewer than two runs, runs on other data, and no metric in common.
    """
    if len(runs) < 2:
        raise GraphRecError("compare", "at least two runs", len(runs))
    prints = {str(run.metrics["data"]["fingerprint"])[:12] for run in runs}
    if len(prints) > 1:
        got = "graphs " + ", ".join(sorted(prints))
        raise GraphRecError("compare", "runs on the same data", got)
    if metrics is None:
        named = [run.recipe.evaluate.metrics for run in runs]
        metrics = [name for name in named[0] if all(name in other for other in named)]
    if not metrics:
        raise GraphRecError("compare", "a metric that all runs name", "none")
    first, key = runs[0].tests, Key(0).named("compare")
    rows = []
    for number, run in enumerate(runs):
        tested = {name: compare(run.tests, first, name, key) for name in metrics} if number else {}
        spreads = spread([evaluate(each, metrics) for each in run.tests])
        values = {name: each["mean"] for name, each in spreads.items()}
        rows.append(Compared(str(run.folder), values, tested))
    return rows
