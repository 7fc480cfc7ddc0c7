"""The content of a graph in numbers, and warnings about it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import counted
from graphrec_pt.data.histories import Histories, measure, warnings_of
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.leaks import overlaps
from graphrec_pt.graph.schema import Relation, TimeUnit

FAR_SECONDS = 32_503_680_000  # the year 3000; as milliseconds, January 1971


@dataclass(frozen=True)
class NodeSummary:
    """One node type: the number of nodes, the number without any edge, the columns."""

    name: str
    count: int
    isolated: int
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Spread:
    """Smallest, middle, mean and largest of a distribution."""

    min: int
    median: float
    mean: float
    max: int


@dataclass(frozen=True)
class RelationSummary:
    """One relation, seen from both ends.

    Args:
        name: Its name.
        source: Node type it leaves.
        target: Node type it enters.
        inverse: Name of the stored inverse.
        edges: How many.
        density: Edges per possible pair.
        out_degree: Edges of a source.
        in_degree: Edges of a target.
        first: Earliest time, None without times.
        last: Latest time.
    """

    name: str
    source: str
    target: str
    inverse: str | None
    edges: int
    density: float
    out_degree: Spread
    in_degree: Spread
    first: int | None
    last: int | None


@dataclass(frozen=True)
class Description:
    """The result of :func:`describe`; inverse relations are left out.

    Args:
        nodes: One entry per node type.
        relations: One entry per forward relation.
        histories: Measurements of the interaction relations.
        time_unit: Unit of times.
        array_bytes: Size of the adjacency arrays.
        table_bytes: Size of the columns.
        fingerprint: Digest of the content.
        provenance: How the graph came to be.
        warnings: One sentence each.
    """

    nodes: tuple[NodeSummary, ...]
    relations: tuple[RelationSummary, ...]
    histories: tuple[Histories, ...]
    time_unit: TimeUnit
    array_bytes: int
    table_bytes: int
    fingerprint: str
    provenance: Mapping[str, Any]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready data; times as numbers and, where they are, dates."""
        data = asdict(self)
        for relation in data["relations"]:
            relation["from"] = human_time(relation["first"], self.time_unit)
            relation["to"] = human_time(relation["last"], self.time_unit)
        return data


def describe(graph: Graph) -> Description:
    """Describe a graph: counts, degrees, times, memory, provenance, warnings.

    Example:
        >>> description = describe(checkerboard(10))
        >>> description.relations[0].name, description.relations[0].edges
        ('likes', 40)
    """
    forward = [relation for relation in graph.schema.relations if not relation.backward]
    touched = _touched(graph)
    nodes = tuple(
        NodeSummary(
            node.name,
            graph.num_nodes(node.name),
            int((~touched[graph.nodes(node.name).start : graph.nodes(node.name).stop]).sum()),
            dict(node.columns),
        )
        for node in graph.schema.nodes
    )
    histories = tuple(measure(graph, relation) for relation in graph.schema.interactions)
    tables = [*graph.tables.values(), *graph.edge_tables.values()]
    arrays = [getattr(graph.csr, field.name) for field in fields(graph.csr)]
    return Description(
        nodes=nodes,
        relations=tuple(_summary(graph, relation) for relation in forward),
        histories=histories,
        time_unit=graph.schema.time_unit,
        array_bytes=sum(array.nbytes for array in arrays if array is not None),
        table_bytes=sum(int(table.estimated_size()) for table in tables),
        fingerprint=graph.fingerprint,
        provenance=dict(graph.provenance),
        warnings=_noted(graph, nodes, histories),
    )


def human_time(time: int | None, unit: TimeUnit) -> str | None:
    """Return a time as a date where its unit has one, else as a number."""
    if time is None:
        return None
    if unit == "ordinal":
        return str(time)
    try:
        moment = datetime.fromtimestamp(time / (1000 if unit == "ms" else 1), UTC)
    except (OverflowError, ValueError, OSError):  # beyond the calendar
        return str(time)
    return moment.date().isoformat()


def _touched(graph: Graph) -> Tensor:
    """Return whether each node has an edge in any direction: bool ``[N]``."""
    nodes = torch.arange(graph.num_nodes())
    low, high = graph.csr.bounds(nodes)
    touched = high > low
    for relation in graph.schema.relations:
        if relation.inverse is None:
            touched[graph.edges(relation.name).target] = True
    return touched


def _summary(graph: Graph, relation: Relation) -> RelationSummary:
    sources, targets = graph.num_nodes(relation.source), graph.num_nodes(relation.target)
    count = graph.num_edges(relation.name)
    first, last = _span(graph, relation)
    if relation.inverse is not None:
        entering = graph.degree(relation.inverse)
    else:
        local = graph.edges(relation.name).target - graph.nodes(relation.target).start
        entering = torch.bincount(local, minlength=targets)
    return RelationSummary(
        relation.name,
        relation.source,
        relation.target,
        relation.inverse,
        count,
        count / max(sources * targets, 1),
        _spread(graph.degree(relation.name)),
        _spread(entering),
        first,
        last,
    )


def _spread(degree: Tensor) -> Spread:
    values = degree.numpy()
    if not len(values):
        return Spread(0, 0.0, 0.0, 0)
    middle, mean = float(np.median(values)), float(values.mean())
    return Spread(int(values.min()), middle, mean, int(values.max()))


def _span(graph: Graph, relation: Relation) -> tuple[int | None, int | None]:
    """Return the first and last time, read at the ends of the sorted histories."""
    if not relation.timed or graph.csr.time is None:
        return None, None
    low, high = graph.segments(relation.name)
    filled = high > low
    if not bool(filled.any()):
        return None, None
    return int(graph.csr.time[low[filled]].min()), int(graph.csr.time[high[filled] - 1].max())


def _odd_times(graph: Graph) -> Iterator[str]:
    """Yield warnings for times whose unit is probably wrong: seconds or milliseconds."""
    unit = graph.schema.time_unit
    for relation in graph.schema.relations:
        last = None if relation.backward else _span(graph, relation)[1]
        if last is None or unit == "ordinal":
            continue
        if unit == "s" and last > FAR_SECONDS:
            yield f"{relation.name}: the last time is {last:,} s; are times milliseconds?"
        if unit == "ms" and 0 < last < FAR_SECONDS:
            yield f"{relation.name}: the last time is {last:,} ms; are times seconds?"


def _repeated(graph: Graph) -> Iterator[str]:
    """Yield warnings about relations that repeat interactions; a view has those of its split."""
    view = graph.provenance.get("split")
    if view is not None:
        yield from view.get("warnings") or ()
        return
    for overlap in overlaps(graph):
        shared = f"{overlap.shared:,} of {overlap.pairs:,} pairs of {overlap.interaction}"
        if overlap.copy:
            yield f"{overlap.relation}: repeats {shared}; a split hides them there too"
        else:
            yield f"{overlap.relation}: also joins {shared}; a split leaves them visible there"


def _noted(
    graph: Graph, nodes: tuple[NodeSummary, ...], histories: tuple[Histories, ...]
) -> tuple[str, ...]:
    try:
        return tuple(_warnings(graph, nodes, histories))
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # a forged graph.json
        raise GraphRecError("provenance of the graph", "what its build noted", error) from error


def _warnings(
    graph: Graph, nodes: tuple[NodeSummary, ...], histories: tuple[Histories, ...]
) -> Iterator[str]:
    for name, (published, here) in dict(graph.provenance.get("unexpected") or {}).items():
        yield f"{name}: {here:,} here, {published:,} published"
    for problem in graph.provenance.get("problems") or ():
        some = ", ".join(map(str, problem.get("examples", ())))
        rows = counted(problem["rows"], "row")
        yield (
            f"{problem['where']}: {rows} dropped, expected {problem['expected']}"
            + (f" ({some})" if some else "")
        )
    yield from map(str, graph.provenance.get("notes") or ())
    for name, interaction in dict(graph.provenance.get("shared_rows") or {}).items():
        yield f"{name}: made from the rows of {interaction}; a split leaves its edges visible"
    yield from _repeated(graph)
    yield from _odd_times(graph)
    for relation in graph.schema.relations:
        if not relation.backward and not graph.num_edges(relation.name):
            yield f"{relation.name}: no edges"
    for node in nodes:
        if node.isolated:
            share = node.isolated / node.count
            yield f"{node.name}: {counted(node.isolated, 'node')} ({share:.1%}) without any edge"
    for history in histories:
        yield from warnings_of(history)
