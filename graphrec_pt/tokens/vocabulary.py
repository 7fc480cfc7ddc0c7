"""The vocabulary of a graph: raw ids, types and relations in the order of their ids.

It is saved with a model, so that the model can be used without the data set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_file
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.stored_tables import read_parquet
from graphrec_pt.tokens.kind import Special

FORMAT = "1"
_STAMP = "graphrec_pt.vocabulary"
_COLUMNS = ("kind", "name", "type", "target")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Raw ids and types of nodes, and the relations, in the order of their ids.

    Args:
        node_types: Names of the node types, in id order.
        relations: (name, source type, target type) of each relation, in id order.
        nodes: Columns ``type`` and ``id`` (raw), row *n* for global id *n*.

    Example:
        >>> vocabulary = Vocabulary.of(graph)
        >>> vocabulary.node_ids("user", ["ann", "nobody"]).tolist()
        [1, -1]
        >>> vocabulary.raw_id(1)
        ('user', 'ann')
    """

    node_types: tuple[str, ...]
    relations: tuple[tuple[str, str, str], ...]
    nodes: pl.DataFrame

    @classmethod
    def of(cls, graph: Graph) -> "Vocabulary":
        """Return the vocabulary of a graph."""
        names = graph.schema.node_names
        parts = [
            graph.tables[name].select(pl.lit(name).alias("type"), pl.col(RAW_ID).cast(pl.String))
            for name in names
        ]
        empty = pl.DataFrame(schema={"type": pl.String, RAW_ID: pl.String})
        relations = tuple((r.name, r.source, r.target) for r in graph.schema.relations)
        return cls(names, relations, pl.concat([empty, *parts]))

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.nodes)

    @property
    def counts(self) -> dict[str, int]:
        """Number of nodes of each type, in id order."""
        sizes: dict[str, int] = dict(self.nodes["type"].value_counts().iter_rows())
        return {name: sizes.get(name, 0) for name in self.node_types}

    @property
    def relation_names(self) -> tuple[str, ...]:
        """Names of the relations, in id order."""
        return tuple(name for name, *_ in self.relations)

    def node_ids(self, node_type: str, raw_ids: list[str]) -> Tensor:
        """Return the global ids of raw ids: int64 ``[len(raw_ids)]``, −1 where unknown."""
        nodes = pl.DataFrame(
            {
                "type": pl.repeat(node_type, len(raw_ids), eager=True, dtype=pl.String),
                RAW_ID: pl.Series(raw_ids, dtype=pl.String),
            }
        )
        return _looked_up(nodes, self._numbered)

    def raw_id(self, node: int) -> tuple[str, str]:
        """Return the type and the raw id of a node."""
        if not 0 <= node < len(self.nodes):
            raise GraphRecError("vocabulary", f"a node below {len(self.nodes)}", node)
        kind, raw = self.nodes.row(node)
        return str(kind), str(raw)

    def save(self, path: str | Path) -> None:
        """Write one Parquet file, all or nothing.

        Columns ``kind`` (special, type, relation, node), ``name`` (of nodes the raw id), ``type``
        (of relations the source's) and ``target``; the rows of a kind stand in id order.
        """
        path = Path(path)
        parts = [
            _table("special", [s.name for s in Special]),
            _table("type", list(self.node_types)),
            _table("relation", *(list(c) for c in zip(*self.relations, strict=True))),
            self.nodes.select(
                pl.lit("node").alias("kind"),
                pl.col(RAW_ID).alias("name"),
                "type",
                pl.lit(None, pl.String).alias("target"),
            ),
        ]
        with finished_file(path) as made:
            pl.concat(parts).write_parquet(made, metadata={_STAMP: FORMAT})

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Read what :meth:`save` wrote.

        Raises:
            GraphRecError: For a file that is missing, damaged, or of another format, and when
                the specials are not those of this version.
        """
        try:
            table, metadata = read_parquet(path)
        except (OSError, ValueError) as error:
            raise GraphRecError(str(path), "a saved vocabulary", error) from error
        stamp = metadata.get(_STAMP)
        if stamp != FORMAT or dict(table.schema) != dict.fromkeys(_COLUMNS, pl.String()):
            raise GraphRecError(str(path), f"vocabulary format {FORMAT}", stamp or "none")
        kinds = {kind: table.filter(kind=kind) for kind in ("special", "type", "relation", "node")}
        specials, known = kinds["special"]["name"].to_list(), [s.name for s in Special]
        if specials != known[: len(specials)]:
            raise GraphRecError(str(path), "specials " + ", ".join(known), ", ".join(specials))
        return cls(
            tuple(kinds["type"]["name"]),
            tuple(kinds["relation"].select("name", "type", "target").iter_rows()),
            kinds["node"].select("type", pl.col("name").alias(RAW_ID)),
        )

    def match(self, other: "Vocabulary") -> "Match":
        """Return the ids that the nodes and relations of this vocabulary have in another one.

        Nodes match by type and raw id, relations by name and the types of their ends.

        Args:
            other: The vocabulary whose ids are returned, e.g. that of a pre-trained model.
        """
        place = {relation: at for at, relation in enumerate(other.relations)}
        relations = torch.tensor([place.get(r, -1) for r in self.relations], dtype=torch.int64)
        nodes = _looked_up(self.nodes, other._numbered)
        matched = self.nodes.select("type").with_columns(
            pl.Series("met", nodes.numpy() >= 0, dtype=pl.Boolean)
        )
        counts = matched.group_by("type").agg(pl.col("met").sum(), pl.len())
        hits_by_type = {kind: (int(hits), int(n)) for kind, hits, n in counts.iter_rows()}
        return Match(
            nodes, relations, {kind: hits_by_type.get(kind, (0, 0)) for kind in self.node_types}
        )

    @cached_property
    def _numbered(self) -> pl.DataFrame:
        numbers = pl.int_range(len(self.nodes), eager=True).alias("node")
        return self.nodes.with_columns(numbers)


@dataclass(frozen=True, eq=False)
class Match:
    """The ids of one vocabulary in another one.

    Args:
        nodes: int64 ``[N]``, for every node its id in the other vocabulary, −1 for none.
        relations: int64 ``[R]``, likewise.
        counts: Node type → (nodes matched, nodes in all).
    """

    nodes: Tensor
    relations: Tensor
    counts: Mapping[str, tuple[int, int]]

    def __str__(self) -> str:
        parts = [f"{kind} {hits:,} of {total:,}" for kind, (hits, total) in self.counts.items()]
        hits = int((self.relations >= 0).sum())
        return ", ".join([*parts, f"relations {hits} of {len(self.relations)}"])


def _table(
    kind: str,
    name: list[str] | None = None,
    type_: list[str] | None = None,
    target: list[str] | None = None,
) -> pl.DataFrame:
    name = name or []
    none: list[str | None] = [None] * len(name)
    columns = {"kind": [kind] * len(name), "name": name, "type": type_ or none}
    schema = dict.fromkeys(_COLUMNS, pl.String)
    return pl.DataFrame({**columns, "target": target or none}, schema=schema)


def _looked_up(asked: pl.DataFrame, known: pl.DataFrame) -> Tensor:
    ids = asked.join(known, on=["type", RAW_ID], how="left", maintain_order="left")["node"]
    return torch.from_numpy(ids.fill_null(-1).cast(pl.Int64).to_numpy().copy())
