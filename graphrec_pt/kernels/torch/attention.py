"""Packed attention as dense calls, one per bucket of sequences of similar length."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.sight import Bias, Sight

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
    found, start, low = [], 0, 0
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
        found.append(Bucket(sequence.to(ptr.device), token.to(ptr.device), mask))
    cells = torch.cat([host[:0], *(bucket.token.flatten().cpu() for bucket in found)])
    return Buckets(tuple(found), cells.to(ptr.device), place.to(ptr.device), tuple(starts))


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


def attention(
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
