"""Full-catalogue scoring in blocks: the k best items of each query, seen ones left out."""

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.checks import check_positive
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sparse import check_ptr
from graphrec_pt.kernels.transposed import owners


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
