"""Vectors from number columns."""

from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.features.columns import columns_of, floats_of, read_column
from graphrec_pt.features.featurizer import Feature, Vectors, featurizer
from graphrec_pt.features.seeded import SPREAD
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec


@featurizer("number")
class Number:
    """A vector from standardised numbers, linear in each or soft one-hot.

    Linear: ``W z + b``. Soft one-hot (Transformers4Rec, de Souza Pereira Moreira et al., RecSys
    2021): ``Σ_c E_cᵀ softmax(z_c w_c + b_c)``, a learned binning. In both a missing number counts
    as the mean and adds a learned vector of its column.

    Args:
        columns: Columns to read; all number columns of the type by default.
        bins: Rows of each E_c; 0 for the linear form.
    """

    columns: tuple[str, ...] | None = None
    bins: int = Field(0, ge=0)

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "NumberFeature":
        """Return the feature."""
        names = columns_of(spec, node_type, ["number"], self.columns, "number")
        return NumberFeature(node_type, names, width, self.bins)


class NumberFeature(Feature):
    """From numbers ``[n, C]`` to vectors ``[n, D]``.

    Mean and standard deviation of each column belong to the weights: they are computed on the
    first attached graph and kept for later ones, because the maps were trained on that scale.

    Args:
        node_type: Type of its nodes.
        columns: The C columns.
        width: D.
        bins: K, or 0.
    """

    numbers: Tensor
    mean: Tensor
    spread: Tensor
    learnt: Tensor

    def __init__(self, node_type: str, columns: tuple[str, ...], width: int, bins: int) -> None:
        super().__init__()
        self.node_type, self.columns = node_type, columns
        count = len(columns)
        self.missing = nn.Linear(count, width, bias=False)
        self.map = SoftOneHot(count, bins, width) if bins else nn.Linear(count, width)
        self.register_buffer("numbers", torch.zeros(0, count), persistent=False)
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))
        self.register_buffer("learnt", torch.zeros((), dtype=torch.bool))

    def initialise(self, draw: torch.Generator) -> None:
        """Start without a scale."""
        self.mean.zero_()
        self.spread.fill_(1)
        self.learnt.fill_(False)

    def attach_graph(self, graph: Graph) -> None:
        """Read the numbers ``[n, C]``, NaN where missing, and compute their scale once."""
        read = [floats_of(read_column(graph, self.node_type, n, "number")) for n in self.columns]
        self.numbers = torch.stack(read, dim=1).to(self.mean)  # [n, C]
        if not self.learnt:
            numbers = self.numbers.double()
            mean = numbers.nanmean(0)
            spread = (numbers - mean).square().nanmean(0).sqrt()
            self.mean.copy_(mean.nan_to_num())
            self.spread.copy_(torch.where(spread > 0, spread, 1.0))  # also where it is NaN
            self.learnt.fill_(True)

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return ``[n, D]``."""
        z = (self.numbers[nodes] - self.mean) / self.spread  # [n, C]
        mapped: Tensor = self.map(z.nan_to_num())
        return mapped + cast(Tensor, self.missing(z.isnan().to(mapped.dtype)))


class SoftOneHot(nn.Module):
    """``Σ_c E_cᵀ softmax(z_c w_c + b_c)``.

    Args:
        columns: C.
        bins: K.
        width: D.
    """

    def __init__(self, columns: int, bins: int, width: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.empty(columns, bins))
        self.offset = nn.Parameter(torch.empty(columns, bins))
        self.table = nn.Parameter(torch.empty(columns, bins, width))

    def initialise(self, draw: torch.Generator) -> None:
        """Spread the bins over the range of standardised numbers."""
        self.slope.normal_(generator=draw)
        self.offset.normal_(generator=draw)
        self.table.normal_(0, SPREAD, generator=draw)

    def forward(self, z: Tensor) -> Tensor:
        """Return ``[n, D]`` for numbers ``[n, C]``."""
        logits = z.unsqueeze(2) * self.slope + self.offset  # [n, C, K]
        return torch.einsum("nck,ckd->nd", logits.softmax(2), self.table)
