"""The plan of a graph: which table columns become nodes and edges (the heart of a card)."""

from collections.abc import Collection
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all
from graphrec_pt.graph.schema import ColumnKind, Strict, TimeUnit

Duplicates = Literal["keep", "first", "last", "sum", "error"]
Unknown = Literal["add", "drop", "error"]


class NodePlan(Strict):
    """Where the nodes of one type come from.

    Args:
        table: Table with one row per node; without one, nodes are whatever edges mention.
        id: Column of that table with the raw ids.
        columns: Column → ``category``, ``number``, ``text`` or ``vector``.
        title: The column that names a node for a person.
        unknown: What to do with an id that edges mention and the table lacks.
        duplicates: ``error`` refuses a raw id that stands in two rows, ``first`` keeps one row.
    """

    table: str | None = None
    id: str | None = None
    columns: dict[str, ColumnKind] = {}
    title: str | None = None
    unknown: Unknown | None = None
    duplicates: Literal["first", "error"] = "error"


class TimePlan(Strict):
    """How a column becomes an integer time.

    Args:
        column: The column to read.
        format: strptime pattern of text columns; numbers need none.
        scale: Numbers are multiplied by this before they are cut to integers (1000 turns
            fractional seconds into milliseconds).
    """

    column: str
    format: str | None = None
    scale: float = 1


class EdgePlan(Strict):
    """Where the edges of one relation come from.

    Args:
        table: The table, one row per edge (or per list of edges).
        source: ``type.column`` of the source ids.
        target: ``type.column`` of the target ids; with `flags`, the bare type.
        time: Time column, or how to make one.
        weight: Number column.
        columns: Extra edge columns to keep.
        optional: Those of `columns` that the table may lack; they are left out then.
        split: Separator of a target column that lists several ids in one text.
        flags: Target raw id → 0/1 column; one edge for every 1.
        bins: Increasing cut points that turn a number into a labelled interval node.
        quantiles: Number of equally filled intervals instead of given cut points.
        where: SQL predicate over the table's columns.
        inverse: Name of the inverse relation; none with ``false``; default ``rev_NAME``.
        interaction: Whether a split may hold these edges out.
        event: ``type.column`` of the nodes that *are* these interactions (reviews).
        duplicates: What becomes of equal (source, target[, time]) rows; by default timed edges
            are kept and untimed ones merged.
    """

    table: str
    source: str
    target: str
    time: TimePlan | str | None = None
    weight: str | None = None
    columns: dict[str, ColumnKind] = {}
    optional: tuple[str, ...] = ()
    split: str | None = None
    flags: dict[str, str] | None = None
    bins: tuple[float, ...] | None = Field(None, min_length=1)
    quantiles: int | None = Field(None, ge=2)
    where: str | None = None
    inverse: str | Literal[False] | None = None
    interaction: bool = False
    event: str | None = None
    duplicates: Duplicates | None = None

    @property
    def source_type(self) -> str:
        """Node type of the source."""
        return self.source.partition(".")[0]

    @property
    def target_type(self) -> str:
        """Node type of the target."""
        return self.target.partition(".")[0]

    @property
    def merge(self) -> Duplicates:
        """What becomes of duplicates, with the default filled in."""
        return self.duplicates or ("keep" if self.time is not None else "first")

    def of_table(self, columns: Collection[str]) -> Self:
        """Return the plan without optional columns that a table lacks."""
        lacking = {name for name in self.optional if name not in columns}
        if not lacking:
            return self
        kept = {name: kind for name, kind in self.columns.items() if name not in lacking}
        return self.model_copy(update={"columns": kept})

    @property
    def timing(self) -> TimePlan | None:
        """The time plan, a bare column name filled out."""
        return TimePlan(column=self.time) if isinstance(self.time, str) else self.time


class Core(Strict):
    """Keep only nodes of a relation with enough edges, until nothing more falls away (k-core).

    Args:
        relation: The relation that is counted.
        source: Least number of edges of a source node.
        target: Least number of edges of a target node.
    """

    relation: str
    source: int = Field(5, ge=0)
    target: int = Field(5, ge=0)


class Plan(Strict):
    """Nodes, edges and what is derived from them.

    Args:
        nodes: Node type → plan; the order fixes the id ranges.
        edges: Relation → plan; the order fixes the slots.
        derive: Configs of relations to compute from training interactions after a split.
        core: k-core filter, if any.
        time_unit: Unit of the edge times after scaling.
    """

    nodes: dict[str, NodePlan]
    edges: dict[str, EdgePlan]
    derive: tuple[dict[str, JsonValue], ...] = ()
    core: Core | None = None
    time_unit: TimeUnit = "s"

    @model_validator(mode="after")
    def _check(self) -> "Plan":
        errors = [error for name, edge in self.edges.items() for error in self._wrong(name, edge)]
        for name, node in self.nodes.items():
            if "id" in node.columns:
                errors.append(
                    GraphRecError(
                        f"nodes.{name}.columns", "names other than 'id'", "'id'", "`rename:`"
                    )
                )
            if node.title is not None and node.title not in node.columns:
                errors.append(_unknown(f"nodes.{name}.title", "a column", node.title, node.columns))
        for part, names, bad in (("nodes", self.nodes, "/\\.:"), ("edges", self.edges, "/\\")):
            errors += [
                GraphRecError(
                    part, f"names without spaces around them or {' '.join(bad)}", repr(name)
                )
                for name in names
                if not name or name.strip() != name or set(name) & set(bad)
            ]
        if self.core and self.core.relation not in self.edges:
            errors.append(_unknown("core.relation", "an edge", self.core.relation, self.edges))
        raise_all(errors)
        return self

    def _wrong(self, name: str, edge: EdgePlan) -> list[GraphRecError]:
        errors = []
        ends = {"source": edge.source, "target": edge.target, "event": edge.event}
        for side, end in ends.items():
            if end is None:
                continue
            kind, _, column = end.partition(".")
            if kind not in self.nodes:
                errors.append(_unknown(f"edges.{name}.{side}", "a node type", kind, self.nodes))
            if not column and not (side == "target" and edge.flags):
                errors.append(
                    GraphRecError(f"edges.{name}.{side}", "type.column", repr(end), f"'{kind}.id'")
                )
        errors += [
            _unknown(f"edges.{name}.optional", "a column of the edges", column, edge.columns)
            for column in edge.optional
            if column not in edge.columns
        ]
        if edge.event and "event" in edge.columns:
            errors.append(
                GraphRecError(f"edges.{name}.columns", "names other than 'event'", "'event'")
            )
        makers = [m for m in ("flags", "bins", "quantiles", "split") if getattr(edge, m)]
        if len(makers) > 1:
            errors.append(GraphRecError(f"edges.{name}", "one way to make targets", makers))
        if edge.bins and list(edge.bins) != sorted(set(edge.bins)):
            errors.append(GraphRecError(f"edges.{name}.bins", "increasing numbers", edge.bins))
        return errors


def _unknown(who: str, what: str, got: str, known: Any) -> GraphRecError:
    return GraphRecError(who, what, repr(got), did_you_mean(got, known))
