"""Cross-entropy of a block of logits, in place."""

import torch
from torch import Tensor


def softmax_loss(logits: Tensor, target: Tensor, gradient: bool) -> Tensor:
    """Return the loss of each row; with `gradient`, its gradient replaces the logits.

    Args:
        logits: float32 or float64 ``[T, V]``, contiguous; overwritten with softmax − one-hot when
            `gradient` is set.
        target: int64 ``[T]`` in ``[0, V)``.
        gradient: Whether it will be needed.

    Returns:
        ``[T]`` of the type of `logits`.
    """
    picked = logits.gather(1, target.unsqueeze(1)).squeeze(1)  # [T]
    if not gradient:
        return torch.logsumexp(logits, dim=1) - picked
    highest = logits.amax(dim=1)
    torch.softmax(logits, dim=1, out=logits)
    # The largest share is exp(0) / Σ exp(s − max), so one cheap pass gives the sum back.
    loss = highest - logits.amax(dim=1).log() - picked
    logits[torch.arange(len(logits), device=logits.device), target] -= 1
    return loss
