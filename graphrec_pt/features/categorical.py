"""Embeddings of the values of category columns."""

import json

import polars as pl
import torch
from torch import Tensor, nn

from graphrec_pt.features.columns import columns_of, read_column
from graphrec_pt.features.featurizer import Feature, Vectors, featurizer
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec


@featurizer("categorical")
class Categorical:
    """The sum of one learned vector per category column, ``Σ_c E_c[value_c]``.

    Args:
        columns: Columns to read; all category columns of the type by default.
    """

    columns: tuple[str, ...] | None = None

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "CategoricalFeature":
        """Return a table with a row for each value that the graph spec lists for a column."""
        names = columns_of(spec, node_type, ["category"], self.columns, "categorical")
        known = spec.categories.get(node_type, {})
        return CategoricalFeature(node_type, {name: known.get(name, ()) for name in names}, width)


class CategoricalFeature(Feature):
    """A table ``[1 + Σ_c V_c, D]``; row 0 stays 0, for missing and unknown values.

    Another graph's codes are matched by the names of the values, not by number.

    Args:
        node_type: Type of its nodes.
        values: Column → its values.
        width: D.
    """

    codes: Tensor

    def __init__(self, node_type: str, values: dict[str, tuple[str, ...]], width: int) -> None:
        super().__init__()
        self.node_type, self.values = node_type, values
        rows = 1 + sum(len(known) for known in values.values())
        self.table = nn.Embedding(rows, width, padding_idx=0)
        empty = torch.zeros(0, len(values), dtype=torch.int64)
        self.register_buffer("codes", empty, persistent=False)

    def attach_graph(self, graph: Graph) -> None:
        """Read the row of every node and column: ``codes [n, C]``."""
        rows, before = [], 0
        for name, known in self.values.items():
            texts = read_column(graph, self.node_type, name, "categorical").cast(pl.String)
            code = texts.cast(pl.Enum(known), strict=False).to_physical().cast(pl.Int64)
            row = torch.from_numpy((code + (1 + before)).fill_null(0).to_numpy().copy())
            rows.append(row)
            before += len(known)
        self.codes = torch.stack(rows, dim=1).to(self.table.weight.device)

    def row_names(self, raw_ids: pl.Series) -> dict[str, pl.Series]:
        """Return the column and value of each row; the first row belongs to no value."""
        values = [json.dumps([name, value]) for name, all_ in self.values.items() for value in all_]
        return {"table.weight": pl.Series(["", *values], dtype=pl.String)}

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return the sum of the vectors of a node's values: ``[n, D]``."""
        rows: Tensor = self.table(self.codes[nodes])  # [n, C, D]
        return rows.sum(1)
