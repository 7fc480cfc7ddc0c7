"""Cross-entropy of a block of logits on CPU: torch's own vectorised softmax serves."""

from graphrec_pt.kernels.torch.softmax_loss import softmax_loss as softmax_loss
