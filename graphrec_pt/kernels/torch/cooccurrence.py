"""ChannelSums, place by place with dense rows: the readable reference."""

import torch
from torch import Tensor

from graphrec_pt.kernels.cooccurrence import Matrices


def cooccurrence(
    item: Tensor,
    ptr: Tensor,
    place: Tensor,
    target: Tensor,
    matrices: Matrices,
    which: Tensor,
    decays: Tensor,
    own: bool,
    most: int,
    floor: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ptr, item and value; see :func:`graphrec_pt.kernels.cooccurrence.cooccurrence`."""
    size, width = matrices.ptr.shape[1] - 1, len(which)
    counts, items, values = [0], [item[:0]], [torch.zeros(0, width)]
    for at, wanted in zip(place.tolist(), target.tolist(), strict=True):
        first = int(ptr[torch.searchsorted(ptr, at, right=True) - 1])
        last = int(ptr[torch.searchsorted(ptr, at, right=True)])
        total = torch.zeros(size, width)
        for c, (number, decay) in enumerate(zip(which.tolist(), decays.tolist(), strict=True)):
            for step in range(first, at + 1):
                row = _row(matrices, number, int(item[step]))
                if own:
                    row = row - _share(item[first:last], int(item[step]), matrices, number, row)
                total[:, c] += decay ** (at - step) * row
        total = total.clamp(min=0)
        open_ = (total > floor).any(1)
        for earlier in item[first : at + 1].tolist():
            open_[earlier] &= earlier == wanted
        kept = open_.nonzero().squeeze(1)
        best = torch.argsort(-total[kept].sum(1), stable=True)[:most]
        kept = kept[best].sort().values
        counts.append(counts[-1] + len(kept))
        items.append(kept)
        values.append(total[kept])
    return torch.tensor(counts), torch.cat(items), torch.cat(values)


def _row(matrices: Matrices, number: int, item: int) -> Tensor:
    """Return a row of a matrix, dense: ``[V]``."""
    low, high = (int(bound) for bound in matrices.ptr[number, item : item + 2])
    dense = torch.zeros(matrices.ptr.shape[1] - 1)
    dense[matrices.indices[low:high].long()] = matrices.values[low:high]
    return dense


def _share(history: Tensor, item: int, matrices: Matrices, number: int, row: Tensor) -> Tensor:
    """Return the history's own contribution to the row of one of its items, at stored entries."""
    share, window = torch.zeros_like(row), matrices.near.shape[1] // 2
    for p in (history == item).nonzero().squeeze(1).tolist():
        for q, other in enumerate(history.tolist()):
            if q == p:
                continue
            near = abs(q - p) <= window
            weight = matrices.near[number, q - p + window] if near else matrices.far[number]
            share[other] += weight * matrices.left[number, item] * matrices.right[number, other]
    return torch.where(row > 0, share, torch.zeros_like(share))
