"""Top-k lists, and what they say beyond accuracy: coverage, novelty, popularity, inequality."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.ranking import CELLS, checked_scores
from graphrec_pt.evaluation.scorer import Scorer
from graphrec_pt.evaluation.seen import SeenPolicy, seen_pairs
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.torch.segments import ranges


@dataclass(frozen=True, eq=False)
class Lists:
    """The k best candidates of some sources.

    Args:
        nodes: int64 ``[Q]`` global ids of the sources.
        items: int64 ``[Q, k]`` global ids, best first; −1 where fewer candidates are left.
        score: ``[Q, k]``, falling; −∞ there.
        catalogue: How many candidates there are.
        start: Global id of the first of them.
    """

    nodes: Tensor
    items: Tensor
    score: Tensor
    catalogue: int
    start: int

    def counts(self) -> Tensor:
        """Return how often each candidate is recommended: int64 ``[V]``."""
        return torch.bincount(self.items[self.items >= 0] - self.start, minlength=self.catalogue)


def top_lists(
    scorer: Scorer,
    history: Graph,
    relation: str,
    nodes: Tensor,
    k: int,
    *,
    seen: SeenPolicy = "mask",
    cells: int = CELLS,
) -> Lists:
    """Return the best candidates of each source; equal scores go to the lower id.

    Args:
        scorer: What recommends.
        history: What may be seen; its edges are left out under ``"mask"``.
        relation: The relation to recommend for.
        nodes: int64 ``[Q]`` global ids.
        k: How many.
        seen: Whether what a source has met is left out or kept.
        cells: Scores that may exist at once.

    Raises:
        GraphRecError: When `k` is below 1 or larger than the catalogue, and for scores of a wrong
            shape or with NaN.
    """
    catalogue = history.nodes(history.schema.relation(relation).target)
    if not 1 <= k <= len(catalogue):
        raise GraphRecError("top_lists", f"1 <= k <= {len(catalogue)}, the catalogue", k)
    scored, found = [], []
    rows = max(cells // len(catalogue), 1)
    for low in range(0, len(nodes), rows):
        block = nodes[low : low + rows]
        scores = checked_scores(scorer, block, history, len(catalogue))
        if seen == "mask":
            ptr, column = seen_pairs(history, relation, block)
            owner = ranges(ptr[:-1], ptr.diff())[1].to(scores.device)
            scores = scores.index_put(
                (owner, column.to(scores.device)), scores.new_tensor(-torch.inf)
            )
        score = scores.new_full((len(block), k), -torch.inf)
        best = torch.full_like(score, -1, dtype=torch.int64)
        score, best = body("topk", scores)(scores.contiguous(), 0, score, best)
        scored.append(score.cpu())
        found.append(best.cpu())
    items = torch.cat(found) if found else torch.empty(0, k, dtype=torch.int64)
    items = torch.where(items < 0, items, items + catalogue.start)
    score = torch.cat(scored) if scored else torch.empty(0, k)
    return Lists(nodes, items, score, len(catalogue), catalogue.start)


def coverage(lists: Lists) -> float:
    """Return the share of the catalogue that anybody is recommended."""
    return float((lists.counts() > 0).double().mean())


def gini(lists: Lists) -> float:
    """Return how unequally recommendations fall on the catalogue: 0 evenly, towards 1 on one item.

    ``Σ_i (2i − V − 1) c_i / (V Σ c)`` with counts ``c_1 ≤ … ≤ c_V``.
    """
    counts = lists.counts().double().sort().values
    place = 2 * torch.arange(1, len(counts) + 1) - len(counts) - 1
    total = float(counts.sum())
    return float((place * counts).sum()) / (len(counts) * total) if total else 0.0


def novelty(lists: Lists, degree: Tensor, users: int) -> float:
    """Return the mean self-information of what is recommended, in bits.

    ``−log₂(degree / users)`` (Zhou et al., PNAS 2010); items that nobody has count as if one user
    had them.

    Args:
        lists: What is recommended.
        degree: int64 ``[V]``, training interactions of each candidate.
        users: Training users.
    """
    return float(-(_of_each(lists, degree.clamp(min=1)) / max(users, 1)).log2().mean())


def mean_popularity(lists: Lists, degree: Tensor) -> float:
    """Return the mean training interactions of what is recommended; `degree` int64 ``[V]``."""
    return float(_of_each(lists, degree).mean())


def beyond_accuracy(lists: Lists, train: Graph, relation: str) -> dict[str, float]:
    """Return what lists say beyond accuracy: ``coverage@k``, ``gini@k``, ``novelty@k`` and more.

    ``popularity@k`` is the mean training interactions of what is recommended.

    Args:
        lists: The k best of some sources.
        train: The graph that was learnt from.
        relation: The relation that is predicted.
    """
    found = train.schema.relation(relation)
    bought = train.edges(relation).target - lists.start
    degree = torch.bincount(bought, minlength=lists.catalogue)
    k = lists.items.shape[1]
    return {
        f"coverage@{k}": coverage(lists),
        f"gini@{k}": gini(lists),
        f"novelty@{k}": novelty(lists, degree, train.num_nodes(found.source)),
        f"popularity@{k}": mean_popularity(lists, degree),
    }


def _of_each(lists: Lists, degree: Tensor) -> Tensor:
    if degree.shape != (lists.catalogue,):
        raise GraphRecError("lists", f"degree [{lists.catalogue}]", list(degree.shape))
    return degree[lists.items[lists.items >= 0] - lists.start].double()
