"""The numbers of a run beside others: baselines, its twin, its seeds, parts of the targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.ranks import Ranks
from graphrec_pt.evaluation.slices import slices
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.measure import intervals
from graphrec_pt.serve.report.axes import Axis
from graphrec_pt.training.weights import lower_is_better

MARKS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
FEWEST = 20
"""Users from which an interval is told."""
MODEL, TWIN = "the model", "scratch twin"
PARTS = {
    "cold_items": "items never met",
    "rare_items": "items met 1 to 4 times",
    "tail_items": "items of the long tail",
    "head_items": "the other items",
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
        values: Metric → mean over users.
        mark: Stars of the test against the model.
    """

    name: str
    values: Mapping[str, float]
    mark: str = ""


@dataclass(frozen=True)
class Bar:
    """An interval to draw, in percent of the width.

    Args:
        low: Lower end.
        middle: The value.
        high: Upper end.
        zero: Where nothing differs, or where the axis begins.
    """

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
    """Return the model, its twin and the baselines at test, the best of `metric` first."""
    told = run.metrics
    rows = {MODEL: told["test"], TWIN: told["scratch"], **told["baselines"]}
    marks = {gap.name: gap.mark for gap in gaps(run)}
    found = [
        System(name, values, marks.get(name, ""))
        for name, values in rows.items()
        if values is not None
    ]
    return sorted(found, key=lambda system: _merit(metric, system.values[metric]), reverse=True)


def gaps(run: Run) -> list[Gap]:
    """Return how far the model is ahead of every other system, the strongest of them first."""
    tested = {_name(name): each for name, each in run.metrics["compared"].items()}
    if not tested:
        return []
    spread = run.metrics["over_seeds"].get("scratch", {})
    twin = {name: each["mean"] for name, each in spread.items()}
    rows = {_name("scratch"): twin, **run.metrics["baselines"]}
    ends = [value for each in tested.values() for value in (each["low"], each["high"])]
    axis = Axis.around([0.0, *ends], 0.0, 100.0, margin=0.04)
    found = [
        Gap(
            name,
            rows[name][each["metric"]],
            each["difference"],
            each["low"],
            each["high"],
            each["p_bootstrap"],
            each["p_t"],
            _mark(each["p_bootstrap"]),
            _bar(axis, each["low"], each["difference"], each["high"]),
        )
        for name, each in tested.items()
    ]
    metric = str(next(iter(tested.values()))["metric"])
    return sorted(found, key=lambda gap: _merit(metric, gap.theirs), reverse=True)


def best_values(rows: Sequence[System]) -> dict[str, float]:
    """Return the best value of each metric: the lowest one of losses and errors."""
    return {
        name: max((row.values[name] for row in rows), key=lambda value: _merit(name, value))
        for name in rows[0].values
    }


def _merit(metric: str, value: float) -> float:
    return -value if lower_is_better(metric) else value


def parts(run: Run, metric: str) -> list[Part]:
    """Return the metric by how often the history shows the item and how long it is.

    Args:
        run: With ranks and a history; of the first seed.
        metric: Name such as ``ndcg@10``.
    """
    found = slices(run.ranks["test"], run.history, run.relation)
    ends = {name: _interval(ranks, metric) for name, ranks in found.items()}
    axis = Axis(0.0, max((high for _, high in ends.values()), default=0.0) or 1.0, 0.0, 100.0)
    return [_part(PARTS[name], ranks, metric, ends[name], axis) for name, ranks in found.items()]


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


def _name(name: str) -> str:
    return TWIN if name == "scratch" else name


def _mark(p: float) -> str:
    return next((mark for bound, mark in MARKS if p < bound), "")
