"""Evidence by the reference body: batches are made on the CPU, so there is no kernel of its own."""

from graphrec_pt.kernels.torch.evidence import evidence

__all__ = ["evidence"]
