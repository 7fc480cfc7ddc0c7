"""Cross-entropy of a block of logits, in place: one program per row, two passes over it."""

import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096


@triton.jit  # type: ignore[untyped-decorator]
def _softmax_loss(
    logits: tl.tensor,
    target: tl.tensor,
    loss: tl.tensor,
    items: tl.tensor,
    gradient: tl.constexpr,
    size: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64)
    row = logits + i * items
    label = tl.load(target + i)
    picked = tl.load(row + label)
    highest = picked  # finite whenever the loss is, so that −∞ − (−∞) never occurs
    total = picked * 0.0
    for low in range(0, items, size):
        v = low + tl.arange(0, size)
        score = tl.load(row + v, mask=v < items, other=float("-inf"))
        before = highest
        highest = tl.maximum(highest, tl.max(score, axis=0))
        total = total * tl.exp(before - highest) + tl.sum(tl.exp(score - highest), axis=0)
    tl.store(loss + i, highest + tl.log(total) - picked)
    if gradient:
        for low in range(0, items, size):
            v = low + tl.arange(0, size)
            score = tl.load(row + v, mask=v < items, other=float("-inf"))
            share = tl.exp(score - highest) / total
            tl.store(row + v, tl.where(v == label, share - 1.0, share), mask=v < items)


def softmax_loss(logits: Tensor, target: Tensor, gradient: bool) -> Tensor:
    """Return the loss of each row; see :func:`graphrec_pt.kernels.softmax_loss`."""
    loss = logits.new_empty(len(logits))
    if len(logits):
        size = min(BLOCK, triton.next_power_of_2(logits.shape[1]))
        _softmax_loss[(len(logits),)](
            logits, target, loss, logits.shape[1], gradient, size, enable_fp_fusion=False
        )
    return loss
