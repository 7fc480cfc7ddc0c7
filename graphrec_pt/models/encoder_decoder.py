"""Packed sequences through an encoder–decoder of transformers: a prefix in, the rest out."""

from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.attention import seen
from graphrec_pt.kernels.sparse import owners
from graphrec_pt.models.hugging_face_cache import HuggingFaceCache
from graphrec_pt.models.positions import places


def translated(
    model: Any, x: Tensor, ptr: Tensor, prefix: Tensor | None, cache: Any = None
) -> tuple[Tensor, HuggingFaceCache | None]:
    """Return hidden states ``[T, H]`` of encoder (the prefix) and decoder (the rest), and cache.

    Args:
        model: Of transformers.
        x: ``[T, H]``, token vectors.
        ptr: int64 ``[B+1]``.
        prefix: int64 ``[B]``.
        cache: Of transformers, to be filled; None for no cache.

    Raises:
        GraphRecError: Without a prefix, for an empty one, and for a cache of texts that do not
            begin at one length.
    """
    seen(ptr, "prefix", None, prefix)  # raises without a prefix
    assert prefix is not None
    length = ptr.diff()
    if bool(((prefix < 1) & (length > 0)).any()):
        expected = "at least one token in every prefix, for the encoder"
        raise GraphRecError("hugging_face", expected, "none")
    first = places(ptr, len(x)) < prefix[owners(ptr, len(x))]
    read = torch.minimum(prefix, length)
    rows = [first.nonzero().squeeze(1), (~first).nonzero().squeeze(1)]
    starts = [torch.cat([ptr[:1], count.cumsum(0)]) for count in (read, length - read)]
    (index, real), (index_out, real_out) = (dense(start) for start in starts)
    seen_in, seen_out = (_some(mask) for mask in (real, real_out))
    if not len(rows[1]):
        encoder = model.get_encoder()
        states = encoder(inputs_embeds=x[index], attention_mask=seen_in).last_hidden_state
        packed: Tensor = states[real]
        return packed, None
    output = model(
        inputs_embeds=x[rows[0]][index],
        attention_mask=seen_in,
        decoder_inputs_embeds=x[rows[1]][index_out],
        decoder_attention_mask=seen_out,
        past_key_values=cache,
        use_cache=cache is not None,
    )
    memory = output.encoder_last_hidden_state
    parts = torch.cat([memory[real], output.last_hidden_state[real_out]])
    whole = torch.empty_like(parts).index_copy(0, torch.cat(rows), parts)
    if cache is None:
        return whole, None
    if not bool(real_out.all()):
        got = "beginnings of different lengths"
        raise GraphRecError("hugging_face", "one beginning for each prompt", got, "mode: causal")
    return whole, HuggingFaceCache(cache, real_out, ptr.diff(), memory, seen_in)


def dense(ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each token goes in a dense batch: index int64 and mask bool, ``[B, L]``."""
    length = ptr.diff()
    place = torch.arange(int(length.max()) if len(length) else 0, device=ptr.device)
    real = place < length.unsqueeze(1)
    return (ptr[:-1].unsqueeze(1) + place).masked_fill(~real, 0), real


def _some(real: Tensor) -> Tensor:
    """Return the mask with the first token of each row visible: int64 ``[B, L]``."""
    seen_too = torch.zeros_like(real)
    seen_too[:, :1] = True
    return (real | seen_too).long()
