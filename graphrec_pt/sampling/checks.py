"""Checks of roots, relations and metapaths, before any kernel runs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation, Schema


def check_roots(who: str, graph: Graph, roots: Tensor, node_type: str | None = None) -> Tensor:
    """Return the roots as int64 ``[B]`` on the graph's device.

    Args:
        who: The sampler, for errors.
        graph: The graph.
        roots: Integers ``[B]``.
        node_type: The type that every root must have, if any.

    Raises:
        GraphRecError: For roots outside the graph or of another type, naming it.
    """
    if not isinstance(roots, Tensor) or roots.ndim != 1 or roots.dtype.is_floating_point:
        raise GraphRecError(who, "roots as an int64 tensor [B]", _shape(roots))
    roots = roots.to(graph.csr.indices.device, torch.int64).contiguous()
    low, high = 0, graph.num_nodes()
    outside = (roots < low) | (roots >= high)
    if bool(outside.any()):
        raise GraphRecError(who, f"roots in [0, {high})", int(roots[outside][0]))
    if node_type is not None:
        ids = graph.nodes(node_type)
        wrong = (roots < ids.start) | (roots >= ids.stop)
        if bool(wrong.any()):
            node = int(roots[wrong][0])
            got = f"node {node}, which is {graph.type_of(node)!r}"
            raise GraphRecError(who, f"roots of type {node_type!r}", got)
    return roots


def check_exclude(who: str, graph: Graph, size: int, exclude: Tensor | None) -> Tensor | None:
    """Return the excluded edge ids as int64 ``[B]`` on the graph's device, or None."""
    if exclude is None:
        return None
    if exclude.dtype.is_floating_point or tuple(exclude.shape) != (size,):
        raise GraphRecError(who, f"exclude as int64 [{size}], one per root", _shape(exclude))
    if graph.csr.edge is None:
        raise GraphRecError(who, "a graph with edge ids for exclude", "none")
    return exclude.to(graph.csr.indices.device, torch.int64).contiguous()


def check_metapath(
    who: str, schema: Schema, names: Sequence[str], source: str | None = None
) -> list[Relation]:
    """Return the relations of a metapath; each must leave the type at which the one before arrives.

    Args:
        who: The sampler, for errors.
        schema: The graph's schema.
        names: Relation names.
        source: Node type that the first one must leave, if any.

    Raises:
        GraphRecError: When a hop does not fit; it names the hop and the relations that would.
    """
    if not names:
        raise GraphRecError(who, "a metapath of relation names", "an empty one")
    relations: list[Relation] = []
    for hop, name in enumerate(names, 1):
        at = relations[-1].target if relations else source
        fit = [r.name for r in schema.relations if at is None or r.source == at]
        if name not in schema.relation_names:
            hint = did_you_mean(name, fit)
            raise GraphRecError(who, f"a relation at hop {hop} of the metapath", repr(name), hint)
        relation = schema.relation(name)
        if at is not None and relation.source != at:
            raise GraphRecError(
                who,
                f"a relation that leaves {at!r} at hop {hop} of the metapath",
                f"{name!r} ({relation.source} → {relation.target})",
                "one of " + ", ".join(fit) if fit else f"another end: nothing leaves {at!r}",
            )
        relations.append(relation)
    return relations


def check_relations(
    who: str, schema: Schema, names: Sequence[str] | None, *, timed: bool = False
) -> list[Relation]:
    """Return relations that leave one node type; by default the first interaction relation.

    Args:
        who: The sampler, for errors.
        schema: The graph's schema.
        names: Relation names, or None.
        timed: Whether their edges must have times.
    """
    relations = [schema.interaction()] if names is None else [schema.relation(n) for n in names]
    if not relations:
        raise GraphRecError(who, "at least one relation", "none", "leaving relations out")
    for relation in relations:
        if relation.source != relations[0].source:
            fit = ", ".join(r.name for r in schema.leaving(relations[0].source))
            expected = f"relations that leave {relations[0].source!r}"
            raise GraphRecError(who, expected, repr(relation.name), f"one of {fit}")
        if timed:
            check_timed(who, schema, relation)
    return relations


def check_timed(who: str, schema: Schema, relation: Relation) -> None:
    """Raise when an option needs times and the edges of a relation have none."""
    if not relation.timed:
        timed = [r.name for r in schema.relations if r.timed]
        raise GraphRecError(
            who,
            "a relation with times",
            f"{relation.name!r}, which has none",
            "one of " + ", ".join(timed) if timed else "the set_of sampler, which needs no order",
        )


def _shape(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)}"
    return type(value).__name__
