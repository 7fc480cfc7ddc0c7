"""What is trained: a model, and the heads of the objectives."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from graphrec_pt.features.seeded import seeded
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.objective import Corrupted, Objective


class Learner(nn.Module):
    """A model with the heads of some objectives; its forward pass returns their losses.

    Args:
        model: What is shared.
        objectives: By name.
        seed: Of the heads' first weights.
    """

    def __init__(self, model: Model, objectives: Mapping[str, Objective], seed: int = 0) -> None:
        super().__init__()
        self.model = model
        self.objectives = dict(objectives)
        self.heads = nn.ModuleDict(
            {
                f"of_{name}": seeded(partial(each.head, model.outline, model.width), seed)
                for name, each in objectives.items()
            }
        )

    def forward(self, batch: Mapping[str, Corrupted]) -> dict[str, Tensor]:
        """Return the loss of every objective that has something to learn in the batch."""
        with self.model.held():
            return {
                name: self._loss(name, corrupted)
                for name, corrupted in batch.items()
                if corrupted.count
            }

    def _loss(self, name: str, corrupted: Corrupted) -> Tensor:
        encoded = [self.model.encode(view) for view in corrupted.views]
        head: Any = self.heads[f"of_{name}"]
        return self.objectives[name].loss(encoded, corrupted, self.model, head)
