"""Packed attention by FlexAttention: one call, a block mask of documents, no padding."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.utils.weak import WeakIdKeyDictionary

from graphrec_pt.kernels.transposed import owners

if TYPE_CHECKING:
    from graphrec_pt.kernels.attention import Bias, Sight

_masks: WeakIdKeyDictionary = WeakIdKeyDictionary()  # sight → {(prompts, P): block mask}


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
    """Attend inside each sequence; see :func:`graphrec_pt.kernels.attention.attention`.

    Where FlexAttention cannot go (a bias, dropout, gradients on the CPU) the torch body does.
    """
    inputs = (q, k, v, *(prompt or ()))
    wanted = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    if bias is not None or dropout or (wanted and not q.is_cuda):
        from graphrec_pt.kernels.torch.attention import attention as bucketed

        return bucketed(q, k, v, ptr, sight, prompt, bias, dropout, scale)
    q, k, v, *before = inputs if wanted else (x.detach() for x in inputs)
    query, key, value = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))  # [1, H, T, d]
    prompts, size = 0, 0
    if before:
        prompts, size = before[0].shape[0], before[0].shape[2]
        first = [p.transpose(0, 1).flatten(1, 2).unsqueeze(0) for p in before]
        key, value = torch.cat([first[0], key], 2), torch.cat([first[1], value], 2)
    masks = _masks.setdefault(sight, {})  # type: ignore[no-untyped-call]
    if (prompts, size) not in masks:
        masks[prompts, size] = _block_mask(ptr, sight, prompts, size)
    out = _compiled(flex_attention, q.is_cuda)(
        query, key, value, block_mask=masks[prompts, size], scale=scale
    )
    result: Tensor = out.squeeze(0).transpose(0, 1)  # [T, H, d]
    return result


def _block_mask(ptr: Tensor, sight: "Sight", prompts: int, size: int) -> BlockMask:
    """Return the mask of T queries against all keys of the prompts and T keys."""
    tokens = int(ptr[-1])
    owner = owners(ptr, tokens)
    # The prompt keys of a sequence stand before all tokens; the sequence −1 is everybody.
    whose = torch.arange(prompts, device=ptr.device)
    whose = whose if prompts == len(ptr) - 1 else torch.full_like(whose, -1)
    document = torch.cat([whose.repeat_interleave(size), owner])
    reach = torch.zeros_like(owner) if sight.reach is None else sight.reach
    rank = torch.zeros_like(owner) if sight.rank is None else sight.rank
    lowest = rank.new_full((prompts * size,), torch.iinfo(torch.int64).min)
    rank = torch.cat([lowest, rank])

    def sees(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return ((document[j] == owner[i]) | (document[j] < 0)) & (rank[j] <= reach[i])

    make = _compiled(create_block_mask, ptr.is_cuda)
    mask: BlockMask = make(sees, None, None, tokens, len(document), device=ptr.device)
    return mask


@cache
def _compiled(function: Callable[..., Any], cuda: bool) -> Callable[..., Any]:
    return torch.compile(function, dynamic=True) if cuda else function
