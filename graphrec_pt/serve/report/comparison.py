"""The numbers of a run compared with baselines and its control, over seeds and slices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.ranks import Ranks
from graphrec_pt.evaluation.slices import slices
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.measure import intervals
from graphrec_pt.serve.report.learning_curves import CONTROL, MODEL, Axis
from graphrec_pt.training.weights import lower_is_better

STARS = ((0.01, "**"), (0.05, "*"))
"""Of the paired bootstrap; its resamples are too few for a third bound."""
FEWEST = 20
"""Users below which no interval is shown: a bootstrap of so few says little."""
SAME = {"recall": "hr", "hr": "recall", "map": "mrr", "mrr": "map"}
"""Metrics that are equal where every user has one target."""
PARTS = {
    "cold_items": "items without a training event",
    "rare_items": "items with 1 to 4 events",
    "tail_items": "items of the long tail",
    "head_items": "items outside the long tail",
    "cold_users": "users without history",
    "short_users": "users with 1 to 4 events",
    "long_users": "users with 5 events or more",
}
"""What the slices of :func:`~graphrec_pt.evaluation.slices.slices` are."""


@dataclass(frozen=True)
class System:
    """One row of the table of results.

    Args:
        name: Of the system.
        values: Metric → mean over users; without those that the system has no data for.
        mark: Stars of its paired bootstrap against the model.
    """

    name: str
    values: Mapping[str, float]
    mark: str = ""


class Bar(NamedTuple):
    """An interval to draw, in percent of the width; `zero` is where nothing differs."""

    low: float
    middle: float
    high: float
    zero: float


@dataclass(frozen=True)
class Gap:
    """How far the model is ahead of another system.

    Args:
        name: Of the other one.
        theirs: Its value, the mean over its seeds.
        difference: The model minus it, as means over seeds.
        low: Lower end of the interval.
        high: Upper end.
        p: Two-sided, paired bootstrap.
        p_t: Two-sided, paired t-test.
        mark: Stars.
        bar: The interval as a picture.
    """

    name: str
    theirs: float
    difference: float
    low: float
    high: float
    p: float
    p_t: float
    mark: str
    bar: Bar


@dataclass(frozen=True)
class Part:
    """The metric on some of the targets.

    Args:
        name: What they have in common.
        targets: How many.
        users: Of how many users.
        value: Mean over these users.
        bar: The interval as a picture; None below :data:`FEWEST` users, where a bootstrap says
            little.
        low: Lower end of the interval.
        high: Upper end.
    """

    name: str
    targets: int
    users: int
    value: float
    bar: Bar | None
    low: float
    high: float


def watched_metric(run: Run) -> str:
    """Return the metric that the model was chosen by, else the first one."""
    return run.recipe.options.watch or run.recipe.evaluate.metrics[0]


def systems(run: Run, metric: str) -> list[System]:
    """Return the model, its control and the baselines at test, the best of `metric` first.

    Model and control have their means over seeds, as in the tests of the differences.
    """
    rows = {MODEL: _mean(run, "test"), CONTROL: _mean(run, "scratch"), **run.metrics["baselines"]}
    marks = {gap.name: gap.mark for gap in gaps(run)}
    made = [System(name, values, marks.get(name, "")) for name, values in rows.items() if values]

    def merit(system: System) -> float:
        value = system.values.get(metric)
        return -inf if value is None else _merit(metric, value)

    return sorted(made, key=merit, reverse=True)


def distinct(metrics: Sequence[str], rows: Sequence[System]) -> tuple[list[str], str]:
    """Return the metrics to print, and a sentence on those that repeat another one.

    Args:
        metrics: Names such as ``recall@10``; the first of two equal ones stays.
        rows: With the values of every system.
    """
    kept: list[str] = []
    equal = []
    for name in metrics:
        base, at, k = name.partition("@")
        other = SAME.get(base, "") + at + k
        if other in kept and all(row.values.get(name) == row.values.get(other) for row in rows):
            equal.append(f"{name} equals {other}")
        else:
            kept.append(name)
    return kept, f"For every system {', '.join(equal)}." if equal else ""


def gaps(run: Run) -> list[Gap]:
    """Return how far the model is ahead of every other system, the strongest of them first."""
    tested = {
        CONTROL if name == "scratch" else name: t for name, t in run.metrics["compared"].items()
    }
    if not tested:
        return []
    rows = {CONTROL: _mean(run, "scratch"), **run.metrics["baselines"]}
    ends = [value for each in tested.values() for value in (each["low"], each["high"])]
    axis = Axis.around([0.0, *ends], 0.0, 100.0, margin=0.04)
    made = [
        Gap(
            name,
            rows[name][each["metric"]],
            each["difference"],
            each["low"],
            each["high"],
            each["p_bootstrap"],
            each["p_t"],
            stars(each["p_bootstrap"]),
            _bar(axis, each["low"], each["difference"], each["high"]),
        )
        for name, each in tested.items()
    ]
    metric = str(next(iter(tested.values()))["metric"])
    return sorted(made, key=lambda gap: _merit(metric, gap.theirs), reverse=True)


def stars(p: float | None) -> str:
    """Return the stars of a p-value of the paired bootstrap; none where nothing was tested."""
    return "" if p is None else next((mark for bound, mark in STARS if p < bound), "")


def _mean(run: Run, name: str) -> dict[str, float]:
    """Return means over seeds; empty where the run has no such system."""
    spread = run.metrics["over_seeds"].get(name, {})
    return {metric: each["mean"] for metric, each in spread.items()}


def best_values(rows: Sequence[System]) -> dict[str, float]:
    """Return the best value of each metric: the lowest one of losses and errors."""
    return {
        name: max(
            (row.values[name] for row in rows if name in row.values),
            key=lambda value: _merit(name, value),
        )
        for name in {name: None for row in rows for name in row.values}
    }


def _merit(metric: str, value: float) -> float:
    return -value if lower_is_better(metric) else value


def parts(run: Run, metric: str) -> list[Part]:
    """Return the metric by how often the history shows the item and how long it is.

    Args:
        run: With ranks and a history; of the first seed.
        metric: Name such as ``ndcg@10``.
    """
    cut = slices(run.ranks["test"], run.history, run.relation)
    ends = {name: _interval(ranks, metric) for name, ranks in cut.items()}
    axis = Axis(0.0, max((high for _, high in ends.values()), default=0.0) or 1.0, 0.0, 100.0)
    return [_part(PARTS[name], ranks, metric, ends[name], axis) for name, ranks in cut.items()]


def _part(name: str, ranks: Ranks, metric: str, ends: tuple[float, float], axis: Axis) -> Part:
    value = evaluate(ranks, [metric])[metric]
    bar = _bar(axis, ends[0], value, ends[1])
    users = len(ranks.users)
    return Part(name, len(ranks), users, value, bar if users >= FEWEST else None, *ends)


def _interval(ranks: Ranks, metric: str) -> tuple[float, float]:
    low, high = intervals(ranks, [metric], Key(0).named("run"))[metric]  # as the run's own
    return low, high


def _bar(axis: Axis, low: float, middle: float, high: float) -> Bar:
    return Bar(*(axis.at(value) for value in (low, middle, high, 0.0)))
