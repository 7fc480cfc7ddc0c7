"""Attention over packed sequences: a token sees its own sequence and its prompt only.

A bias, dropout and float64 use dense calls on CUDA too; FlexAttention does not take them.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sight import Bias, Sight
from graphrec_pt.kernels.sparse import check_ptr
from graphrec_pt.kernels.torch.attention import attention as bucketed
from graphrec_pt.kernels.transposed import owners

Mode = Literal["bidirectional", "causal", "prefix", "permuted", "permuted_query"]
MODES: tuple[str, ...] = get_args(Mode)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    ptr: Tensor,
    *,
    mode: Mode | Sight = "bidirectional",
    order: Tensor | None = None,
    prefix: Tensor | None = None,
    prompt: tuple[Tensor, Tensor] | None = None,
    bias: Bias | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    r"""Return ``softmax(q kᵀ · scale + bias) v`` inside each sequence of a packed batch.

    FlexAttention computes it on CUDA (Dong et al., "Flex Attention", 2024), dense calls over
    buckets of similar length on the CPU; the latter also serves a bias, dropout, float64 and
    heads narrower than 16 on CUDA.

    Args:
        q: Floats ``[T, H, d]``.
        k: ``[T, H, d]`` of the same type.
        v: ``[T, H, d]`` of the same type.
        ptr: int64 ``[B+1]``, where each sequence starts.
        mode: The tokens of its own sequence that a token sees. ``"bidirectional"``: everything.
            ``"causal"``: itself and earlier tokens. ``"prefix"``: the first ``prefix[b]``
                tokens, itself and earlier tokens. ``"permuted"``: tokens whose `order` is
            not higher than its own, itself among them (content stream of XLNet, Yang et al.,
            2019). ``"permuted_query"``: tokens of lower `order` only (query stream); the first
            sees nothing and gets 0. Or the result of :func:`seen` for this batch.
        order: int64 ``[T]``, place of each token in the order of factorisation.
        prefix: int64 ``[B]``.
        prompt: Keys and values ``[B, H, P, d]``, or ``[1, H, P, d]`` for all, that every token
            of the sequence sees in every mode.
        bias: Added to the scores: either (query int64 ``[M]``, key int64 ``[M]``, value ``[M]``
            or ``[M, H]``) for M pairs of packed tokens, which add up where a pair repeats; or a
            function from packed token numbers ``[b, L, 1]`` and ``[b, 1, L]`` to
            ``[b, L, L, H]``. Differentiable.
        dropout: Probability with which a weight is left out.
        scale: Factor of the scores; ``1/√d`` by default.

    Returns:
        ``[T, H, d]``.

    Raises:
        GraphRecError: For shapes or types that do not fit, a mode without what it needs, and
            pairs of different sequences.
    """
    _check_heads(q, k, v)
    check_ptr("attention", ptr, len(q))
    _check_prompt(prompt, q, len(ptr) - 1)
    if isinstance(bias, tuple):
        bias = _checked_pairs(bias, q, ptr)
    sight = mode if isinstance(mode, Sight) else seen(ptr, mode, order, prefix)
    if not len(q):
        return torch.zeros_like(q)
    plain = bias is None and not dropout and q.dtype != torch.float64 and q.shape[2] >= 16
    compute = body("attention", q) if plain or not q.is_cuda else bucketed
    out: Tensor = compute(q, k, v, ptr, sight, prompt, bias, dropout, scale)
    return out


def seen(
    ptr: Tensor, mode: str, order: Tensor | None = None, prefix: Tensor | None = None
) -> Sight:
    """Return the attention mask of a mode; arguments as in :func:`attention`."""
    tokens = int(ptr[-1])
    if mode == "bidirectional":
        return Sight()
    if mode in ("permuted", "permuted_query"):
        rank = _needed(order, f"order int64 [{tokens}] for mode {mode!r}", tokens)
        strict = mode == "permuted_query"
        return Sight(rank, rank - 1 if strict else rank, blind=strict)
    owner = owners(ptr, tokens)
    position = torch.arange(tokens, device=ptr.device) - ptr[owner]
    if mode == "causal":
        return Sight(position, position, causal=True)
    if mode == "prefix":
        sequences = len(ptr) - 1
        given = _needed(prefix, f"prefix int64 [{sequences}] for mode 'prefix'", sequences)
        rank = (position - given[owner] + 1).clamp_min(0)
        return Sight(rank, rank)
    raise GraphRecError("attention", "a mode", repr(mode), did_you_mean(mode, MODES))


def _needed(given: Tensor | None, expected: str, length: int) -> Tensor:
    if given is None or given.shape != (length,) or given.dtype != torch.int64:
        got = "none" if given is None else f"{given.dtype} {list(given.shape)}"
        raise GraphRecError("attention", expected, got)
    return given


def _check_heads(q: Tensor, k: Tensor, v: Tensor) -> None:
    same = q.shape == k.shape == v.shape and q.dtype == k.dtype == v.dtype
    if q.ndim != 3 or not same or not q.is_floating_point():
        got = ", ".join(f"{t.dtype} {list(t.shape)}" for t in (q, k, v))
        raise GraphRecError("attention", "q, k, v [T, H, d] of one floating type", got)


def _check_prompt(prompt: tuple[Tensor, Tensor] | None, q: Tensor, sequences: int) -> None:
    if prompt is None:
        return
    key, value = prompt
    fits = key.ndim == 4 and key.shape[0] in (1, sequences) and key.shape == value.shape
    if not fits or (key.shape[1], key.shape[3]) != tuple(q.shape[1:]) or key.dtype != q.dtype:
        wanted = f"prompt keys and values [{sequences} or 1, {q.shape[1]}, P, {q.shape[2]}]"
        got = f"{key.dtype} {list(key.shape)} and {list(value.shape)}"
        raise GraphRecError("attention", f"{wanted} {q.dtype}", got)


def _checked_pairs(
    bias: tuple[Tensor, Tensor, Tensor], q: Tensor, ptr: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pairs with one value per head: ``[M, H]``."""
    query, key, value = bias
    if value.ndim == 1:
        value = value.unsqueeze(1).expand(-1, q.shape[1])
    fits = query.shape == key.shape == value.shape[:1] and value.shape[1:] == q.shape[1:2]
    if not fits or query.dtype != torch.int64 or key.dtype != torch.int64:
        got = ", ".join(f"{t.dtype} {list(t.shape)}" for t in bias)
        raise GraphRecError("attention", "bias (int64 [M], int64 [M], floats [M] or [M, H])", got)
    if len(query):
        both = torch.stack([query, key])
        if int(both.min()) < 0 or int(both.max()) >= len(q):
            raise GraphRecError("attention", f"bias of tokens in [0, {len(q)})", int(both.max()))
        owner = owners(ptr, len(q))
        apart = owner[query] != owner[key]
        if bool(apart.any()):
            pair = both[:, apart.nonzero()[0, 0]].tolist()
            raise GraphRecError("attention", "bias within a sequence", f"tokens {pair}")
    return query, key, value.to(q.dtype)
