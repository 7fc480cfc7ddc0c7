"""Batches of sequences of like length, as a pure function of lengths, key and epoch."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, permutation

WINDOW = 64
"""Batches that are sorted by length together."""


def bucketed(
    lengths: Tensor,
    key: Key,
    *,
    size: int | None = None,
    tokens: int | None = None,
    window: int = WINDOW,
) -> list[Tensor]:
    """Return the rows of every batch of an epoch.

    The rows are shuffled and cut into windows; inside a window they are sorted by length and cut
    into batches; then the batches are shuffled. All from Philox: the same arguments give the same
    batches anywhere, and another epoch of the key gives others. A rank of `world` takes
    ``rows[rank::world]`` of each.

    A wider window pads less and shuffles less. `tokens` copes with long tails, `size` does not:
    histories of Amazon Beauty cut at 50 waste 4 % with ``size=64`` and 2 % with ``tokens=4096``,
    cut at 200 they waste 16 % and 4 % (unsorted 78 % and more).

    Args:
        lengths: int64 ``[n]``, tokens of every row.
        key: Seed and epoch.
        size: Rows per batch; give this or `tokens`.
        tokens: Tokens per batch at most, not counting padding.
        window: Batches sorted together; 1 sorts nothing.

    Returns:
        int64 rows of each batch; every row of ``range(n)`` is in one of them.

    Raises:
        GraphRecError: When both or none of the limits are given, and for a row that no batch of
            `tokens` can hold.
    """
    if (size is None) == (tokens is None):
        raise GraphRecError("bucketed", "size or tokens", f"size={size}, tokens={tokens}")
    limit = size if tokens is None else tokens
    for name, value in (("size or tokens", limit), ("window", window)):
        if value is None or value < 1:
            raise GraphRecError("bucketed", f"{name} >= 1", value)
    lengths = lengths.cpu()
    longest = int(lengths.max()) if len(lengths) else 0
    if tokens is not None and longest > tokens:
        hint = f"tokens={longest} or a smaller window in the sampler"
        raise GraphRecError("bucketed", f"rows of at most {tokens} tokens", longest, hint)
    order = torch.from_numpy(permutation(key.named("bucket.rows"), len(lengths)))
    cost = torch.ones_like(lengths) if tokens is None else lengths
    batches: list[Tensor] = []
    for part in _cut(order, cost, window * (limit or 1)):
        ascending = part[torch.argsort(lengths[part], stable=True)]
        batches += _cut(ascending, cost, limit or 1)
    shuffled = permutation(key.named("bucket.batches"), len(batches))
    return [batches[at] for at in shuffled.tolist()]


def waste(lengths: Tensor, batches: Sequence[Tensor]) -> float:
    """Return the share of padding if each batch were padded to its longest row.

    ``1 − Σ lengths / Σ_b rows_b · longest_b``; 0 for no batches.
    """
    sizes = torch.tensor([len(rows) for rows in batches], dtype=torch.int64)
    if not len(sizes) or not int(sizes.sum()):
        return 0.0
    rows = torch.cat(list(batches))
    owner = torch.arange(len(sizes)).repeat_interleave(sizes)
    used = lengths.cpu()[rows]
    longest = torch.zeros_like(sizes).scatter_reduce(0, owner, used.to(sizes.dtype), "amax")
    room = int((sizes * longest).sum())
    return 1 - int(used.sum()) / room if room else 0.0


def _cut(rows: Tensor, cost: Tensor, limit: int) -> list[Tensor]:
    """Cut rows, in their order, into pieces whose costs sum up to at most `limit`."""
    ends = cost[rows].cumsum(0)
    starts, at = [0], 0
    while at < len(rows):
        spent = int(ends[at - 1]) if at else 0
        at = int(torch.searchsorted(ends, spent + limit, right=True))
        starts.append(at)
    return [rows[low:high] for low, high in pairwise(starts)]
