"""A set of candidates after a context: one shared position, and no order among them."""

from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.tokens.join import side_by_side
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


def with_candidates(tokens: Tokens, nodes: Tensor, node_type: int) -> tuple[Tokens, Tensor]:
    """Return sequences with candidates behind them, and where these stand.

    All candidates of a sequence share the position behind the context, so that a model with
    positions sees a set: the reranker of MESE (Yang et al., NAACL 2022).

    Args:
        tokens: B sequences.
        nodes: int64 ``[B, C]`` global ids.
        node_type: Index of their type.

    Returns:
        B sequences, and int64 ``[B, C]``, tokens of the candidates.
    """
    size, many = nodes.shape
    ptr = torch.arange(size + 1) * many
    flat = nodes.flatten()
    added = Tokens.of(
        flat,
        Kind.NODE,
        ptr,
        type=torch.full_like(flat, node_type),
        position=torch.zeros_like(flat),  # moved by the length of the context
    )
    if tokens.word is not None:
        added = replace(added, word=torch.full_like(flat, -1))
    joined = side_by_side([tokens, added])
    at = joined.ptr[1:, None] - many + torch.arange(many)
    return joined, at


def candidate_order(tokens: Tokens, at: Tensor, *, causal: bool) -> Tensor:
    """Return the order of factorisation in which candidates see the context and one another.

    ``View(tokens, "permuted", order=…)``: a token sees those of no higher order. The context sees
    no candidate.

    Args:
        tokens: Of :func:`with_candidates`.
        at: Likewise.
        causal: Whether a token of the context sees earlier ones alone; else all of the context.

    Returns:
        int64 ``[T]``.
    """
    order = tokens.places() if causal else torch.zeros_like(tokens.id)
    last = tokens.lengths()[:, None].expand_as(at)
    return order.index_copy(0, at.flatten(), last.flatten())
