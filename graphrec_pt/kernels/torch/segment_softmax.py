"""Softmax of segments by scattered maxima and sums."""

from torch import Tensor

from graphrec_pt.kernels.transposed import owners


def segment_softmax(ptr: Tensor, scores: Tensor) -> Tensor:
    """Normalise scores; see :func:`graphrec_pt.kernels.segment_softmax.segment_softmax`."""
    row = owners(ptr, len(scores))  # [E]
    shape = (len(ptr) - 1, scores.shape[1])
    spread = row.unsqueeze(1).expand_as(scores)
    top = scores.new_zeros(shape).scatter_reduce(0, spread, scores, "amax", include_self=False)
    weight = (scores - top[row]).exp()
    return weight / scores.new_zeros(shape).index_add_(0, row, weight)[row]
