"""Ranks on CUDA: torch's own comparisons and sums serve."""

from graphrec_pt.kernels.torch.rank import rank as rank
