"""Several runs beside each other, tested user by user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.intervals import Comparison, compare
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.measure import spread


@dataclass(frozen=True)
class Compared:
    """One of several runs.

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
    """Return the test metrics of runs, and how sure it is that they differ from the first.

    Args:
        runs: Of the same targets, judged by the same policy.
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
        told = spread([evaluate(each, metrics) for each in run.tests])
        values = {name: each["mean"] for name, each in told.items()}
        rows.append(Compared(str(run.folder), values, tested))
    return rows
