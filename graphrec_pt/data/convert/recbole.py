"""RecBole atomic files: tab-separated tables whose header names a type for every field.

``NAME.inter`` holds one interaction relation, ``NAME.user`` and ``NAME.item`` the columns of its
ends, ``NAME.kg`` every other edge as (head, relation, tail), ``NAME.link`` which item is which
entity of the knowledge graph.
Format: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from pathlib import Path
from typing import Literal

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.data.convert.columns import column_kind, edge_columns
from graphrec_pt.graph.assemble import Array
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import Relation

FieldType = Literal["token", "token_seq", "float", "float_seq"]

TIME, WEIGHT = "timestamp", "rating"
TYPED_ENDS = {"head_id": "head_type", "tail_id": "tail_type"}
"""Additional columns in ``.kg``; RecBole loads them only on request."""


def to_recbole(graph: Graph, folder: str | Path, *, relation: str | None = None) -> Path:
    """Write the graph as RecBole atomic files into ``folder``, named after it.

    Columns become fields: categories ``token``, numbers ``float``, texts ``token_seq``, vectors
    ``float_seq``. In ``.kg`` an entity is called ``type:raw id``, and two columns more than RecBole
    reads keep the types. Inverses are left out. What the format has no place for is not written:
    columns of other node types, and other nodes without an edge.

    Args:
        graph: What to write.
        folder: Where to; created, and replaced when it holds files of that name.
        relation: The interaction relation; the first one by default.

    Returns:
        The folder.

    Raises:
        GraphRecError: When the graph has no such relation, or the folder cannot be written.
    """
    folder = Path(folder)
    target = graph.schema.interaction(relation)
    others = [r for r in graph.schema.relations if not r.backward and r.name != target.name]
    if folder.exists() and any(not f.name.startswith(f"{folder.name}.") for f in folder.iterdir()):
        raise GraphRecError(str(folder), "a new folder", "other files", "another folder")
    with finished_folder(folder) as scratch:
        files = {"inter": _interactions(graph, target)}
        files["user"] = _described(graph, target.source)
        files["item"] = _described(graph, target.target)
        if others:
            files["kg"] = pl.concat([_triples(graph, r) for r in others], how="diagonal")
            files["link"] = _links(graph, target.target)
        for suffix, table in files.items():
            _write(table, scratch / f"{folder.name}.{suffix}")
    return folder


def _interactions(graph: Graph, relation: Relation) -> pl.DataFrame:
    edges = graph.edges(relation.name)
    columns = [
        _raw_ids(graph, relation.source, edges.source.numpy(), f"{relation.source}_id:token"),
        _raw_ids(graph, relation.target, edges.target.numpy(), _target_field(relation)),
    ]
    if edges.weight is not None:
        columns.append(pl.Series(f"{WEIGHT}:float", edges.weight.numpy()))
    if edges.time is not None:
        columns.append(pl.Series(f"{TIME}:float", edges.time.numpy()))
    extra = edge_columns(graph, relation.name, edges.edge)
    return pl.DataFrame([*columns, *([] if extra is None else map(_field, extra))])


def _target_field(relation: Relation) -> str:
    twice = relation.source == relation.target
    return f"{'target_' if twice else ''}{relation.target}_id:token"


def _described(graph: Graph, name: str) -> pl.DataFrame:
    table = graph.tables[name]
    raw = table[RAW_ID].alias(f"{name}_id:token")
    return pl.DataFrame([raw, *(_field(c) for c in table if c.name != RAW_ID)])


def _triples(graph: Graph, relation: Relation) -> pl.DataFrame:
    edges = graph.edges(relation.name)
    size = len(edges.source)
    columns = [
        _entities(graph, relation.source, edges.source.numpy(), "head_id:token"),
        pl.Series("relation_id:token", [relation.name], dtype=pl.String).new_from_index(0, size),
        _entities(graph, relation.target, edges.target.numpy(), "tail_id:token"),
        pl.Series("head_type:token", [relation.source]).new_from_index(0, size),
        pl.Series("tail_type:token", [relation.target]).new_from_index(0, size),
    ]
    if edges.time is not None:
        columns.append(pl.Series(f"{TIME}:float", edges.time.numpy()))
    if edges.weight is not None:
        columns.append(pl.Series(f"{WEIGHT}:float", edges.weight.numpy()))
    return pl.DataFrame(columns)


def _links(graph: Graph, name: str) -> pl.DataFrame:
    raw = graph.tables[name][RAW_ID]
    return pl.DataFrame([raw.alias(f"{name}_id:token"), _entity(name, raw, "entity_id:token")])


def _raw_ids(graph: Graph, name: str, nodes: Array, field: str) -> pl.Series:
    local = pl.Series(nodes, dtype=pl.Int64) - graph.nodes(name).start
    return graph.tables[name][RAW_ID].gather(local).alias(field)


def _entities(graph: Graph, name: str, nodes: Array, field: str) -> pl.Series:
    return _entity(name, _raw_ids(graph, name, nodes, field), field)


def _entity(name: str, raw: pl.Series, field: str) -> pl.Series:
    return (f"{name}:" + raw).alias(field)


def _field(column: pl.Series) -> pl.Series:
    """Return a column as a field: its type in its name, its lists joined by spaces."""
    kind = column_kind(column)
    if kind == "vector":
        values = column.cast(pl.List(pl.Float32)).cast(pl.List(pl.String))
        return values.list.join(" ").alias(f"{column.name}:float_seq")
    kinds: dict[str, FieldType] = {"category": "token", "number": "float", "text": "token_seq"}
    values = column.cast(pl.String) if kind == "category" else column
    return values.alias(f"{column.name}:{kinds[kind]}")


def _write(table: pl.DataFrame, path: Path) -> None:
    # The format knows no quotes: a tab or line break inside a text would end the field.
    texts = pl.col(pl.String).str.replace_all(r"[\t\r\n]+", " ")
    table.with_columns(texts).write_csv(path, separator="\t", quote_style="never")
