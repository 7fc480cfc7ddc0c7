"""One dot product per entry by gathering both ends."""

from torch import Tensor

from graphrec_pt.kernels.transposed import owners


def sddmm(ptr: Tensor, indices: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Dot the two ends of every entry; see :func:`graphrec_pt.kernels.sparse.sddmm`."""
    return (left[owners(ptr, len(indices))] * right[indices]).sum(-1)  # [E]
