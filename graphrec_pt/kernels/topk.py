"""Scores of a whole catalogue: the k best items of each query, and the rank of a target."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.csr import check_positive
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sparse import check_ptr, owners
from graphrec_pt.kernels.torch.segments import ranges


def topk(
    queries: Tensor,
    items: Tensor,
    k: int,
    *,
    seen: tuple[Tensor, Tensor] | None = None,
    block: int = 8192,
) -> tuple[Tensor, Tensor]:
    """Return the k highest inner products of each query; equal scores go to the lower item.

    Memory is one block of scores ``[B, block]`` and the best so far, whatever the catalogue.

    Args:
        queries: float32 or float64 ``[B, D]``.
        items: ``[K, D]`` of the same type, the whole catalogue.
        k: How many to return.
        seen: (ptr int64 ``[B+1]``, item int64 ``[S]``), the items that a query must not get.
        block: Items scored at once.

    Returns:
        Scores ``[B, k]``, falling, and items int64 ``[B, k]``; −∞ and −1 where a query has fewer
        than k items left.

    Raises:
        GraphRecError: For shapes or types that do not fit, k or block below 1, seen items outside
            the catalogue, and vectors that are not finite.

    Example:
        >>> items = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 5.0]])
        >>> topk(torch.tensor([[1.0, 0.0]]), items, 2)
        (tensor([[3., 2.]]), tensor([[1, 2]]))
    """
    check_positive("topk", "k", k)
    check_positive("topk", "block", block)
    _check_vectors(queries, items)
    row, item = _seen_by_item(seen, len(queries), len(items), queries.device)
    score = queries.new_full((len(queries), k), float("-inf"))  # [B, k]
    best = torch.full_like(score, -1, dtype=torch.int64)
    merge = body("topk", queries)
    for low in range(0, len(items), block):
        part = queries @ items[low : low + block].T  # [B, block]
        bounds = torch.tensor([low, low + block], device=item.device)
        first, last = torch.searchsorted(item, bounds).tolist()
        part[row[first:last], item[first:last] - low] = float("-inf")
        score, best = merge(part, low, score, best)
    return score, best


def _check_vectors(queries: Tensor, items: Tensor) -> None:
    fits = queries.ndim == items.ndim == 2 and queries.shape[1] == items.shape[1]
    floats = queries.dtype == items.dtype and queries.dtype in (torch.float32, torch.float64)
    if not (fits and floats):
        raise GraphRecError(
            "topk",
            "queries [B, D] and items [K, D] in float32 or in float64",
            f"{queries.dtype} {list(queries.shape)} and {items.dtype} {list(items.shape)}",
        )
    for name, vectors in (("queries", queries), ("items", items)):
        finite = torch.isfinite(vectors).all(dim=1)
        if not bool(finite.all()):
            raise GraphRecError("topk", f"finite {name}", f"row {int((~finite).nonzero()[0])}")


def _seen_by_item(
    seen: tuple[Tensor, Tensor] | None, queries: int, items: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return (query, item) of every seen pair, ascending by item so that a block is a slice."""
    if seen is None:
        none = torch.empty(0, dtype=torch.int64, device=device)
        return none, none
    ptr, item = seen
    if len(ptr) != queries + 1:
        raise GraphRecError("topk", f"seen ptr [{queries + 1}]", list(ptr.shape))
    check_ptr("topk", ptr, len(item))
    if len(item) and (int(item.min()) < 0 or int(item.max()) >= items):
        raise GraphRecError("topk", f"seen items in [0, {items})", int(item.abs().max()))
    ascending, order = torch.sort(item.long())
    return owners(ptr, len(item))[order], ascending


class Ranked(NamedTuple):
    """The ranks of targets.

    Args:
        rank: float64 ``[n]`` on the CPU, from 1; ∞ for a target that is left out, NaN where a score
            of its row is NaN.
        candidates: int64 ``[n]`` on the CPU, how many it was ranked among.
    """

    rank: Tensor
    candidates: Tensor


def rank(
    scores: Tensor, row: Tensor, column: Tensor, seen: tuple[Tensor, Tensor] | None = None
) -> Ranked:
    """Return the rank of each target in its row, as expected when ties are broken at random.

    ``rank = 1 + #{v : s_v > s} + ½ #{v : s_v = s}`` over the other candidates. One pass over the
    scores, which are not modified; excluded candidates are subtracted afterwards.

    Args:
        scores: float32 or float64 ``[B, V]``; −∞ is a score like others.
        row: int64 ``[n]``.
        column: int64 ``[n]``, the targets.
        seen: (ptr int64 ``[B+1]``, column int64 ``[S]``), different candidates of each row that are
            left out; None for nothing.

    Raises:
        GraphRecError: For shapes and types that do not fit, and places outside of the scores.
    """
    floats = scores.dtype in (torch.float32, torch.float64)
    if scores.ndim != 2 or not floats or row.shape != column.shape or row.ndim != 1:
        got = f"{scores.dtype} {list(scores.shape)}, {list(row.shape)} and {list(column.shape)}"
        raise GraphRecError("rank", "float scores [B, V], row [n] and column [n]", got)
    _check_inside("row", row, scores.shape[0])
    _check_inside("column", column, scores.shape[1])
    if seen is None:
        seen = torch.zeros(len(scores) + 1, dtype=torch.int64), column[:0]
    if len(seen[0]) != len(scores) + 1:
        raise GraphRecError("rank", f"seen ptr [{len(scores) + 1}]", list(seen[0].shape))
    check_ptr("rank", seen[0], len(seen[1]))
    _check_inside("seen", seen[1], scores.shape[1])
    ranked = Ranked(*body("topk.rank", scores)(scores, row, column, *seen))
    return ranked


def _check_inside(name: str, place: Tensor, size: int) -> None:
    if len(place) and (int(place.min()) < 0 or int(place.max()) >= size):
        wrong = place[(place < 0) | (place >= size)]
        raise GraphRecError("rank", f"{name} in [0, {size})", int(wrong[0]))


def torch_topk(part: Tensor, low: int, score: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Merge a block of scores into the best so far.

    Args:
        part: ``[B, block]`` scores of the items from `low` on; −∞ for items to leave out.
        low: First item of the block; every item in `best` is lower.
        score: ``[B, k]``, falling, −∞ past the end.
        best: int64 ``[B, k]``, −1 past the end.

    Returns:
        New score and best.
    """
    k = score.shape[1]
    item = torch.arange(low, low + part.shape[1], device=part.device).expand_as(part)
    scores = torch.cat([score, part], dim=1)  # [B, k + block]
    items = torch.cat([best, item], dim=1)
    falling = torch.sort(scores, dim=1, descending=True, stable=True)
    score = falling.values[:, :k]
    best = items.gather(1, falling.indices[:, :k])
    return score, best.masked_fill(score == float("-inf"), -1)


def torch_rank(
    scores: Tensor, row: Tensor, column: Tensor, ptr: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """Return ranks and how many candidates there were.

    With a candidates above, b below and e others equal, ``C = a + b + e + 1``, the rank
    ``1 + a + e/2`` is ``(C + 1 + a − b) / 2``: so counting a and b is enough.

    Args:
        scores: ``[B, V]``.
        row: int64 ``[n]``.
        column: int64 ``[n]``.
        ptr: int64 ``[B+1]``.
        seen: int64 ``[S]``.

    Returns:
        float64 ``[n]`` and int64 ``[n]``, on the CPU.
    """
    row, column, ptr, seen = (part.cpu() for part in (row, column, ptr, seen))
    at, device = row.to(scores.device), scores.device
    mine = scores[at, column.to(device)]
    balance = torch.empty(len(row), dtype=torch.int64)
    for part in torch.split(torch.arange(len(row)), max(len(scores), 1)):
        among, score = scores[at[part]], mine[part].unsqueeze(1)  # [b, V]
        balance[part] = ((among > score).sum(1) - (among < score).sum(1)).cpu()
    count = ptr.diff()[row]
    position, target = ranges(ptr[row], count)
    theirs = scores[at[target], seen[position].to(device)]
    score = mine[target.to(device)]
    sides = (theirs > score).long() - (theirs < score).long()
    balance.index_add_(0, target, -sides.cpu())
    candidates = scores.shape[1] - count
    ranks = (candidates + 1 + balance).double() / 2
    ranks[target[seen[position] == column[target]]] = torch.inf
    ranks[scores.isnan().any(1).cpu()[row]] = torch.nan
    return ranks, candidates
