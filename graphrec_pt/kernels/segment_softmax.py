"""Softmax inside each row of a CSR, with gradients: attention over a node's neighbours."""

from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sparse import check_ptr, spmm
from graphrec_pt.kernels.transposed import owners


def segment_softmax(ptr: Tensor, scores: Tensor) -> Tensor:
    """Normalise scores over each row: ``out[e] = exp(s[e]) / Σ_{f in row(e)} exp(s[f])``.

    Args:
        ptr: int64 ``[M+1]``, ascending from 0 to E.
        scores: float32 or float64 ``[E]`` or ``[E, H]`` (heads).

    Returns:
        Of the shape and type of `scores`; differentiable, also twice.

    Raises:
        GraphRecError: For shapes or types that do not fit.
    """
    if scores.ndim not in (1, 2) or scores.dtype not in (torch.float32, torch.float64):
        raise GraphRecError(
            "segment_softmax",
            "float32 or float64 scores [E] or [E, H]",
            f"{scores.dtype} {list(scores.shape)}",
        )
    check_ptr("segment_softmax", ptr, len(scores))
    by_head = scores if scores.ndim == 2 else scores.unsqueeze(1)  # [E, H]
    shares: Tensor = _SegmentSoftmax.apply(ptr, by_head)  # type: ignore[no-untyped-call]
    return shares.view(scores.shape)


class _SegmentSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ptr: Tensor, scores: Tensor) -> Tensor:
        out: Tensor = body("segment_softmax", scores)(ptr, scores)
        ctx.save_for_backward(ptr, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        ptr, share = ctx.saved_tensors
        weighted = share * grads[0]  # [E, H]
        entry = torch.arange(len(share), device=share.device)
        total = spmm(ptr, entry, None, weighted)  # [M, H]
        return None, weighted - share * total[owners(ptr, len(share))]
