"""Soft tokens put before every sequence of a packed batch."""

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.transposed import owners


def with_soft_tokens(
    soft: Tensor,
    x: Tensor,
    ptr: Tensor,
    position: Tensor,
    order: Tensor | None,
    prefix: Tensor | None,
    edges: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Return the batch with P more tokens in front of each sequence.

    They stand at positions −P … −1, so the tokens keep theirs; they come first in every order and
    belong to every prefix.

    Args:
        soft: ``[B, P, D]`` or ``[1, P, D]``.
        x: ``[T, D]``.
        ptr: int64 ``[B+1]``.
        position: int64 ``[T]``.
        order: int64 ``[T]`` or None.
        prefix: int64 ``[B]`` or None.
        edges: int64 ``[M, 3]`` of (token, relation, token) or None.

    Returns:
        x ``[T + B·P, D]``, ptr, rows of the T tokens in it, position, order, prefix, edges.

    Raises:
        GraphRecError: For soft tokens of another batch or width.
    """
    sequences = len(ptr) - 1
    shared, size, width = soft.shape
    if shared not in (1, sequences) or width != x.shape[1]:
        expected = f"soft tokens [{sequences} or 1, P, {x.shape[1]}]"
        raise GraphRecError("Prompt", expected, list(soft.shape))
    number = torch.arange(sequences + 1, device=ptr.device)
    wider = ptr + number * size
    own = torch.arange(len(x), device=ptr.device) + (owners(ptr, len(x)) + 1) * size  # [T]
    step = torch.arange(size, device=ptr.device)
    front = (wider[:-1].unsqueeze(1) + step).flatten()  # [B·P]
    rows = soft.expand(sequences, -1, -1).reshape(-1, width).to(x.dtype)
    place = torch.cat([own, front])
    joint = torch.empty_like(place)
    joint[place] = torch.arange(len(place), device=ptr.device)
    before = (step - size).repeat(sequences)

    def joined(tokens: Tensor, soft_ones: Tensor) -> Tensor:
        return torch.cat([tokens, soft_ones]).index_select(0, joint)

    if edges is not None:
        source, relation, target = edges.unbind(1)
        edges = torch.stack([own[source], relation, own[target]], dim=1)
    if order is not None:
        order = joined(order + size, step.repeat(sequences))
    if prefix is not None:
        prefix = prefix + size
    return joined(x, rows), wider, own, joined(position, before), order, prefix, edges
