"""The metric family: names like ``ndcg@10``, values per user, computed from ranks alone."""

from collections.abc import Sequence
from typing import Protocol

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.ranks import COMPAT, Floats, Ranks

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
    """Measures the ranks of each user's targets; a frozen config."""

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user, in the order of ``ranks.users``: ``[U]``.

        Their mean is the metric.
        """
        ...


metric: Registry[Metric] = Registry("metric")
"""``@metric("name")`` makes a class usable as ``name`` or, with an option `k`, as ``name@k``."""


def parse_metric(name: str) -> Metric:
    """Return the metric that a text like ``"ndcg@10"`` or ``"mrr"`` names.

    Raises:
        GraphRecError: For unknown names, with what was probably meant, and cut-offs that are
            missing, not wanted or not whole numbers from 1.
    """
    kind, at, cutoff = name.partition("@")
    if not at:
        return metric.build(kind)
    if not cutoff.isascii() or not cutoff.isdigit():
        raise GraphRecError("metric", "a name like 'ndcg@10'", repr(name))
    return metric.build({"name": kind, "k": int(cutoff)})


def per_user(ranks: Ranks, name: str) -> Floats:
    """Return a metric's value for each user, in the order of ``ranks.users``: ``[U]``.

    Raises:
        GraphRecError: For names that :func:`parse_metric` refuses, no targets at all, and a
            cut-off larger than the catalogue.
    """
    chosen = parse_metric(name)
    if not len(ranks):
        raise GraphRecError(name, "at least one target", "none")
    k, most = getattr(chosen, "k", None), int(ranks.candidates.max())
    if k is not None and k > most:
        raise GraphRecError(name, f"k <= {most}, the candidates that were ranked", k)
    return chosen.values(ranks)


def evaluate(ranks: Ranks, metrics: Sequence[str] = DEFAULT) -> dict[str, float]:
    """Return the mean over users of each metric.

    Names of metrics over sampled negatives carry how they were sampled, e.g.
    ``"compat:sampled99_uniform_seed0:ndcg@10"``, so that nobody takes them for the real ones.

    Args:
        ranks: Of one split.
        metrics: Names such as ``"ndcg@10"``.

    Raises:
        GraphRecError: As :func:`per_user`.
    """
    how = ranks.policy.get(COMPAT)
    prefix = f"{COMPAT}:{how}:" if how else ""
    return {prefix + name: float(per_user(ranks, name).mean()) for name in metrics}
