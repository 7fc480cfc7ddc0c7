"""Prompt states: soft tokens before each sequence, or keys and values in each layer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.sparse import owners


@dataclass(frozen=True, eq=False, slots=True)
class PromptStates:
    """The prompt of every sequence; it uses none of the tokens' positions.

    Args:
        tokens: Soft tokens ``[B, P, D]``, or ``[1, P, D]`` for all sequences (Lester et al.,
            "The power of scale for parameter-efficient prompt tuning", EMNLP 2021).
        keys: ``[layers, B or 1, H, P, d]``, seen by every token of the sequence in each layer
            (Li and Liang, "Prefix-tuning", ACL 2021). Comes with `values`; P may differ.
        values: Values, of the shape of `keys`.

    Raises:
        GraphRecError: For shapes that do not fit.
    """

    tokens: Tensor | None = None
    keys: Tensor | None = None
    values: Tensor | None = None

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens.ndim != 3:
            raise GraphRecError("Prompt", "tokens [B or 1, P, D]", list(self.tokens.shape))
        given = [None if x is None else list(x.shape) for x in (self.keys, self.values)]
        if given[0] != given[1] or (self.keys is not None and self.keys.ndim != 5):
            shapes = "keys and values [layers, B or 1, H, P, d], both or neither"
            raise GraphRecError("Prompt", shapes, f"{given[0]} and {given[1]}")

    def of_layer(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """Return keys and values ``[B or 1, H, P, d]`` of one layer."""
        if self.keys is None or self.values is None:
            return None
        return self.keys[layer], self.values[layer]


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
    token_rows = torch.arange(len(x), device=ptr.device) + (owners(ptr, len(x)) + 1) * size  # [T]
    step = torch.arange(size, device=ptr.device)
    front = (wider[:-1].unsqueeze(1) + step).flatten()  # [B·P]
    rows = soft.expand(sequences, -1, -1).reshape(-1, width).to(x.dtype)
    place = torch.cat([token_rows, front])
    joint = torch.empty_like(place)
    joint[place] = torch.arange(len(place), device=ptr.device)
    before = (step - size).repeat(sequences)

    def joined(tokens: Tensor, soft_ones: Tensor) -> Tensor:
        return torch.cat([tokens, soft_ones]).index_select(0, joint)

    if edges is not None:
        source, relation, target = edges.unbind(1)
        edges = torch.stack([token_rows[source], relation, token_rows[target]], dim=1)
    if order is not None:
        order = joined(order + size, step.repeat(sequences))
    if prefix is not None:
        prefix = prefix + size
    return joined(x, rows), wider, token_rows, joined(position, before), order, prefix, edges
