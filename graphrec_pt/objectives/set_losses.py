"""Losses of one right candidate among others."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, relu, sigmoid, softplus

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.schema import Strict

Form = Literal["softmax", "bce", "focal", "hinge"]


class SetLoss(Strict):
    """The loss over the scores of a set of candidates, of which one is right.

    ``softmax``: ``−log softmax(s/τ)₊``. ``bce``: ``−[log σ(s₊) + Σ log σ(−s₋)] / C``. ``focal``
    (Lin et al., ICCV 2017), as OutfitTransformer (Sarkar et al., WACV 2023) judges outfits:
    ``−[α (1 − p₊)^γ log p₊ + (1 − α) Σ p₋^γ log(1 − p₋)] / C`` with ``p = σ(s)`` of logits, once
    (a public re-implementation applies the sigmoid twice). ``hinge``, its set-wise ranking loss:
    ``mean₋ max(0, m + s₋ − s₊) + max(0, m + max₋ s₋ − s₊)``.

    Args:
        form: One of the four.
        temperature: τ of the softmax.
        gamma: γ.
        alpha: α, weight of the right one.
        margin: m.
    """

    form: Form = "softmax"
    temperature: float = Field(1.0, gt=0)
    gamma: float = Field(2.0, ge=0)
    alpha: float = Field(0.5, gt=0, lt=1)
    margin: float = Field(2.0, gt=0)

    def of(self, scores: Tensor, right: Tensor, there: Tensor) -> Tensor:
        """Return the sum over sequences: a scalar.

        Args:
            scores: ``[n, C]``, logits.
            right: int64 ``[n]``, the column of the right candidate.
            there: bool ``[n, C]``, which candidates count; the right one does.

        Raises:
            GraphRecError: For scores of another shape.
        """
        if scores.shape != there.shape or len(right) != len(scores):
            got = f"{list(scores.shape)}, {list(right.shape)}, {list(there.shape)}"
            raise GraphRecError("SetLoss", "scores [n, C], right [n], there [n, C]", got)
        if not len(scores):
            return scores.sum()
        if self.form == "softmax":
            low = torch.finfo(scores.dtype).min
            logits = (scores / self.temperature).masked_fill(~there, low)
            return cross_entropy(logits, right, reduction="sum")
        positive = scores.gather(1, right.unsqueeze(1)).squeeze(1)  # [n]
        others = there.scatter(1, right.unsqueeze(1), False)  # [n, C]
        if self.form == "hinge":
            gap = relu(self.margin + scores - positive.unsqueeze(1)) * others
            return (gap.sum(1) / others.sum(1).clamp(min=1) + gap.amax(1)).sum()
        if self.form == "bce":
            ours, theirs = softplus(-positive), softplus(scores)
        else:
            ours = -self.alpha * (1 - sigmoid(positive)) ** self.gamma * logsigmoid(positive)
            theirs = (1 - self.alpha) * sigmoid(scores) ** self.gamma * softplus(scores)
        return ((ours + (theirs * others).sum(1)) / there.sum(1)).sum()
