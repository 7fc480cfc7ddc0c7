"""Beyond-accuracy measures of recommendation lists: coverage, novelty, popularity, inequality."""

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.predict.lists import Lists


def coverage(lists: Lists) -> float:
    """Return the share of the catalogue that is recommended to at least one source."""
    return float((lists.counts() > 0).double().mean())


def gini(lists: Lists) -> float:
    """Return the Gini index of recommendations per item: 0 if equal, near 1 for a single item.

    ``Σ_i (2i − V − 1) c_i / (V Σ c)`` with counts ``c_1 ≤ … ≤ c_V``.
    """
    counts = lists.counts().double().sort().values
    place = 2 * torch.arange(1, len(counts) + 1) - len(counts) - 1
    total = float(counts.sum())
    return float((place * counts).sum()) / (len(counts) * total) if total else 0.0


def novelty(lists: Lists, degree: Tensor, users: int) -> float:
    """Return the mean self-information of the recommended items, in bits.

    ``−log₂(degree / users)`` (Zhou et al., PNAS 2010); an item without interactions counts as if
    one user had it.

    Args:
        lists: The recommended items.
        degree: int64 ``[V]``, training interactions of each candidate.
        users: Training users.
    """
    return float(-(_of_each(lists, degree.clamp(min=1)) / max(users, 1)).log2().mean())


def mean_popularity(lists: Lists, degree: Tensor) -> float:
    """Return the mean training interactions of recommended items; `degree` int64 ``[V]``."""
    return float(_of_each(lists, degree).mean())


def beyond_accuracy(lists: Lists, train: Graph, relation: str) -> dict[str, float]:
    """Return ``coverage@k``, ``gini@k``, ``novelty@k`` and ``popularity@k`` of lists.

    ``popularity@k`` is the mean number of training interactions of the recommended items.

    Args:
        lists: The k best candidates of some sources.
        train: The training graph.
        relation: The relation that is predicted.
    """
    definition = train.schema.relation(relation)
    bought = train.edges(relation).target - lists.start
    degree = torch.bincount(bought, minlength=lists.catalogue)
    k = lists.items.shape[1]
    return {
        f"coverage@{k}": coverage(lists),
        f"gini@{k}": gini(lists),
        f"novelty@{k}": novelty(lists, degree, train.num_nodes(definition.source)),
        f"popularity@{k}": mean_popularity(lists, degree),
    }


def _of_each(lists: Lists, degree: Tensor) -> Tensor:
    if degree.shape != (lists.catalogue,):
        raise GraphRecError("lists", f"degree [{lists.catalogue}]", list(degree.shape))
    return degree[lists.items[lists.items >= 0] - lists.start].double()
