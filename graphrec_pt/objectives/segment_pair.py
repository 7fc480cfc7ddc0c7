"""Two segments of a sequence, and a logit for the pair."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from graphrec_pt.models.heads import PairHead
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import Corrupted
from graphrec_pt.tokens.tokens import Tokens


def divisible(tokens: Tokens, half: Tensor) -> Tensor:
    """Return the sequences that have two segments: int64 ``[K]``.

    Args:
        tokens: B sequences.
        half: int64 ``[T]`` of :meth:`~graphrec_pt.objectives.rearranging.Parts.halves`.
    """
    row = tokens.sequence_of()
    sizes = [torch.bincount(row[half == which], minlength=len(tokens)) for which in (0, 2)]
    return ((sizes[0] > 0) & (sizes[1] > 0)).nonzero().squeeze(1)


def pair_loss(encoded: Sequence[Encoded], corrupted: Corrupted, head: PairHead) -> Tensor:
    """Return ``−1/B Σ log p(label | mean of the first segment, mean of the second)``.

    Args:
        encoded: Of one view.
        corrupted: Targets `first` and `second`, the tokens of each segment, and `label` ``[B]``.
        head: Its sigmoid is in the loss, and nowhere else.
    """
    at, shown = corrupted.targets, encoded[0]
    left, right = (_mean(shown, at[name]) for name in ("first", "second"))
    logits = head(left, right)  # [B]
    return binary_cross_entropy_with_logits(logits, at["label"].to(logits.dtype))


def _mean(shown: Encoded, place: Tensor) -> Tensor:
    """Return the mean of some hidden states of each sequence: ``[B, D]``."""
    row = shown.view.tokens.sequence_of()[place]
    total = shown.hidden.new_zeros(len(shown.view.tokens), shown.hidden.shape[1])
    total = total.index_add(0, row, shown.hidden.index_select(0, place))
    count = torch.bincount(row, minlength=len(total)).clamp(min=1)
    return total / count.unsqueeze(1)
