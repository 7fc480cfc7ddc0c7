"""Masked feature prediction: predict the column values of a hidden node."""

from collections.abc import Mapping, Sequence

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.features.columns import columns_of, floats_of, read_column, vectors_of
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import ColumnKind
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import FeatureHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.masking import Masking, choose_nodes, hide
from graphrec_pt.objectives.objective import Examples, Objective, TrainingExamples, objective

KINDS: tuple[ColumnKind, ...] = ("number", "vector", "category")

_columns: Memo[tuple[Tensor, Tensor]] = Memo()  # of a graph


@objective("masked_feature")
class MaskedFeature(Objective):
    """Masked node feature prediction: NFR of PMGT (Liu et al., ACM MM 2021) for any column.

    A hidden node is MASK wherever it stands in its sequence, so its vector, and with it its
    features, are gone. From its hidden state each column is predicted by a head of its own: a
    vector with ``‖f(h) − x‖² / F``, a number with ``(f(h) − z)²`` where z has mean 0 and variance
    1 over all nodes of the graph, a category with ``−log softmax(f(h))_c``. The loss is the mean
    over all (node, column) that have a value.

    Args:
        columns: Node type → the columns to predict; all numbers, vectors and categories of all
            types by default.
        masking: How many nodes, and what is put in their place; PMGT has share .2, mask .8 and
            random .1.
        roots: Whether roots (hop 0) may be hidden too.
    """

    columns: dict[str, tuple[str, ...]] | None = None
    masking: Masking = Masking(share=0.2)
    roots: bool = False

    def check(self, spec: GraphSpec) -> None:
        """Raise for node types and columns that the graph does not have, or that are text."""
        if not self._columns(spec):
            raise GraphRecError("masked_feature", f"a {' or '.join(KINDS)} column", "none")

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view, and for every column the hidden nodes that have a value."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_feature")
        columns = self._columns(GraphSpec.of(graph))
        types = sorted({node_type for node_type, _ in columns})
        chosen = choose_nodes(graph, tokens, draws, self.masking, types, roots=self.roots)
        seen = hide(graph, tokens, chosen, draws, self.masking)
        hidden = chosen.nonzero().squeeze(1)
        targets: dict[str, Tensor] = {}
        count = 0
        for node_type, column in columns:
            of_type = hidden[tokens.type[hidden] == graph.schema.node_index(node_type)]
            values, known = _values(graph, node_type, column)
            row = tokens.id[of_type] - graph.nodes(node_type).start
            row = row.to(known.device)  # tables stay on the CPU
            has = known[row].to(of_type.device)
            targets[f"token.{node_type}.{column}"] = of_type[has]
            targets[f"value.{node_type}.{column}"] = values[row[known[row]]].to(of_type.device)
            count += len(of_type[has])
        return TrainingExamples((View(seen),), targets, count)

    def head(self, spec: GraphSpec, width: int) -> nn.ModuleDict:
        """Return one network per column."""
        sizes = {
            (node_type, column): _outputs(spec, node_type, column)
            for node_type, column in self._columns(spec)
        }
        return nn.ModuleDict(
            {_label(*which): FeatureHead(width, size) for which, size in sizes.items()}
        )

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: Mapping[str, nn.Module],
    ) -> Tensor:
        """Return the mean over hidden nodes and their columns."""
        at, hidden = corrupted.targets, encoded[0].hidden
        total = hidden.new_zeros(())
        for node_type, column in self._columns(model.spec):
            token, value = (at[f"{name}.{node_type}.{column}"] for name in ("token", "value"))
            predicted = head[_label(node_type, column)](hidden.index_select(0, token))
            if value.ndim == 1:
                total = total + cross_entropy(predicted, value, reduction="sum")
            else:
                total = (
                    total
                    + mse_loss(predicted, value.to(predicted.dtype), reduction="none").mean(1).sum()
                )
        return total / max(corrupted.count, 1)

    def _columns(self, spec: GraphSpec) -> list[tuple[str, str]]:
        """Return the (node type, column) pairs to predict."""
        if self.columns is not None:
            return [
                (node_type, column)
                for node_type, wanted in self.columns.items()
                for column in columns_of(spec, node_type, KINDS, wanted, "masked_feature")
            ]
        return [
            (node.name, column)
            for node in spec.nodes
            for column, kind in node.columns.items()
            if kind in KINDS
        ]


def _label(node_type: str, column: str) -> str:
    return f"of_{node_type}_{column}".replace(".", "_")


def _outputs(spec: GraphSpec, node_type: str, column: str) -> int:
    kind = spec.nodes[spec.node_index(node_type)].columns[column]
    if kind == "category":
        return len(spec.categories[node_type][column])
    return spec.widths[node_type][column] if kind == "vector" else 1


def _values(graph: Graph, node_type: str, column: str) -> tuple[Tensor, Tensor]:
    """Return the values of a column and which nodes have one, made once for a graph.

    Returns:
        int64 ``[n]`` codes of categories, or floats ``[n, F]``; bool ``[n]``.
    """

    def made() -> tuple[Tensor, Tensor]:
        series = read_column(graph, node_type, column, "masked_feature")
        return _read(series, graph.schema.node(node_type).columns[column])

    return _columns(graph, (node_type, column), made)


def _read(series: pl.Series, kind: ColumnKind) -> tuple[Tensor, Tensor]:
    if kind == "category":
        codes = torch.from_numpy(
            series.to_physical().cast(pl.Int64).fill_null(-1).to_numpy().copy()
        )
        return codes.clamp(min=0), codes >= 0
    if kind == "vector":
        width = series.dtype.size if isinstance(series.dtype, pl.Array) else 0
        vectors, missing = vectors_of(series, width, "masked_feature")
        return vectors, ~missing
    numbers = floats_of(series).double()
    known = numbers.isfinite()
    some = numbers[known]
    spread = some.std(correction=0).clamp(min=1e-6) if len(some) else numbers.new_tensor(1.0)
    scaled = (numbers - (some.mean() if len(some) else 0.0)) / spread
    return scaled.nan_to_num(0, 0, 0).float().unsqueeze(1), known
