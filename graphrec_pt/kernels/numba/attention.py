"""Packed attention on CPU: torch's own fused attention over length buckets serves."""

from graphrec_pt.kernels.torch.attention import attention as attention
