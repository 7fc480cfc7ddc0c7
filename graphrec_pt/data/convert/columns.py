"""Conversion of columns to tensors and back, for libraries without tables."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.assemble import Array, EdgeList
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import ColumnKind


def column_kind(series: pl.Series) -> ColumnKind:
    """Return the kind of column that a series is, by its type."""
    if isinstance(series.dtype, pl.Enum | pl.Categorical):
        return "category"
    if isinstance(series.dtype, pl.Array | pl.List):
        return "vector"
    return "text" if series.dtype == pl.String else "number"


def edge_columns(graph: Graph, relation: str, edge: Tensor) -> pl.DataFrame | None:
    """Return the extra columns of some edges of a relation or an inverse, if it has any.

    Args:
        graph: The graph.
        relation: The relation.
        edge: int64 ``[n]`` edge ids.
    """
    definition = graph.schema.relation(relation)
    forward = definition.inverse or relation if definition.backward else relation
    if forward not in graph.edge_tables:
        return None
    return graph.edge_tables[forward][(edge - graph.edge_offset[forward]).numpy()]


TIMES = ("time", "edge_time", "timestamp", "edge_timestamp", "timestamps", "t")
"""Names of edge times in other libraries; the first that exists is read."""
WEIGHTS = ("edge_weight", "weight")
"""Names of edge weights in other libraries."""
OF_A_SPLIT = ("edge_label", "pos_edge_label", "neg_edge_label")
"""Prefixes of attributes that list training or test pairs, with negatives, instead of edges."""


def node_table(
    name: str,
    rows: int,
    attributes: Iterable[tuple[str, Any]],
    categories: Mapping[str, list[str]],
    notes: list[str],
) -> pl.DataFrame:
    """Return the attributes of one node type as columns, ``id`` first.

    Args:
        name: The node type.
        rows: How many nodes it has.
        attributes: Name and values; ``id`` gives the raw ids, else the row numbers do.
        categories: Attribute → the texts that its codes stand for.
        notes: A sentence is added for attributes that no column can hold.

    Raises:
        GraphRecError: Unless each node has exactly one raw id.
    """
    given = dict(attributes)
    raw = given.pop(RAW_ID, None)
    ids = [str(row) for row in range(rows)] if raw is None else _raw_ids(name, raw, rows)
    columns = _columns(name, rows, given, categories, notes)
    return pl.DataFrame([pl.Series(RAW_ID, ids, dtype=pl.String), *columns])


def edge_list(
    kind: tuple[str, str, str],
    ends: tuple[Array, Array],
    sizes: tuple[int, int],
    attributes: Mapping[str, Any],
    notes: list[str],
) -> EdgeList:
    """Return edges and their attributes: times, weights, and columns for the others.

    Args:
        kind: The edge type.
        ends: Integers ``[E]``, numbered inside the node types.
        sizes: Number of nodes of both types.
        attributes: Attribute → values, a row for each edge.
        notes: A sentence is added for attributes that are left out.

    Raises:
        GraphRecError: For numbers outside the nodes, and for invalid times or weights.
    """
    called = f"{kind[0]}–{kind[1]}–{kind[2]}"
    for ids, name, size in zip(ends, (kind[0], kind[2]), sizes, strict=True):
        if len(ids) and not 0 <= ids.min() <= ids.max() < size:
            got = f"{ids.min()} to {ids.max()}"
            raise GraphRecError(f"edges of {kind}", f"{name} numbers below {size}", got)
    rest, rows = dict(attributes), len(ends[0])
    times = next((name for name in TIMES if name in rest), None)
    weights = next((name for name in WEIGHTS if name in rest), None)
    time = None if times is None else _times(f"{times} of {kind}", rest.pop(times), rows)
    weight = None if weights is None else _weights(f"{weights} of {kind}", rest.pop(weights), rows)
    columns = _columns(called, rows, rest, {}, notes)
    return EdgeList(*ends, time, weight, pl.DataFrame(columns) if columns else None)


def _columns(
    where: str,
    rows: int,
    attributes: Mapping[str, Any],
    categories: Mapping[str, list[str]],
    notes: list[str],
) -> list[pl.Series]:
    columns, left = [], []
    for name, values in attributes.items():
        of_a_split = name.startswith(OF_A_SPLIT)
        column = None if of_a_split else tensor_column(name, values, categories.get(name))
        if column is not None and len(column) == rows:
            columns.append(column)
        else:
            left.append(name)
    if left:
        notes.append(f"{where}: left out {', '.join(left)}; no column of {rows:,} rows")
    return columns


def _plain(values: Any) -> Array:
    """Return values as an array; one column of a matrix as that column."""
    array = values.detach().cpu() if isinstance(values, Tensor) else values
    if isinstance(array, Tensor):
        array = array.float() if array.dtype == torch.bfloat16 else array
    if isinstance(array, Tensor) and array.layout != torch.strided:
        raise GraphRecError("columns", "dense tensors", array.layout, "values.to_dense()")
    made = np.asarray(array)
    return made[:, 0] if made.ndim == 2 and made.shape[1] == 1 else made


def _raw_ids(name: str, values: Any, rows: int) -> list[str]:
    array = _plain(values)
    if array.shape != (rows,):
        got = "×".join(map(str, array.shape)) or "one value"
        raise GraphRecError(f"id of {name!r}", f"one for each of {rows} nodes", got)
    if array.dtype.kind == "f" and np.array_equal(array, np.trunc(array)):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iuOUS":
        raise GraphRecError(f"id of {name!r}", "whole numbers or texts", str(array.dtype))
    ids = [raw.decode() if isinstance(raw, bytes) else str(raw) for raw in array.tolist()]
    if len(set(ids)) < len(ids):
        twice = next(raw for raw, count in Counter(ids).items() if count > 1)
        raise GraphRecError(f"id of {name!r}", "an id of its own for each node", f"{twice!r} twice")
    return ids


def _times(who: str, values: Any, rows: int) -> Array:
    array = _plain(values)
    if array.dtype.kind == "M":
        array = array.astype("datetime64[s]").astype(np.int64)
    if array.shape != (rows,):
        raise GraphRecError(who, f"one for each of {rows} edges", "×".join(map(str, array.shape)))
    if array.dtype.kind not in "iuf":
        raise GraphRecError(who, "integers", str(array.dtype))
    if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
        raise GraphRecError(who, "integers", str(array.dtype), "scaling to milliseconds")
    return array.astype(np.int64)


def _weights(who: str, values: Any, rows: int) -> Array:
    array = _plain(values)
    if array.shape != (rows,) or array.dtype.kind not in "iufb":
        got = f"{'×'.join(map(str, array.shape))} of {array.dtype}"
        raise GraphRecError(who, f"a number for each of {rows} edges", got)
    if not np.isfinite(array).all():
        raise GraphRecError(who, "finite numbers", str(array[~np.isfinite(array)][0]))
    return array.astype(np.float32)


def column_tensor(series: pl.Series) -> Tensor | None:
    """Return a column as a tensor, or None for text.

    Numbers become ``[n]`` with NaN where there is none, categories int64 codes ``[n]`` with −1
    where there is none, vectors float32 ``[n, D]``.
    """
    kind = column_kind(series)
    if kind == "text":
        return None
    if kind == "category":
        values = _enum(series).to_physical().cast(pl.Int64).fill_null(-1)
    elif isinstance(series.dtype, pl.List):
        values = series.list.to_array(int(str(series.list.len().max() or 0)))
    else:
        values = series.cast(pl.Float32).fill_null(float("nan")) if series.has_nulls() else series
    return torch.from_numpy(np.array(values.to_numpy()))  # a copy that torch may write to


def tensor_column(name: str, values: Any, categories: list[str] | None = None) -> pl.Series | None:
    """Return a tensor or array of one row per node (or edge) as a column.

    Args:
        name: The column's name.
        values: Numbers ``[n]``, vectors ``[n, D]``, or texts ``[n]``.
        categories: The texts that int codes ``[n]`` stand for, −1 for none.

    Returns:
        The column; None for what no column can hold (single values, more than two dimensions).
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        if values.layout != torch.strided or values.is_complex():
            return None
        values = values.float() if values.dtype == torch.bfloat16 else values
        array = values.numpy()
    else:
        try:
            array = np.asarray(values)
        except ValueError:  # rows of several lengths
            return None
    if array.ndim not in (1, 2) or array.dtype.kind in "cV" or 0 in array.shape[1:]:
        return None
    if array.dtype.kind in "OUS":
        texts = [None if text is None else str(text) for text in array.tolist()]
        return pl.Series(name, texts, dtype=pl.String) if array.ndim == 1 else None
    if array.ndim == 2:
        vectors = np.ascontiguousarray(array, dtype=np.float32)
        return pl.Series(name, vectors, dtype=pl.Array(pl.Float32, array.shape[1]))
    if categories is not None:
        codes = pl.Series(name, array, dtype=pl.Int64)
        known = pl.Series(categories, dtype=pl.Enum(categories))
        return known.gather(pl.select(pl.when(codes >= 0).then(codes)).to_series()).alias(name)
    series = pl.Series(name, array)
    series = series.cast(pl.Float32) if series.dtype == pl.Boolean else series
    return series.fill_nan(None) if series.dtype.is_float() else series


def categories_of(series: pl.Series) -> list[str]:
    """Return the texts that the codes of a category column stand for."""
    categories: list[str] = _enum(series).dtype.categories.to_list()  # type: ignore[attr-defined]
    return categories


def _enum(series: pl.Series) -> pl.Series:
    if isinstance(series.dtype, pl.Enum):
        return series
    texts = series.cast(pl.String)
    return texts.cast(pl.Enum(texts.drop_nulls().unique().sort()))
