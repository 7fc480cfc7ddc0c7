"""Baselines that predict values: means, biases and rates; and their training pairs."""

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.values import Known, sums_by_node, value_baseline
from graphrec_pt.graph.split import Split
from graphrec_pt.kernels.negative import negative


def weights_of(split: Split, edge: Tensor) -> Tensor:
    """Return the weights of edges of the predicted relation, by edge id: float64 ``[n]``."""
    edges = split.graph.edges(split.relation)
    assert edges.weight is not None
    by_id = torch.full((split.graph.num_edge_ids,), float("nan"), dtype=torch.float64)
    by_id[edges.edge] = edges.weight.double()
    return by_id[edge]


def known_ratings(split: Split) -> Known:
    """Return the weights of all training edges."""
    edges = split.train.edges(split.relation)
    assert edges.weight is not None
    return Known(edges.source, edges.target, edges.weight.double(), split.graph.num_nodes())


def known_clicks(split: Split, negatives: int, seed: int) -> Known:
    """Return training edges as clicks, and drawn pairs without a training edge as non-clicks.

    Args:
        split: The split; negatives have no edge in its training graph.
        negatives: Pairs drawn for each click, uniformly.
        seed: Seed of the draws.
    """
    graph = split.train
    edges, relation = graph.edges(split.relation), graph.schema.relation(split.relation)
    items = graph.nodes(relation.target)
    drawn = negative(
        graph.csr,
        edges.source,
        graph.schema.slot(split.relation),
        negatives,
        Key(seed).named("evaluation.known"),
        low=items.start,
        high=items.stop,
        item=edges.edge,
    )  # [n, K], −1 for sources with an edge to every candidate
    source = torch.cat([edges.source, edges.source.repeat_interleave(negatives)])
    target = torch.cat([edges.target, drawn.flatten()])
    value = torch.zeros(len(source), dtype=torch.float64)
    value[: len(edges.source)] = 1
    kept = target >= 0
    return Known(source[kept], target[kept], value[kept], graph.num_nodes())


@dataclass(frozen=True)
class Same:
    """The same value for every pair.

    Args:
        value: The predicted value.
    """

    value: float

    def values(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the value once per pair: float64 ``[n]``."""
        return torch.full((len(source),), self.value, dtype=torch.float64)


@value_baseline("global_mean")
class GlobalMean:
    """``ŷ = μ``, the mean of the training values."""

    def fit(self, known: Known) -> Same:
        """Take the mean."""
        return Same(float(known.value.mean()))


@dataclass(frozen=True, eq=False)
class Added:
    """The sum of a mean, the bias of the source and the bias of the target.

    Args:
        mean: Mean of all training values.
        bias: float64 ``[N]``, bias of each node.
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
    (Koren, "Factor in the Neighbors", TKDD 2010). Nodes without training edges have bias 0.

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


@dataclass(frozen=True, eq=False)
class OfTarget:
    """The value of the target, for every source.

    Args:
        value: float64 ``[N]``, value of each node.
    """

    value: Tensor

    def values(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the value of each target: float64 ``[n]``."""
        return self.value[target]


@value_baseline("popularity_rate")
class PopularityRate:
    """``ŷ_i = (Σ_u y_ui + s μ) / (n_i + s)``: an item's rate, shrunk to the mean for rare items.

    Args:
        strength: *s*, how many pairs of mean value every item starts with.
    """

    strength: float = Field(10.0, gt=0)

    def fit(self, known: Known) -> OfTarget:
        """Compute the rates."""
        total, count = sums_by_node(known.target, known.value, known.nodes)
        mean = known.value.mean()
        return OfTarget((total + self.strength * mean) / (count + self.strength))
