"""Identifiers: how a node is spelled in words, as systems that generate items name them.

The names of the nodes of a type are distinct, so that a decoded name is one node.
"""

from abc import ABC, abstractmethod
from typing import Annotated

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, permutation
from graphrec_pt.core.memo import Memo
from graphrec_pt.core.registry import Registry
from graphrec_pt.graph.graph import RAW_ID, Graph

_names: Memo[pl.Series] = Memo()  # of a node table


class Identifier(ABC):
    """The base class of identifiers: frozen configs that name every node of a type.

    Example:
        >>> @identifier("raw")
        ... class Raw(Identifier):
        ...     def spelled(self, graph: Graph, node_type: str) -> pl.Series:
        ...         return graph.tables[node_type]["id"]
    """

    @abstractmethod
    def spelled(self, graph: Graph, node_type: str) -> pl.Series:
        """Return a name for every node of a type, in the order of the nodes."""

    def names(self, graph: Graph, node_type: str) -> pl.Series:
        """Return the name of every node of a type, in the order of the nodes; kept for the graph.

        Raises:
            GraphRecError: When two nodes have one name; names both.
        """

        def made() -> pl.Series:
            names = self.spelled(graph, node_type).cast(pl.String)
            twice = names.is_duplicated().arg_true()
            if len(twice) or names.null_count():
                alike = names[int(twice[0])] if len(twice) else None
                some = graph.tables[node_type][RAW_ID].filter(names.eq_missing(alike)).head(2)
                got = f"{alike!r} for " + " and ".join(map(repr, some))
                hint = "the identifier 'digits'"
                raise GraphRecError("identifier", f"one name for each {node_type}", got, hint)
            return names

        table = graph.tables[node_type]
        return _names(table, (node_type, repr(self)), made)


identifier: Registry[Identifier] = Registry("identifier")
"""``@identifier("name")`` makes a class usable as an identifier."""

IdentifierField = Annotated[Identifier, identifier]
"""Type of a config field that holds an identifier."""


@identifier("digits")
class Digits(Identifier):
    """``item_7391``: the type and a number (P5, Geng et al., RecSys 2022), the numbers permuted.

    Numbers in the order of the data give neighbours in it common digits, which tells a model of
    what is tested (Hua et al., "How to index item ids for recommendation foundation models",
    SIGIR-AP 2023). So a number says nothing here: the raw ids, in alphabetical order, get a random
    permutation of 1 … n.

    Args:
        seed: Of the permutation.
        separator: Between type and number.
    """

    seed: int = 0
    separator: str = "_"

    def spelled(self, graph: Graph, node_type: str) -> pl.Series:
        """Return the type and number of every node."""
        ids = graph.tables[node_type][RAW_ID]
        key = Key(self.seed).named(f"identifiers.{node_type}")
        number = pl.Series(permutation(key, len(ids)) + 1)
        place = pl.Series(range(len(ids)), dtype=pl.Int64)
        table = pl.DataFrame({"id": ids, "place": place}).sort("id", "place")
        table = table.with_columns(number=number).sort("place")
        return f"{node_type}{self.separator}" + table["number"].cast(pl.String)


@identifier("title")
class Title(Identifier):
    """The title of a node, with its raw id in brackets where another node has the same.

    Args:
        column: Column of the names; the title of the type by default.
    """

    column: str | None = None

    def spelled(self, graph: Graph, node_type: str) -> pl.Series:
        """Return the title of every node."""
        column = self.column or graph.schema.node(node_type).title
        table = graph.tables[node_type]
        if column is None or column not in table.columns:
            got = "none" if column is None else repr(column)
            raise GraphRecError("identifier 'title'", f"a title column of {node_type!r}", got)
        raw, title = table[RAW_ID], table[column].cast(pl.String).str.strip_chars().fill_null("")
        rows = pl.DataFrame({"raw": raw, "title": title})
        alone = pl.col("title").is_unique() & (pl.col("title") != "")
        named = (pl.col("title") + pl.lit(" [") + pl.col("raw") + pl.lit("]")).str.strip_chars()
        return rows.select(pl.when(alone).then("title").otherwise(named).alias("name"))["name"]
