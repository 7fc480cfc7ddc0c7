"""Order of targets inside segments by two stable sorts."""

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR


def target_order(csr: SegmentedCSR) -> Tensor:
    """Return edges by (segment, target); see :func:`graphrec_pt.kernels.derived`."""
    segments = torch.arange(csr.segment.shape[0] - 1, device=csr.segment.device)
    owner = segments.repeat_interleave(csr.segment.diff(), output_size=csr.num_edges)  # [E]
    by_target = torch.sort(csr.indices, stable=True).indices
    return by_target[torch.sort(owner[by_target], stable=True).indices]
