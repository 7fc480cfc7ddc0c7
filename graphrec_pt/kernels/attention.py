"""Attention over packed sequences: a token sees its own sequence and its prompt only.

A bias, dropout and float64 use dense calls on CUDA too; FlexAttention does not take them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sparse import check_ptr, owners

Bias = tuple[Tensor, Tensor, Tensor] | Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Sight:
    """The attention mask inside the sequences of a batch: i sees j when ``rank[j] <= reach[i]``.

    Made by :func:`graphrec_pt.kernels.attention.seen`; layers that share one share its masks.

    Args:
        rank: int64 ``[T]``; None when every token sees all of its sequence.
        reach: int64 ``[T]``.
        causal: Whether this is the plain causal mask, for which there are faster kernels.
        blind: Whether some token may see no token.
    """

    rank: Tensor | None = None
    reach: Tensor | None = None
    causal: bool = False
    blind: bool = False


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
    compute = body("attention", q) if plain or not q.is_cuda else torch_attention
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


TIGHTNESS = 0.85  # the shortest sequence of a bucket fills at least this much of a row
SHORT = 8  # sequences up to this length share one bucket: a call costs more than their padding

_buckets: Memo["Buckets"] = Memo()  # of ptr


@dataclass(frozen=True, eq=False, slots=True)
class Bucket:
    """Sequences of similar length, one a row.

    Args:
        sequence: int64 ``[b]``, which sequences.
        token: int64 ``[b, L]`` into the packed tokens; padding repeats the row's first token.
        real: bool ``[b, L]``, where there is no padding; None when there is none anywhere.
    """

    sequence: Tensor
    token: Tensor
    real: Tensor | None


@dataclass(frozen=True, eq=False, slots=True)
class Buckets:
    """All buckets of a packed batch.

    Args:
        each: The buckets, longest sequences first.
        token: int64 ``[C]``, the tokens of the padded rows of all buckets as one list.
        place: int64 ``[T]``, row of each token when the padded rows of all buckets are one list.
        start: Place of each bucket's first row.
    """

    each: tuple[Bucket, ...]
    token: Tensor
    place: Tensor
    start: tuple[int, ...]

    @property
    def padding(self) -> float:
        """Share of the dense cells that hold no token."""
        return 1 - len(self.place) / len(self.token) if len(self.token) else 0.0


def buckets(ptr: Tensor) -> Buckets:
    """Return the buckets of a batch, built once and kept while `ptr` lives.

    Args:
        ptr: int64 ``[B+1]``, where each sequence starts. Empty sequences are in no bucket.
    """
    return _buckets(ptr, None, lambda: _built(ptr))


def _built(ptr: Tensor) -> Buckets:
    host = ptr.cpu()
    length, order = host.diff().sort(descending=True, stable=True)
    place = torch.empty(int(host[-1]), dtype=torch.int64)
    filled, start, low = [], 0, 0
    starts = []
    for high in _ends(length):
        sequence = order[low:high].sort().values  # neighbours in memory stay neighbours
        column = torch.arange(int(length[low]))
        begin, size = host[sequence].unsqueeze(1), host.diff()[sequence].unsqueeze(1)
        real = column < size  # [b, L]
        token = torch.where(real, begin + column, begin)
        place[token[real]] = start + real.flatten().nonzero().squeeze(1)
        starts.append(start)
        start, low = start + token.numel(), high
        mask = None if bool(real.all()) else real.to(ptr.device)
        filled.append(Bucket(sequence.to(ptr.device), token.to(ptr.device), mask))
    cells = torch.cat([host[:0], *(bucket.token.flatten().cpu() for bucket in filled)])
    return Buckets(tuple(filled), cells.to(ptr.device), place.to(ptr.device), tuple(starts))


def _ends(length: Tensor) -> list[int]:
    """Return where each bucket ends among lengths that fall; a new one begins at a long step."""
    ends: list[int] = []
    longest, lengths = 0, length.tolist()
    for i, size in enumerate(lengths):
        if size == 0:
            return [*ends, i] if i else []
        if i and size < TIGHTNESS * longest and longest > SHORT:
            ends.append(i)
            longest = size
        longest = longest or size
    return [*ends, len(lengths)] if lengths else []


def torch_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    ptr: Tensor,
    sight: Sight,
    prompt: tuple[Tensor, Tensor] | None,
    bias: Bias | None,
    dropout: float,
    scale: float | None,
) -> Tensor:
    """Attend inside each sequence; see :func:`graphrec_pt.kernels.attention.attention`."""
    layout = buckets(ptr)
    spread = [_Spread.apply(x, layout.token, layout.place) for x in (q, k, v)]  # type: ignore[no-untyped-call]  # [C, H, d]
    outputs = []
    for number, bucket in enumerate(layout.each):
        query, key, value = (_dense(x, bucket, layout.start[number]) for x in spread)
        if prompt is not None:
            pick = slice(None) if len(prompt[0]) == 1 else bucket.sequence
            before = [p[pick].expand(len(query), -1, -1, -1) for p in prompt]
            key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
        extra = key.shape[2] - query.shape[2]
        # Padding stands behind every real token, so the plain causal mask hides it as well.
        causal = sight.causal and not extra and bias is None
        mask = None if causal else _visible(bucket, sight, extra)  # [b, L or 1, P + L]
        blind = None
        if mask is not None and sight.blind and not extra:
            blind = ~mask.any(2)  # [b, L]
            mask[:, :, 0] |= blind  # not every backend gives 0 for no keys at all
        added = mask if mask is None else mask.unsqueeze(1)
        if bias is not None:
            place = layout.place - layout.start[number]
            added = _biased(bias, bucket, place, q, added, extra)
        out = scaled_dot_product_attention(
            query, key, value, added, dropout_p=dropout, is_causal=causal, scale=scale
        )
        if blind is not None:
            out = out.masked_fill(blind[:, None, :, None], 0)
        outputs.append(out.transpose(1, 2).reshape(-1, *q.shape[1:]))  # [b·L, H, d]
    packed: Tensor = _Packed.apply(torch.cat(outputs), layout.place)  # type: ignore[no-untyped-call]
    return packed


# Every token has one place among the cells, and no gradient comes from padding: nobody attends to
# it, and what it attends to is dropped. So gradients are gathered like values; the general rule
# for gathers would add up cells one by one.


class _Spread(torch.autograd.Function):
    """Packed tokens ``[T, …]`` to cells ``[C, …]``."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, token: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        return packed.index_select(0, token)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (place,) = ctx.saved_tensors
        return grads[0].index_select(0, place), None, None


class _Packed(torch.autograd.Function):
    """Cells ``[C, …]`` to packed tokens ``[T, …]``."""

    @staticmethod
    def forward(ctx: Any, cells: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        ctx.cells = len(cells)
        return cells.index_select(0, place)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (place,) = ctx.saved_tensors
        empty = grads[0].new_zeros(ctx.cells, *grads[0].shape[1:])
        return empty.index_copy(0, place, grads[0]), None


def _dense(cells: Tensor, bucket: Bucket, start: int) -> Tensor:
    rows, length = bucket.token.shape
    block = cells[start : start + rows * length]
    return block.view(rows, length, *cells.shape[1:]).transpose(1, 2)  # [b, H, L, d]


def _visible(bucket: Bucket, sight: Sight, extra: int) -> Tensor | None:
    """Return which keys each query sees, or None when all see all."""
    visible = None if bucket.real is None else bucket.real.unsqueeze(1)  # [b, 1, L]
    if sight.rank is not None and sight.reach is not None:
        rank, reach = sight.rank[bucket.token], sight.reach[bucket.token]
        sees = rank.unsqueeze(1) <= reach.unsqueeze(2)  # [b, L, L]
        visible = sees if visible is None else sees & visible
    if visible is not None and extra:
        prompt = visible.new_ones(*visible.shape[:2], extra)
        visible = torch.cat([prompt, visible], dim=2)  # [b, ·, P + L]
    return visible


def _biased(
    bias: Bias, bucket: Bucket, place: Tensor, q: Tensor, mask: Tensor | None, extra: int
) -> Tensor:
    """Return the bias of the scores of a bucket: ``[b, H, L, P + L]``."""
    rows, length = bucket.token.shape
    if isinstance(bias, tuple):
        query, key, value = bias
        inside = (place[query] >= 0) & (place[query] < rows * length)
        cell = place[query[inside]] * length + place[key[inside]] % length
        scores = q.new_zeros(rows * length * length, q.shape[1])
        scores = scores.index_add(0, cell, value[inside])
        scores = scores.view(rows, length, length, -1)
    else:
        scores = bias(bucket.token.unsqueeze(2), bucket.token.unsqueeze(1)).to(q.dtype)
    scores = scores.permute(0, 3, 1, 2)  # [b, H, L, L]
    if extra:
        scores = pad(scores, (extra, 0))
    return scores if mask is None else scores.masked_fill(~mask, float("-inf"))
