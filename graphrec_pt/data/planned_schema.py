"""The schema that a plan makes."""

from collections.abc import Collection, Iterable, Mapping

from graphrec_pt.core.errors import GraphRecError, raise_all
from graphrec_pt.data.plan import EdgePlan, Plan
from graphrec_pt.graph.assemble import EdgeList
from graphrec_pt.graph.schema import NodeType, Relation, Schema


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
        edges: Those of its edges whose tables are there.
        node_types: Those of its node types that occur.
        described: Those of the node types whose tables are there.
        lists: The edges themselves: they know whether there are times and weights.

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
