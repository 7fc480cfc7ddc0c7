"""Clicks by how often an item was taken when it was shown."""

from dataclasses import dataclass

from pydantic import Field
from torch import Tensor

from graphrec_pt.evaluation.values import Known, sums_by_node, value_baseline


@dataclass(frozen=True, eq=False)
class OfTarget:
    """The value of the target, whoever the source is.

    Args:
        value: float64 ``[N]`` of each node.
    """

    value: Tensor

    def values(self, source: Tensor, target: Tensor) -> Tensor:
        """Return that of each target: float64 ``[n]``."""
        return self.value[target]


@value_baseline("popularity_rate")
class PopularityRate:
    """``ŷ_i = (Σ_u y_ui + s μ) / (n_i + s)``: an item's own rate, drawn to the mean where few know.

    Args:
        strength: *s*, how many pairs of mean value every item starts with.
    """

    strength: float = Field(10.0, gt=0)

    def fit(self, known: Known) -> OfTarget:
        """Count."""
        total, count = sums_by_node(known.target, known.value, known.nodes)
        mean = known.value.mean()
        return OfTarget((total + self.strength * mean) / (count + self.strength))
