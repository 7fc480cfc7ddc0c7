"""Columns as tensors and back: what libraries that know no tables can carry."""

from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
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
    found = graph.schema.relation(relation)
    forward = found.inverse or relation if found.backward else relation
    if forward not in graph.edge_tables:
        return None
    return graph.edge_tables[forward][(edge - graph.edge_offset[forward]).numpy()]


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
        The column; None for what no column can hold (more than two dimensions).
    """
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim > 2:
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
    found: list[str] = _enum(series).dtype.categories.to_list()  # type: ignore[attr-defined]
    return found


def _enum(series: pl.Series) -> pl.Series:
    if isinstance(series.dtype, pl.Enum):
        return series
    texts = series.cast(pl.String)
    return texts.cast(pl.Enum(texts.drop_nulls().unique().sort()))
