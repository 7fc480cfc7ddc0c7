"""Item-to-item co-occurrence scores of a catalogue after events of histories, as sparse sums.

Runs on the CPU only; tensors on other devices are copied there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sparse import check_ptr

FLOOR = 1e-3
"""Sums below this in every channel are left out."""


class Matrices(NamedTuple):
    """Several sparse matrices over one catalogue, and the share that one history has in each.

    See :class:`~graphrec_pt.graph.links.Links`.

    Args:
        ptr: int64 ``[M, V + 1]``, into `indices`.
        indices: int32 ``[E]``, columns, ascending in each row.
        values: float32 ``[E]``.
        left: float32 ``[M, V]``.
        right: float32 ``[M, V]``.
        near: float32 ``[M, 2W + 1]``.
        far: float32 ``[M]``.
    """

    ptr: Tensor
    indices: Tensor
    values: Tensor
    left: Tensor
    right: Tensor
    near: Tensor
    far: Tensor


class ChannelSums(NamedTuple):
    """Sparse sums of links for P places of histories.

    Args:
        ptr: int64 ``[P + 1]``.
        item: int64 ``[N]``, in ``[0, V)``, ascending for each place.
        value: float32 ``[N, C]``, 0 or more.
    """

    ptr: Tensor
    item: Tensor
    value: Tensor


def cooccurrence(
    item: Tensor,
    ptr: Tensor,
    place: Tensor,
    target: Tensor,
    matrices: Matrices,
    channels: Sequence[tuple[int, float]],
    *,
    own: bool,
    most: int = 256,
) -> ChannelSums:
    r"""Return the co-occurrence score of each item after some events of histories, on the CPU.

    .. math:: K_c(t, j) = \sum_{s \le t} \gamma_c^{t - s} \, M_c[x_s, j]

    for channel c with its matrix ``M_c`` and decay ``γ_c``. If `own`, the history's own share of
    the matrix is subtracted, so that a target does not predict itself. Items at or before a place
    are left out, except its target. For each place the `most` items of the highest sum over
    channels are kept (ties by lower id), except those below :data:`FLOOR` in every channel.

    Args:
        item: int64 ``[T]`` in ``[0, V)``, the events of all histories, in order.
        ptr: int64 ``[B + 1]``, where each history starts.
        place: int64 ``[P]``, ascending indices of the events after which items are scored.
        target: int64 ``[P]``, the item that comes next, −1 where it is unknown.
        matrices: M of them.
        channels: C pairs of (number of a matrix, decay in ``[0, 1]``).
        own: Whether the histories are among those that the matrices were counted from.
        most: Items at most for each place.

    Raises:
        GraphRecError: For arrays that do not fit, and items outside the catalogue.
    """
    item, ptr, place, target = (tensor.cpu() for tensor in (item, ptr, place, target))
    check_ptr("cooccurrence", ptr, len(item))
    size = matrices.ptr.shape[1] - 1
    if len(item) and not 0 <= int(item.min()) <= int(item.max()) < size:
        got = f"{int(item.min())} … {int(item.max())}"
        raise GraphRecError("cooccurrence", f"items in [0, {size})", got)
    if place.shape != target.shape:
        got = f"{list(place.shape)} and {list(target.shape)}"
        raise GraphRecError("cooccurrence", "a target for each place", got)
    for number, decay in channels:
        if not 0 <= number < len(matrices.ptr) or not 0 <= decay <= 1:
            expected = f"channels of a matrix below {len(matrices.ptr)} and a decay in [0, 1]"
            raise GraphRecError("cooccurrence", expected, (number, decay))
    which = torch.tensor([number for number, _ in channels], dtype=torch.int64)
    decays = torch.tensor([decay for _, decay in channels], dtype=torch.float32)
    sums = body("cooccurrence", item)(
        item.contiguous(), ptr, place, target, matrices, which, decays, own, most, FLOOR
    )
    return ChannelSums(*sums)


def torch_cooccurrence(
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
