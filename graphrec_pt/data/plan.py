"""The plan of a graph: which table columns become nodes and edges (the heart of a card)."""

import copy
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from graphrec_pt.core.errors import ConfigErrors, GraphRecError, did_you_mean, raise_all
from graphrec_pt.core.options import option_errors
from graphrec_pt.graph.assemble import EdgeList
from graphrec_pt.graph.schema import ColumnKind, NodeType, Relation, Schema, Strict, TimeUnit

Duplicates = Literal["keep", "first", "last", "sum", "error"]
Unknown = Literal["add", "drop", "error"]


class NodePlan(Strict):
    """Where the nodes of one type come from.

    Args:
        table: Table with one row per node; without one, the nodes are the ends of edges.
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


class LinkPlan(Strict):
    """Edges from texts to the nodes that they name, found when the graph is built.

    A name is found as whole words, whatever the case and punctuation; of names that overlap, the
    first and then the longest (:class:`~graphrec_pt.data.titles.TitleFinder`).

    Args:
        text: ``type.column`` of the texts.
        finds: ``type.column`` of the names.
        also: More columns of that type with names, such as aliases.
        split: Separator of several names in one text of those columns.
        without: Regular expression of what is taken off a name, such as a year in brackets.
        shortest: Letters and digits of a name at least; a shorter one is a word of every text.
        ambiguous: What a name of several nodes links to: none of them, or all.
        inverse: Name of the inverse relation; none with ``false``; default ``rev_NAME``.
    """

    text: str
    finds: str
    also: tuple[str, ...] = ()
    split: str | None = None
    without: str | None = None
    shortest: int = Field(4, ge=1)
    ambiguous: Literal["none", "all"] = "none"
    inverse: str | Literal[False] | None = None

    def edge(self, nodes: Mapping[str, NodePlan]) -> EdgePlan:
        """Return the plan of the edges."""
        ends = (part.partition(".")[0] for part in (self.text, self.finds))
        source, target = (f"{kind}.{nodes[kind].id or 'id'}" for kind in ends)
        table = nodes[self.text.partition(".")[0]].table
        assert table is not None
        return EdgePlan(table=table, source=source, target=target, inverse=self.inverse)


class Core(Strict):
    """Keep only nodes of a relation with enough edges, repeated until no node is removed (k-core).

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
        link: Relation → how it is found in texts; these relations follow the others.
        derive: Configs of relations to compute from training interactions after a split.
        core: k-core filter, if any.
        time_unit: Unit of the edge times after scaling.
    """

    nodes: dict[str, NodePlan]
    edges: dict[str, EdgePlan]
    link: dict[str, LinkPlan] = {}
    derive: tuple[dict[str, JsonValue], ...] = ()
    core: Core | None = None
    time_unit: TimeUnit = "s"

    @classmethod
    def checked(cls, content: Any, who: str) -> Self:
        """Return the plan that `content` describes.

        Raises:
            GraphRecError: For every mistake at once: wrong options, and names that do not fit.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            errors = option_errors(who, error, cls)
            sound = _sound_part(content, error)
        try:
            cls.model_validate(sound)
        except ValidationError as error:
            known = {str(e) for e in errors}
            # Errors of the root only: names that do not fit each other.
            rest = [e for e in error.errors() if not e["loc"]]
            causes = [e.get("ctx", {}).get("error") for e in rest]
            for cause in causes:
                more = cause.errors if isinstance(cause, ConfigErrors) else [cause]
                errors += [e for e in more if isinstance(e, GraphRecError) and str(e) not in known]
        raise_all(errors)
        raise AssertionError("a plan that is refused has a mistake")

    @model_validator(mode="after")
    def _check(self) -> Self:
        raise_all(self.mistakes())
        return self

    def mistakes(self) -> list[GraphRecError]:
        """Return the names in the plan that do not fit each other."""
        errors = [error for name, edge in self.edges.items() for error in self._wrong(name, edge)]
        errors += [
            error for name, link in self.link.items() for error in self._unlinked(name, link)
        ]
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
        return errors

    def _unlinked(self, name: str, link: LinkPlan) -> list[GraphRecError]:
        """Return the mistakes of a link."""
        who = f"link.{name}"
        errors = []
        if name in self.edges:
            errors.append(GraphRecError(who, "a name that no edge has", repr(name)))
        named = [link.text, link.finds]
        named += [f"{link.finds.partition('.')[0]}.{column}" for column in link.also]
        for place in named:
            kind, _, column = place.partition(".")
            node = self.nodes.get(kind)
            if node is None:
                errors.append(_unknown(who, "a node type", kind, self.nodes))
            elif node.table is None or column not in node.columns:
                got = repr(place) if node.table is not None else f"{kind!r}, which has no table"
                hint = did_you_mean(column, node.columns)
                errors.append(GraphRecError(who, "type.column of a node table", got, hint))
        try:
            re.compile(link.without or "")
        except re.error as error:
            got = f"{link.without!r} ({error})"
            errors.append(GraphRecError(f"{who}.without", "a regular expression", got))
        return errors

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


def planned_schema(
    plan: Plan,
    edges: Mapping[str, EdgePlan],
    node_types: Iterable[str],
    described: Collection[str],
    lists: Mapping[str, EdgeList],
) -> Schema:
    """Return the schema of a plan's graph; each inverse follows its relation.

    Args:
        plan: The plan.
        edges: The edge plans whose tables exist.
        node_types: The node types that occur.
        described: The node types whose tables exist.
        lists: The edges, which determine whether a relation has times and weights.

    Raises:
        GraphRecError: When two relations would have one name.
    """
    relations: list[Relation] = []
    for name, edge in edges.items():
        forward = Relation(
            name=name,
            source=edge.source_type,
            target=edge.target_type,
            inverse=None if edge.inverse is False else edge.inverse or f"rev_{name}",
            timed=lists[name].time is not None,
            weighted=lists[name].weight is not None,
            interaction=edge.interaction,
            event=edge.event.partition(".")[0] if edge.event else None,
        )
        relations.append(forward)
        if forward.inverse:
            relations.append(forward.inverted())
    names = [relation.name for relation in relations]
    raise_all(
        [
            GraphRecError(
                f"edges.{n}", "a name of its own", f"{names.count(n)} of it", "`inverse:`"
            )
            for n in sorted(set(names))
            if names.count(n) > 1
        ]
    )
    nodes = tuple(
        NodeType(
            name=name,
            columns=plan.nodes[name].columns if name in described else {},
            title=plan.nodes[name].title if name in described else None,
        )
        for name in node_types
    )
    return Schema(
        nodes=nodes, relations=tuple(relations), derive=plan.derive, time_unit=plan.time_unit
    )


def _sound_part(content: Any, error: ValidationError) -> Any:
    """Return a copy of a plan's content without the options that are invalid on their own."""
    sound = copy.deepcopy(content)
    if not isinstance(sound, dict):
        return sound
    for item in error.errors():
        where = [part for part in item["loc"] if part != "__root__"]
        if not where:
            continue
        if item["type"] == "missing" and len(where) == 1:
            sound[where[0]] = "card" if where[0] == "name" else {}
        elif where[0] == "edges" and len(where) > 1 and isinstance(sound.get("edges"), dict):
            if item["type"] == "extra_forbidden" and len(where) == 3:
                sound["edges"].get(where[1], {}).pop(where[2], None)
            else:
                sound["edges"].pop(where[1], None)
        else:
            _forget(sound, where)
    return sound


def _forget(content: Any, where: list[Any]) -> None:
    """Remove the option at a place; a node type or a table keeps its name."""
    for part in where[:-1]:
        if isinstance(content, dict) and part not in content:
            return  # a choice of types, which pydantic names too
        if isinstance(content, list) and not isinstance(part, int):
            return
        content = content[part] if isinstance(content, dict | list) else None
    if isinstance(content, dict) and where[-1] in content:
        if where[0] in ("nodes", "tables") and len(where) == 2:
            content[where[-1]] = {}
        else:
            del content[where[-1]]


def _unknown(who: str, what: str, got: str, known: Any) -> GraphRecError:
    return GraphRecError(who, what, repr(got), did_you_mean(got, known))
