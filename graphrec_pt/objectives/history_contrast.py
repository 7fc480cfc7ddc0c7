"""Contrast of histories: two versions of the same one among versions of others."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.augmentation import Augmentation
from graphrec_pt.objectives.contrast import info_nce, nt_xent
from graphrec_pt.objectives.event_masking import events
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.pairs import Pool


@objective("history_contrast")
class HistoryContrast(Objective):
    """Contrast of two corruptions of each history (CL4SRec, Xie et al., ICDE 2022, re-derived).

    ``−log e^{cos(z_i, z_i')/τ} / Σ_j e^{cos(z_i, z_j)/τ}`` where z and z' are read off two versions
    of a history, made by operations drawn independently, and j runs over all versions in the batch
    (NT-Xent, SimCLR) or over the second ones (InfoNCE). Negatives are the other histories of the
    batch, so the loss depends on its size.

    Args:
        augment: How a version is made.
        loss_form: ``"nt_xent"`` or ``"info_nce"``.
        temperature: τ.
        pool: Where the vector of a history is read off.
        projection: Put a small net before the contrast, as SimCLR does; it is thrown away after.
    """

    augment: Augmentation = Augmentation()
    loss_form: Literal["nt_xent", "info_nce"] = "nt_xent"
    temperature: float = Field(0.5, gt=0)
    pool: Pool = "mean"
    projection: bool = False

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots; text if its words are dropped."""
        return Needs(self.augment.kinds(), frozenset({"hop"}))

    def check(self, outline: Outline) -> None:
        """Accept any graph."""

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return two versions of every history that has an event."""
        graph, draws = examples.graph, examples.draws.named("history_contrast")
        rows = torch.unique(examples.tokens.sequence_of()[events(examples.tokens)])
        tokens, draws, root = examples.tokens.select(rows), draws.select(rows), examples.root()
        views = (
            View(
                self.augment.apply(graph, tokens, draws.named(which)),
                root=None if root is None else root[rows],
            )
            for which in ("first", "second")
        )
        return Corrupted(tuple(views), {}, len(rows))

    def head(self, outline: Outline, width: int) -> nn.Module:
        """Return the net before the contrast."""
        return projector(width) if self.projection else nn.Identity()

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over histories."""
        first, second = (head(each.pooled(self.pool)) for each in encoded)  # [n, D] each
        if self.loss_form == "nt_xent":
            return nt_xent(first, second, self.temperature)
        return info_nce(first, second, self.temperature)


def projector(width: int) -> nn.Module:
    """Return two layers between hidden states and what is contrasted (Chen et al., ICML 2020)."""
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
