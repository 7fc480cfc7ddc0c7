"""Checks of arguments before any kernel runs."""

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.csr import SegmentedCSR

_INTEGERS = (torch.int32, torch.int64)


def check_nodes(
    who: str, csr: SegmentedCSR, nodes: Tensor, name: str, *, length: int | None = None
) -> None:
    """Raise unless `nodes` is one row of global ids of the graph, `length` long if given."""
    if nodes.dtype not in _INTEGERS or nodes.ndim != 1:
        raise GraphRecError(
            who, f"{name} as int32 or int64 [K]", f"{nodes.dtype} {list(nodes.shape)}"
        )
    if length is not None and len(nodes) != length:
        raise GraphRecError(who, f"{length} {name} ids", len(nodes))
    if len(nodes):
        low, high = (int(bound) for bound in torch.aminmax(nodes))
        if low < 0 or high >= csr.num_nodes:
            wrong = low if low < 0 else high
            raise GraphRecError(who, f"{name} ids in [0, {csr.num_nodes})", wrong)


def check_slot(
    who: str,
    csr: SegmentedCSR,
    source: Tensor,
    slot: Tensor | int,
    *,
    any_slot: bool = False,
) -> Tensor:
    """Return one slot per source after checking that each source has it: int64 ``[K]``."""
    if isinstance(slot, Tensor) and slot.ndim and slot.shape != source.shape:
        raise GraphRecError(who, f"one slot or {len(source)}", list(slot.shape))
    slots = torch.as_tensor(slot, dtype=torch.int64, device=source.device).expand(source.shape)
    everyone = isinstance(slot, int) and 0 <= slot < int(csr.slots.min())
    if len(source) and not everyone:
        count = csr.slots[csr.node_type(source)]
        wrong = (slots >= count) | (slots < (-1 if any_slot else 0))
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0])
            raise GraphRecError(
                who,
                f"a slot in [0, {int(count[i])}) for node {int(source[i])}",
                int(slots[i]),
                "-1 for every relation" if any_slot else "",
            )
    return slots


def check_positive(who: str, name: str, value: int) -> None:
    """Raise unless `value` is at least 1."""
    if value < 1:
        raise GraphRecError(who, f"{name} >= 1", value)


def check_exclude(who: str, csr: SegmentedCSR, exclude: Tensor | None, rows: int) -> Tensor:
    """Return one excluded edge id per row, −1 where there is none: int64 ``[rows]``."""
    if exclude is None:
        return torch.full((rows,), -1, dtype=torch.int64, device=csr.indices.device)
    if csr.edge is None:
        raise GraphRecError(who, "a graph with edge ids for exclude", "none")
    if exclude.dtype not in _INTEGERS or exclude.shape != (rows,):
        got = f"{exclude.dtype} {list(exclude.shape)}"
        raise GraphRecError(who, f"exclude as integers [{rows}]", got)
    return exclude.long().contiguous()
