"""The metric family: names like ``ndcg@10``, values per user, computed from outcomes alone."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.outcome import Outcome
from graphrec_pt.evaluation.ranks import COMPAT, Floats

DEFAULT = (
    "hr@10",
    "recall@10",
    "precision@10",
    "ndcg@5",
    "ndcg@10",
    "ndcg@20",
    "mrr",
    "map",
    "auc",
)


class Metric(Protocol):
    """Measures the targets of each user; a frozen config.

    A metric that is no mean over users also has ``over(outcome, counts) -> [R]``: its values when
    users are weighted by ``counts [R, U]``. A metric of other outcomes than
    :class:`~graphrec_pt.evaluation.ranks.Ranks` names their class: ``of: ClassVar[str] =
    "Predicted"``.
    """

    def values(self, outcome: Any) -> Floats:
        """Return one value per user, in the order of ``outcome.users``: ``[U]``.

        Their mean is the metric, unless it has ``over``; NaN for users whose value is undefined.
        """
        ...


metric: Registry[Metric] = Registry("metric")
"""``@metric("name")`` makes a class usable as ``name`` or, with an option `k`, as ``name@k``.

Example:
    >>> @metric("best_rank")
    ... @dataclass(frozen=True)
    ... class BestRank:
    ...     def values(self, ranks):
    ...         return ranks.per_user(np.where(ranks.place == 1, ranks.rank, 0))
    >>> parts = split(checkerboard(10), "leave_one_out")
    >>> popular = Popularity().fit(parts.train).on(parts.history("test"))
    >>> evaluate(rank_targets(popular, parts, "test"), ["best_rank", "hr@5"])
    {'best_rank': 4.0, 'hr@5': 1.0}
"""


def parse_metric(name: str) -> Metric:
    """Return the metric that a text like ``"ndcg@10"`` or ``"mrr"`` names.

    Raises:
        GraphRecError: For unknown names, with a suggestion, and for cut-offs that are missing,
            superfluous or not whole numbers from 1.
    """
    kind, at, cutoff = name.partition("@")
    if not at:
        return metric.build(kind)
    if not cutoff.isascii() or not cutoff.isdigit():
        raise GraphRecError("metric", "a name like 'ndcg@10'", repr(name))
    return metric.build({"name": kind, "k": int(cutoff)})


def measures(name: str) -> str:
    """Return the class of outcomes that a metric measures, such as ``"Ranks"``."""
    return str(getattr(parse_metric(name), "of", "Ranks"))


def per_user(outcome: Outcome, name: str) -> Floats:
    """Return a metric's value for each user, in the order of ``outcome.users``: ``[U]``.

    Raises:
        GraphRecError: For names that :func:`parse_metric` refuses, no targets at all, metrics of
            other outcomes, and a cut-off larger than the catalogue.
    """
    return _fitting(outcome, name).values(outcome)


def statistic(outcome: Outcome, name: str) -> Callable[[Floats], Floats]:
    """Return a metric as a function of how often each user counts: ``[R, U]`` to ``[R]``.

    Raises:
        GraphRecError: As :func:`per_user`.
    """
    chosen: Any = _fitting(outcome, name)
    if hasattr(chosen, "over"):
        return lambda counts: chosen.over(outcome, counts)
    values = chosen.values(outcome)
    return lambda counts: counts @ values / counts.sum(axis=1)


def evaluate(outcome: Outcome, metrics: Sequence[str] = DEFAULT) -> dict[str, float]:
    """Return each metric over all users, who count once each.

    Names of metrics over sampled negatives include the sampling, e.g.
    ``"compat:sampled99_uniform_seed0:ndcg@10"``, to distinguish them from metrics of full rankings.

    Args:
        outcome: The outcome of one split.
        metrics: Names such as ``"ndcg@10"``.

    Raises:
        GraphRecError: As :func:`per_user`.
    """
    how = outcome.policy.get(COMPAT)
    prefix = f"{COMPAT}:{how}:" if how else ""
    once = np.ones((1, len(outcome.users)))
    return {prefix + name: float(statistic(outcome, name)(once)[0]) for name in metrics}


def measurable(outcome: Outcome, metrics: Sequence[str]) -> list[str]:
    """Return the metrics that an outcome has the data for.

    A metric with ``needs: ClassVar[str]`` reads an optional column: a system without likelihoods
    has no perplexity.
    """
    columns = [(name, getattr(parse_metric(name), "needs", None)) for name in metrics]
    table = outcome.table
    return [name for name, needs in columns if needs is None or table[needs].count()]


def _fitting(outcome: Outcome, name: str) -> Metric:
    chosen = parse_metric(name)
    if not len(outcome):
        raise GraphRecError(name, "at least one target", "none")
    if measures(name) != type(outcome).__name__:
        raise GraphRecError(name, f"the class {measures(name)}", type(outcome).__name__)
    k, ranked = getattr(chosen, "k", None), "candidates" in outcome.table.columns
    if ranked and k is not None and k > (most := int(outcome.table["candidates"].max())):  # type: ignore[arg-type]
        raise GraphRecError(name, f"k <= {most}, the candidates that were ranked", k)
    return chosen
