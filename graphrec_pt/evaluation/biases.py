"""Ratings by how generous a user and how liked an item is."""

from dataclasses import dataclass

from pydantic import Field
from torch import Tensor

from graphrec_pt.evaluation.values import Known, sums_by_node, value_baseline


@dataclass(frozen=True, eq=False)
class Added:
    """A mean, and what source and target add to it.

    Args:
        mean: Of all.
        bias: float64 ``[N]`` of each node.
    """

    mean: float
    bias: Tensor

    def values(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the three sums: float64 ``[n]``."""
        return self.mean + self.bias[source] + self.bias[target]


@value_baseline("biases")
class Biases:
    """``ŷ = μ + b_u + b_i`` with regularised means in closed form, items first.

    ``b_i = Σ_u (y_ui − μ) / (λ_i + n_i)``, then ``b_u = Σ_i (y_ui − μ − b_i) / (λ_u + n_u)``
    (Koren, "Factor in the Neighbors", TKDD 2010). Nodes that training never met have 0.

    Args:
        item: λ of items.
        user: λ of users.
    """

    item: float = Field(25.0, ge=0)
    user: float = Field(10.0, ge=0)

    def fit(self, known: Known) -> Added:
        """Take the means."""
        mean = float(known.value.mean())
        total, count = sums_by_node(known.target, known.value - mean, known.nodes)
        bias = total / (self.item + count).clamp(min=1e-12)
        rest = known.value - mean - bias[known.target]
        total, count = sums_by_node(known.source, rest, known.nodes)
        return Added(mean, bias + total / (self.user + count).clamp(min=1e-12))
