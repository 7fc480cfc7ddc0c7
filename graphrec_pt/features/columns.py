"""The columns of a node table that a feature reads, as tensors."""

from collections.abc import Collection, Sequence

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import ColumnKind
from graphrec_pt.graph.spec import GraphSpec


def columns_of(
    spec: GraphSpec,
    node_type: str,
    kinds: Collection[ColumnKind],
    wanted: Sequence[str] | None,
    who: str,
) -> tuple[str, ...]:
    """Return the named columns, or by default all columns of the given kinds.

    Raises:
        GraphRecError: When there are none, or a named one is unknown or of another kind.
    """
    columns = spec.nodes[spec.node_index(node_type)].columns
    names = tuple(name for name, kind in columns.items() if kind in kinds)
    allowed = " or ".join(kinds)
    if wanted is None:
        if not names:
            expected = f"a {allowed} column on {node_type!r}"
            raise GraphRecError(who, expected, "none", "another featurizer")
        return names
    for name in wanted:
        if name not in names:
            got = repr(name) if name not in columns else f"{name!r} of kind {columns[name]}"
            expected = f"a {allowed} column of {node_type!r}"
            raise GraphRecError(who, expected, got, did_you_mean(name, names))
    return tuple(wanted)


def one_column_of(
    spec: GraphSpec,
    node_type: str,
    kinds: Collection[ColumnKind],
    wanted: str | None,
    who: str,
) -> str:
    """Return the named column, or by default the only column of the given kinds.

    Raises:
        GraphRecError: As :func:`columns_of`, and when several columns would fit.
    """
    names = columns_of(spec, node_type, kinds, None if wanted is None else [wanted], who)
    if len(names) > 1:
        got = ", ".join(names)
        raise GraphRecError(who, f"the column of {node_type!r} to read", got, f"column: {names[0]}")
    return names[0]


def read_column(graph: Graph, node_type: str, column: str, who: str) -> pl.Series:
    """Return a column of the nodes of a type.

    Raises:
        GraphRecError: When the graph does not have it.
    """
    table = graph.tables[node_type]
    if column not in table.columns:
        hint = did_you_mean(column, table.columns)
        raise GraphRecError(who, f"a column of {node_type!r}", repr(column), hint)
    return table[column]


def floats_of(column: pl.Series) -> Tensor:
    """Return numbers as float32 ``[n]``, NaN where a number is missing."""
    return torch.from_numpy(column.cast(pl.Float32).fill_null(float("nan")).to_numpy().copy())


def vectors_of(column: pl.Series, width: int, who: str) -> tuple[Tensor, Tensor]:
    """Return vectors as float32 ``[n, F]``, 0 where missing, and which are missing: bool ``[n]``.

    Raises:
        GraphRecError: When a vector has another length than F.
    """
    missing = torch.from_numpy(column.is_null().to_numpy().copy())
    if isinstance(column.dtype, pl.Array):
        got = column.dtype.size
    else:
        lengths = column.list.len().drop_nulls().unique()
        got = int(lengths[0]) if len(lengths) == 1 else -1
    if got != width:
        expected = f"vectors of length {width} in {column.name!r}"
        raise GraphRecError(who, expected, got if got >= 0 else "several lengths")
    flat = column.drop_nulls().explode().cast(pl.Float32).to_numpy()
    vectors = torch.zeros(len(column), width, device="cpu")
    vectors[~missing] = torch.from_numpy(flat.copy()).view(-1, width)
    return vectors, missing
