"""Packed attention as dense calls, one per bucket of sequences of similar length."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from graphrec_pt.kernels.buckets import Bucket, buckets

if TYPE_CHECKING:
    from graphrec_pt.kernels.attention import Bias, Sight


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    ptr: Tensor,
    sight: "Sight",
    prompt: tuple[Tensor, Tensor] | None,
    bias: "Bias | None",
    dropout: float,
    scale: float | None,
) -> Tensor:
    """Attend inside each sequence; see :func:`graphrec_pt.kernels.attention.attention`."""
    layout = buckets(ptr)
    outputs = []
    for number, bucket in enumerate(layout.each):
        query, key, value = (_dense(x, bucket) for x in (q, k, v))  # [b, H, L, d]
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
    return torch.cat(outputs).index_select(0, layout.place)


def _dense(packed: Tensor, bucket: Bucket) -> Tensor:
    rows, length = bucket.token.shape
    chosen = packed.index_select(0, bucket.token.flatten())  # [b·L, H, d]
    return chosen.view(rows, length, *packed.shape[1:]).transpose(1, 2)


def _visible(bucket: Bucket, sight: "Sight", extra: int) -> Tensor | None:
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
    bias: "Bias", bucket: Bucket, place: Tensor, q: Tensor, mask: Tensor | None, extra: int
) -> Tensor:
    """Return what is added to the scores of a bucket: ``[b, H, L, P + L]``."""
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
