"""One learned vector per node."""

import polars as pl
from torch import Generator, Tensor, nn

from graphrec_pt.features.featurizer import Feature, Vectors, featurizer
from graphrec_pt.graph.spec import GraphSpec


@featurizer("id")
class Identity:
    """An embedding table with one row per node; it does not transfer to unseen nodes.

    Args:
        zero: Begin with zeros, to be filled by training or by a strategy's `encoded`; small random
            vectors otherwise.
    """

    zero: bool = False

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "IdentityFeature":
        """Return the table."""
        return IdentityFeature(spec.counts[spec.node_index(node_type)], width, self.zero)


class IdentityFeature(Feature):
    """A table ``[V, D]``.

    Args:
        count: V.
        width: D.
        zero: Whether it begins with zeros.
    """

    def __init__(self, count: int, width: int, zero: bool = False) -> None:
        super().__init__()
        self.zero = zero
        self.table = nn.Embedding(count, width)

    def initialise(self, draw: Generator) -> None:
        """Fill the table with zeros if `zero` is set."""
        if self.zero:
            self.table.weight.zero_()

    def row_names(self, raw_ids: pl.Series) -> dict[str, pl.Series]:
        """Return the raw id of each row's node."""
        return {"table.weight": raw_ids}

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return rows of the table: ``[n, D]``."""
        rows: Tensor = self.table(nodes)
        return rows
