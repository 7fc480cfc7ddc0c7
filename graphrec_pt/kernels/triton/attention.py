"""Packed attention by FlexAttention: one call, a block mask of documents, no padding."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.attention import Bias, Sight
from graphrec_pt.kernels.sparse import owners

BLOCK = 128  # of queries and of keys
SHAPES = 64  # combinations of shapes, types and gradients to compile
_masks: Memo[BlockMask] = Memo()  # of what is seen


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
    """Attend inside each sequence; see :func:`graphrec_pt.kernels.attention.attention`.

    Where FlexAttention cannot go (a bias, dropout, gradients on the CPU) the torch body does.
    """
    inputs = (q, k, v, *(prompt or ()))
    wanted = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    if bias is not None or dropout or (wanted and not q.is_cuda):
        from graphrec_pt.kernels.attention import torch_attention as bucketed

        return bucketed(q, k, v, ptr, sight, prompt, bias, dropout, scale)
    q, k, v, *before = inputs if wanted else (x.detach() for x in inputs)
    query, key, value = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))  # [1, H, T, d]
    prompts, size = 0, 0
    if before:
        prompts, size = before[0].shape[0], before[0].shape[2]
        first = [p.transpose(0, 1).flatten(1, 2).unsqueeze(0) for p in before]
        key, value = torch.cat([first[0], key], 2), torch.cat([first[1], value], 2)
    mask = _masks(sight, (prompts, size), lambda: _block_mask(ptr, sight, prompts, size))
    out = _compiled(q.is_cuda)(query, key, value, block_mask=mask, scale=scale)
    result: Tensor = out.squeeze(0).transpose(0, 1)  # [T, H, d]
    return result


def _block_mask(ptr: Tensor, sight: Sight, prompts: int, size: int) -> BlockMask:
    """Return the mask of T queries against all keys of the prompts and T keys."""
    tokens, before = int(ptr[-1]), prompts * size
    owner = owners(ptr, tokens)
    # The prompt keys of a sequence stand before all tokens; the sequence −1 is everybody.
    whose = torch.arange(prompts, device=ptr.device)
    shared = prompts != len(ptr) - 1
    whose = torch.full_like(whose, -1) if shared else whose
    document = torch.cat([whose.repeat_interleave(size), owner])
    reach = torch.zeros_like(owner) if sight.reach is None else sight.reach
    rank = torch.zeros_like(owner) if sight.rank is None else sight.rank
    lowest = rank.new_full((before,), torch.iinfo(torch.int64).min)
    rank = torch.cat([lowest, rank])

    def sees(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return ((document[j] == owner[i]) | (document[j] < 0)) & (rank[j] <= reach[i])

    # A block of queries needs the keys from its first sequence's start to its last one's end, so
    # the blocks follow from the pointers, without a look at all T² pairs.
    low = torch.arange(0, tokens, BLOCK, device=ptr.device)
    high = (low + BLOCK - 1).clamp_max(tokens - 1)
    first, last = owner[low], owner[high]
    end = high if sight.causal else ptr[last + 1] - 1
    spans = [(before + ptr[first], before + end)]
    if before and shared:
        spans.append((torch.zeros_like(low), torch.full_like(low, before - 1)))
    elif before:
        spans.append((first * size, (last + 1) * size - 1))
    block = torch.arange(-(-len(document) // BLOCK), device=ptr.device)
    needed = torch.zeros(len(low), len(block), dtype=torch.bool, device=ptr.device)
    for start, stop in spans:
        needed |= (block >= start.unsqueeze(1) // BLOCK) & (block <= stop.unsqueeze(1) // BLOCK)
    count = needed.sum(1, dtype=torch.int32)
    order = needed.long().argsort(dim=1, descending=True, stable=True).int()  # needed ones first
    mask: BlockMask = BlockMask.from_kv_blocks(
        count[None, None],
        order[None, None],
        BLOCK_SIZE=BLOCK,
        mask_mod=sees,
        seq_lengths=(tokens, len(document)),
    )
    return mask


@cache
def _compiled(cuda: bool) -> Callable[..., Any]:
    if not cuda:
        return flex_attention
    # Past its limit of compilations torch would form all T² scores, which never fits.
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, SHAPES)
    compiled: Callable[..., Any] = torch.compile(flex_attention, dynamic=True)
    return compiled
