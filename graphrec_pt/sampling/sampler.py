"""The sampler family: (graph, roots, key) → Paths or Subgraphs, purely; checks of their input."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, cast

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import Registry
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation, Schema
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.sampling.sample import Paths, Subgraphs


@dataclass(frozen=True, eq=False, slots=True)
class Sets:
    """Roots that are sets of nodes, packed: the entities of a dialogue context, say.

    Args:
        node: int64 ``[M]`` global ids.
        ptr: int64 ``[B+1]``, where each set starts.
    """

    node: Tensor
    ptr: Tensor

    def __post_init__(self) -> None:
        integers = self.node.dtype == self.ptr.dtype == torch.int64
        if not integers or self.node.ndim != 1 or self.ptr.ndim != 1 or not len(self.ptr):
            got = f"{self.node.dtype} {list(self.node.shape)}, ptr {list(self.ptr.shape)}"
            raise GraphRecError("Sets", "node int64 [M] and ptr int64 [B+1]", got)
        ends = [int(self.ptr[0]), int(self.ptr[-1])]
        if ends != [0, len(self.node)] or bool((self.ptr[1:] < self.ptr[:-1]).any()):
            raise GraphRecError("Sets", f"ptr ascending from 0 to {len(self.node)}", ends)

    @classmethod
    def of(cls, sets: Iterable[Sequence[int]]) -> "Sets":
        """Pack lists of global ids."""
        lists = [list(nodes) for nodes in sets]
        ends = torch.tensor([0, *(len(nodes) for nodes in lists)]).cumsum(0)
        return cls(torch.tensor([n for nodes in lists for n in nodes], dtype=torch.int64), ends)

    def __len__(self) -> int:
        """B."""
        return len(self.ptr) - 1

    def to(self, device: torch.device | str) -> "Sets":
        """Return the same on another device."""
        return Sets(self.node.to(device), self.ptr.to(device))

    def __getitem__(self, rows: Tensor) -> "Sets":
        """Return the sets of the given rows: int64 ``[K]``."""
        count = self.ptr.diff()[rows]
        place, _ = ranges(self.ptr[rows], count)
        return Sets(self.node[place], torch.cat([count.new_zeros(1), count.cumsum(0)]))

    def row(self) -> Tensor:
        """Return the set of every node: int64 ``[M]``."""
        return ranges(self.ptr[:-1], self.ptr.diff())[1]


RootKind = Literal["nodes", "pairs", "sets"]


class Sampler(Protocol):
    """The base class of samplers: frozen configs that a recipe can name and a worker unpickle.

    A sample is a function of the graph, the key, its root and the edge excluded for it. The other
    roots, their order, the number of workers and the kernel body do not matter. A root that occurs
    twice in a batch gets the same sample twice; use the option `repeats` or another epoch of the
    key to draw different ones.

    A class that takes pairs or sets as roots says so in a class variable
    ``takes: ClassVar[RootKind]``; see :func:`kind_of_roots`.

    Example:
        >>> history = sampler.build({"name": "history", "window": 2})
        >>> sample = history.sample(graph, graph.node_ids("user", ["ann"]), Key(0))
        >>> [graph.title(node) for node in sample.node.tolist()]
        ['ann', 'Paper glider', 'Red kite']
    """

    def sample(
        self, graph: Graph, roots: Any, key: Key, exclude: Tensor | None = None
    ) -> Paths | Subgraphs:
        """Return the sample of every root.

        Args:
            graph: The graph to sample from, e.g. the train graph of a split.
            roots: int64 ``[B]`` global ids; ``[B, 2]`` for samplers of pairs, :class:`Sets` for
                samplers of sets.
            key: Names the draws.
            exclude: int64 ``[B]``, the edge id (``graph.csr.edge``) that must not be used for
                each root in either direction, −1 for none: the target of a training example.
                Walks that must refuse edges use their draws differently, so −1 for a root and no
                `exclude` at all may give different walks of the same law.

        Raises:
            GraphRecError: For roots outside the graph or of the wrong type, and for options that
                the graph does not fit.
        """
        ...


sampler: Registry[Sampler] = Registry("sampler")
"""``@sampler("name")`` makes a class usable as a sampler."""

SamplerField = Annotated[Sampler, sampler]
"""Type of a config field that holds a sampler."""


def kind_of_roots(chosen: Sampler) -> RootKind:
    """Return the kind of roots that a sampler takes: nodes by default, else its ``takes``."""
    return cast(RootKind, getattr(chosen, "takes", "nodes"))


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
