"""RecBole atomic files: tab-separated tables whose header names a type for every field.

``NAME.inter`` holds one interaction relation, ``NAME.user`` and ``NAME.item`` the columns of its
ends, ``NAME.kg`` every other edge as (head, relation, tail), ``NAME.link`` which item is which
entity of the knowledge graph.
Format: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.data.build import build
from graphrec_pt.data.convert.columns import column_kind, edge_columns
from graphrec_pt.data.convert.typed import EdgeType, unique_names
from graphrec_pt.data.copies import without_copies
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.readers.recbole import SPLIT, given_parts
from graphrec_pt.graph.assemble import Array
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import ColumnKind, Relation, TimeUnit

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


ENTITY = "entity"
"""Node type of ``.kg`` entities without an entry in ``.link``."""

KINDS: dict[str, ColumnKind] = {
    "token": "category",
    "token_seq": "text",
    "float": "number",
    "float_seq": "vector",
}


def from_recbole(
    folder: str | Path,
    *,
    relation: str = "interaction",
    explode: Collection[str] = (),
    time_unit: TimeUnit = "s",
    seed: int | None = 0,
) -> Graph:
    """Build a graph from a folder of RecBole atomic files.

    The first two ``token`` fields of ``.inter`` are the ends of the interaction (``user_id`` makes
    the node type ``user``), ``timestamp`` its time, ``rating`` its weight. An entity of ``.kg``
    that ``.link`` maps to an item *is* that item (if it maps to several, each gets its edges);
    other entities are nodes of type ``entity``. Relations get inverses called ``rev_NAME``.
    ``NAME.train.inter``, ``NAME.valid.inter`` and ``NAME.test.inter`` are read as one, with a
    column ``split`` for the protocol ``fixed``.

    Args:
        folder: Holds one ``.inter`` file and others of that name.
        relation: What to call the interaction relation.
        explode: ``token_seq`` fields of ``.user`` and ``.item`` whose words become nodes (a type
            named after the field) instead of one text.
        time_unit: Unit of the timestamps; they are cut to integers.
        seed: Of the permutation of node ids; None keeps sorted raw ids, which may leak order.

    Raises:
        GraphRecError: When there is no ``.inter`` file, or one is not in the format.
    """
    folder = Path(folder)
    paths = without_copies(sorted(folder.glob("*.inter")), Path.as_posix)
    parts_of = given_parts([RawFile(path) for path in paths])
    if not paths or (len(paths) > 1 and None in parts_of):
        names = ", ".join(f.name for f in paths) or "none"
        raise GraphRecError(str(folder), "one .inter file", names, "the folder of one data set")
    name = paths[0].stem if parts_of[0] is None else paths[0].stem.rpartition(".")[0]
    beside = [folder / f"{name}.{suffix}" for suffix in ("user", "item", "kg", "link")]
    files = {path.suffix[1:]: _read(path) for path in beside if path.is_file()}
    files["inter"] = _joined([_read(path) for path in paths], parts_of)
    parts = _Parts()
    user, item = parts.add_interactions(files["inter"], relation)
    for name, suffix in ((user, "user"), (item, "item")):
        if suffix in files:
            parts.add_described(name, files[suffix], explode)
    if missing := [c for c in explode if c not in parts.nodes]:
        known = [c for s in ("user", "item") if s in files for c in files[s].fields]
        raise GraphRecError("explode", "a field", repr(missing[0]), did_you_mean(missing[0], known))
    if "kg" in files:
        parts.add_knowledge(files["kg"], files.get("link"), item)
    content = {"nodes": parts.nodes, "edges": parts.edges, "time_unit": time_unit}
    plan = Plan.checked(content, str(folder))
    return build(plan, parts.tables, seed=seed)


@dataclass(frozen=True)
class _File:
    """An atomic file: its rows, and the type of each field."""

    path: Path
    rows: pl.DataFrame
    fields: Mapping[str, str]


@dataclass
class _Parts:
    """Nodes, edges and tables of the plan under construction."""

    nodes: dict[str, NodePlan] = field(default_factory=dict)
    edges: dict[str, EdgePlan] = field(default_factory=dict)
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)

    def add_interactions(self, file: _File, relation: str) -> tuple[str, str]:
        """Plan the interaction relation and return its two node types."""
        ends = [name for name, kind in file.fields.items() if kind == "token"][:2]
        if len(ends) < 2:
            raise GraphRecError(file.path.name, "two fields of type token", ", ".join(file.fields))
        user, item = (end.removeprefix("target_").removesuffix("_id") for end in ends)
        extra = {n: KINDS[k] for n, k in file.fields.items() if n not in (*ends, TIME, WEIGHT)}
        self.tables[relation] = file.rows
        self.nodes |= {user: NodePlan(), item: NodePlan()}
        self.edges[relation] = EdgePlan(
            table=relation,
            source=f"{user}.{ends[0]}",
            target=f"{item}.{ends[1]}",
            time=TIME if TIME in file.fields else None,
            weight=WEIGHT if WEIGHT in file.fields else None,
            columns=extra,
            interaction=True,
            duplicates="keep",
        )
        return user, item

    def add_described(self, name: str, file: _File, explode: Collection[str]) -> None:
        """Plan the columns of a node type, and the nodes that its lists of tokens name."""
        key, *columns = file.fields
        kinds = {c: KINDS[file.fields[c]] for c in columns if c not in explode}
        title = next((c for c in kinds if "title" in c or c == "name"), None)
        self.tables[name] = file.rows
        self.nodes[name] = NodePlan(table=name, id=key, columns=kinds, title=title, unknown="add")
        for column in columns:
            if column in explode:
                self.nodes[column] = NodePlan()
                self.edges[f"{name}_{column}"] = EdgePlan(
                    table=name, source=f"{name}.{key}", target=f"{column}.{column}", split=" "
                )

    def add_knowledge(self, file: _File, link: _File | None, item: str) -> None:
        """Plan one relation for every (head type, relation, tail type) of a ``.kg`` file."""
        rows = file.rows
        for end, kind in TYPED_ENDS.items():
            if kind in rows.columns:  # `type:raw id`, written by ourselves
                bare = pl.col(end).str.slice(pl.col(kind).str.len_chars() + 1)
                rows = rows.with_columns(bare)
            else:
                rows = _linked(rows, link, end, kind, item)
        kinds = ("head_type", "relation_id", "tail_type")
        groups = rows.partition_by(*kinds, as_dict=True, include_key=False, maintain_order=True)
        typed: dict[EdgeType, pl.DataFrame] = {
            (str(h), str(r), str(t)): g for (h, r, t), g in groups.items()
        }
        for triple, name in unique_names(typed).items():
            part = typed[triple]
            self.tables[name] = part
            self.nodes = {triple[0]: NodePlan(), triple[2]: NodePlan()} | self.nodes
            self.edges[name] = EdgePlan(
                table=name,
                source=f"{triple[0]}.head_id",
                target=f"{triple[2]}.tail_id",
                time=TIME if TIME in part and part[TIME].count() else None,
                weight=WEIGHT if WEIGHT in part and part[WEIGHT].count() else None,
                duplicates="keep",
            )


def _linked(rows: pl.DataFrame, link: _File | None, end: str, kind: str, item: str) -> pl.DataFrame:
    """Replace the entities at one end of triples by the items that they are linked to."""
    if link is None:
        return rows.with_columns(pl.lit(ENTITY).alias(kind))
    items = link.rows.select(pl.nth(0).alias("__item"), pl.nth(1).alias(end)).unique()
    joined = rows.join(items, on=end, how="left", maintain_order="left_right")
    is_item = pl.col("__item").is_not_null()
    return joined.with_columns(
        pl.when(is_item).then("__item").otherwise(end).alias(end),
        pl.when(is_item).then(pl.lit(item)).otherwise(pl.lit(ENTITY)).alias(kind),
    ).drop("__item")


def _joined(files: Sequence[_File], parts: Sequence[str | None]) -> _File:
    """Return the files of a given split as one, with a column of the part."""
    if parts[0] is None:
        return files[0]
    rows = [f.rows.with_columns(pl.lit(p).alias(SPLIT)) for f, p in zip(files, parts, strict=True)]
    fields = {name: kind for file in files for name, kind in file.fields.items()}
    return _File(files[0].path, pl.concat(rows, how="diagonal_relaxed"), {**fields, SPLIT: "token"})


def _read(path: Path) -> _File:
    try:
        rows = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise GraphRecError(path.name, "tab-separated fields in UTF-8", error) from error
    fields = {}
    for header in rows.columns:
        name, _, kind = header.rpartition(":")
        if not name or kind not in KINDS:
            raise GraphRecError(
                f"{path.name}:1", "fields called name:type", repr(header), f"one of {[*KINDS]}"
            )
        fields[name] = kind
    rows = rows.rename(dict(zip(rows.columns, fields, strict=True)))
    numbers = [pl.col(n).cast(pl.Float64, strict=False) for n, k in fields.items() if k == "float"]
    vectors = [
        pl.col(n).str.split(" ").cast(pl.List(pl.Float32), strict=False)
        for n, k in fields.items()
        if k == "float_seq"
    ]
    return _File(path, rows.with_columns(*numbers, *vectors), fields)
