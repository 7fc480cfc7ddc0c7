"""Neighbourhoods hop by hop: of a node, an entity set or a set node; upwards; and by count."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.neighbors import neighbors
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.sampling.edges import edge_rows, inner_edges, places_of
from graphrec_pt.sampling.history import Before, bounds_in_time
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import (
    RootKind,
    Sets,
    check_exclude,
    check_relations,
    check_roots,
    sampler,
)
from graphrec_pt.sampling.tree_batch import TreeBatch, first_of, plant


def _hops(fanout: tuple[int, ...]) -> tuple[int, ...]:
    if not fanout:
        raise GraphRecError("fanout", "a number for each hop", "none")
    return fanout


Fanout = Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(_hops)]
"""Edges per node for each hop, at least 1 of them and at least one hop."""


def fan_out(
    graph: Graph,
    forest: TreeBatch,
    fanout: int,
    key: Key,
    *,
    relations: Sequence[str] | None = None,
    replace: bool = False,
    weighted: bool = False,
    bound: Tensor | None = None,
    exclude: Tensor | None = None,
) -> TreeBatch:
    """Return the forest with one more hop below the tokens of its last hop.

    A token's draws are named by its root and its rank in its sequence, so that neither other
    sequences nor the grouping by type matter.

    Args:
        graph: The graph.
        forest: Trees that all have the same hops so far.
        fanout: Edges per token, or per token and relation when `relations` is given; −1 for all.
        key: Names the draws.
        relations: Relations to follow, each where it can leave; None pools all of them.
        replace: Whether an edge may be taken again.
        weighted: Choose in proportion to edge weights.
        bound: int64 ``[B]``, only edges older than this for each sequence, or None.
        exclude: int64 ``[B]`` edge ids or None.
    """
    last = int(forest.hop.max()) if len(forest.hop) else 0
    front = (forest.hop == last).nonzero().squeeze(1)  # [n]
    rank = forest.rank()[front]
    parents, positions = [front[:0]], [front[:0]]
    for tokens, slots in _by_type(graph, forest.node[front], relations):
        token = front[tokens]
        row = forest.row[token]
        position, ptr = neighbors(
            graph.csr,
            forest.node[token],
            fanout,
            key,
            slots=slots,
            replace=replace,
            weighted=weighted,
            before=None if bound is None else bound[row],
            exclude=None if exclude is None else exclude[row],
            item=forest.origin[token],
            turn=rank[tokens],
        )
        parents.append(token.repeat_interleave(ptr.diff()))
        positions.append(position)
    parent, position = torch.cat(parents), torch.cat(positions)
    order = torch.argsort(parent, stable=True)
    return forest.grow(graph, parent[order], position[order])


def fan_out_hops(
    graph: Graph,
    forest: TreeBatch,
    fanouts: Sequence[int],
    key: Key,
    *,
    distinct: bool = True,
    relations: Sequence[str] | None = None,
    replace: bool = False,
    weighted: bool = False,
    bound: Tensor | None = None,
    exclude: Tensor | None = None,
) -> TreeBatch:
    """Return the forest with a hop for each fan-out, or fewer where nothing more is reached.

    Args:
        graph: The graph.
        forest: Roots.
        fanouts: Edges per token of each hop; other options as in :func:`fan_out`.
        key: Names the draws.
        distinct: Keep a node once per sequence, where it was first reached.
        relations: Relations to follow.
        replace: Whether an edge may be taken again.
        weighted: Choose in proportion to edge weights.
        bound: int64 ``[B]``, only edges older than this.
        exclude: int64 ``[B]`` edge ids or None.
    """
    for hop, fanout in enumerate(fanouts, 1):
        forest = fan_out(
            graph,
            forest,
            fanout,
            key,
            relations=relations,
            replace=replace,
            weighted=weighted,
            bound=bound,
            exclude=exclude,
        )
        forest = forest.distinct(graph) if distinct else forest
        if not bool((forest.hop == hop).any()):
            break
    return forest


def _by_type(
    graph: Graph, nodes: Tensor, relations: Sequence[str] | None
) -> list[tuple[Tensor, Tensor | None]]:
    """Return (rows of `nodes`, slots to follow) for each group sampled together."""
    if relations is None:
        return [(torch.arange(len(nodes), device=nodes.device), None)]
    schema, kind = graph.schema, graph.csr.node_type(nodes)
    groups: list[tuple[Tensor, Tensor | None]] = []
    for index, name in enumerate(schema.node_names):
        slots = [schema.slot(r) for r in relations if schema.relation(r).source == name]
        rows = (kind == index).nonzero().squeeze(1)
        if slots and len(rows):
            groups.append((rows, torch.tensor(slots, device=nodes.device)))
    return groups


@sampler("k_hop")
class KHop:
    """Sampled neighbourhoods, hop by hop (GraphSAGE, Hamilton et al., NeurIPS 2017).

    Args:
        fanout: Edges per node for each hop; per node *and relation* when `relations` is given.
        relations: Relations to follow, each where it can leave; all pooled by default.
        replace: Whether an edge may be drawn again.
        weighted: Choose in proportion to the edge weights.
        distinct: Keep a node once per sequence, where it was first reached.
        before: Only edges older than this time, at every hop; ``"exclude"``: older than the
            excluded edge of the root. Edges without a time are always allowed.
        edges: Also return the edges among the sampled nodes.
    """

    fanout: Fanout = (10, 10)
    relations: tuple[str, ...] | None = None
    replace: bool = False
    weighted: bool = False
    distinct: bool = True
    before: Before = None
    edges: bool = False

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the neighbourhoods of roots of any type."""
        roots = check_roots("k_hop", graph, roots)
        exclude = check_exclude("k_hop", graph, len(roots), exclude)
        bound = bounds_in_time("k_hop", graph, roots, self.before, exclude)
        for name in self.relations or ():
            graph.schema.relation(name)
        forest = fan_out_hops(
            graph,
            plant(roots),
            self.fanout,
            key.named("k_hop"),
            distinct=self.distinct,
            relations=self.relations,
            replace=self.replace,
            weighted=self.weighted,
            bound=bound,
            exclude=exclude,
        )
        sample = forest.pack(graph, len(roots))
        if not self.edges:
            return sample
        inner = inner_edges(graph, sample.node, sample.ptr, exclude)
        return replace(sample, edges=edge_rows(graph, inner))


@sampler("ego")
class Ego:
    """The neighbourhood of an entity set, for knowledge prompts (UniCRS, Wang et al., KDD 2022).

    A sequence holds the set (all hop 0), then the nodes reached from it, each once.

    Args:
        fanout: Edges per node for each hop; per node and relation when `relations` is given.
        relations: Relations to follow, each where it can leave; all pooled by default.
        weighted: Choose in proportion to the edge weights.
        edges: Also return the edges among the sampled nodes.
    """

    takes: ClassVar[RootKind] = "sets"

    fanout: Fanout = (10,)
    relations: tuple[str, ...] | None = None
    weighted: bool = False
    edges: bool = False

    def sample(
        self, graph: Graph, roots: Sets, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the neighbourhoods of sets of nodes of any type; a set may be empty."""
        if not isinstance(roots, Sets):
            got = type(roots).__name__
            raise GraphRecError("ego", "roots as Sets", got, "Sets.of([[node, …], …])")
        nodes = check_roots("ego", graph, roots.node)
        exclude = check_exclude("ego", graph, len(roots), exclude)
        for name in self.relations or ():
            graph.schema.relation(name)
        forest = fan_out_hops(
            graph,
            plant(nodes, roots.row().to(nodes.device)).distinct(graph),
            self.fanout,
            key.named("ego"),
            relations=self.relations,
            weighted=self.weighted,
            exclude=exclude,
        )
        sample = forest.pack(graph, len(roots))
        if not self.edges:
            return sample
        inner = inner_edges(graph, sample.node, sample.ptr, exclude)
        return replace(sample, edges=edge_rows(graph, inner))


@sampler("set_of")
class SetOf:
    """The members of a visit, basket or outfit, as a set without an order.

    A sequence is the root, then its members once each, ascending by id. The slot of a member is
    1 + the place of its relation in `relations`.

    Args:
        relations: Relations that leave one type; by default the first interaction relation.
        most: Members at most per relation, drawn uniformly when there are more; all by default.
    """

    relations: tuple[str, ...] | None = None
    most: int | None = Field(None, ge=1)

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the members of roots of the type that the relations leave."""
        relations = check_relations("set_of", graph.schema, self.relations)
        roots = check_roots("set_of", graph, roots, relations[0].source)
        forest = fan_out(
            graph,
            plant(roots),
            -1 if self.most is None else self.most,
            key.named("set_of"),
            relations=[relation.name for relation in relations],
            exclude=check_exclude("set_of", graph, len(roots), exclude),
        )
        slot = forest.slot.clone()
        slot[len(roots) :] = places_of(
            graph, forest.position[len(roots) :], forest.origin[len(roots) :], relations
        )
        by_id = torch.argsort(forest.node + forest.hop * graph.num_nodes(), stable=True)
        forest = forest._replace(slot=slot).take(by_id)
        return forest.distinct(graph).pack(graph, len(roots))


@sampler("tree")
class Tree:
    """A node and everything above it, as in the ontology embedding of G-BERT (Shang et al., 2019).

    A sequence is the root, then its ancestors hop by hop, each once. Nothing is drawn.

    Args:
        relations: Relations that lead upwards, e.g. ``["is_a"]``; each is followed where it can
            leave, so the levels may be of different types.
        depth: Levels at most.
    """

    relations: tuple[str, ...] = Field(min_length=1)
    depth: int = Field(16, ge=1)

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the ancestors of roots of any type."""
        roots = check_roots("tree", graph, roots)
        exclude = check_exclude("tree", graph, len(roots), exclude)
        for name in self.relations:
            graph.schema.relation(name)
        forest = fan_out_hops(
            graph,
            plant(roots),
            [-1] * self.depth,
            key.named("tree"),
            relations=self.relations,
            exclude=exclude,
        )
        return forest.pack(graph, len(roots))


@sampler("mcn")
class MCN:
    """Mini-batch contextual neighbours of PMGT (Liu et al., ACM MM 2021).

    Hop k draws ``fanout[k]`` edges of every node reached at hop k − 1, with replacement and in
    proportion to their weights. A node reached ``f_k`` times at hop k of K has the score

        s(n) = Σ_k f_k(n) · (K − k + 1)

    and the `size` best make the sequence, after the root and by falling score (then by the hop
    where they were first reached, then by id). The root is not its own neighbour.

    Args:
        fanout: Draws per node for each hop; per node and relation when `relations` is given.
        size: Neighbours to return.
        relations: Relations to follow, each where it can leave; all pooled by default.
        weighted: Draw in proportion to the edge weights where the graph has any.
    """

    fanout: Fanout = (10, 5, 2)
    size: int = Field(10, ge=1)
    relations: tuple[str, ...] | None = None
    weighted: bool = True

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the contextual neighbours of roots of any type."""
        roots = check_roots("mcn", graph, roots)
        exclude = check_exclude("mcn", graph, len(roots), exclude)
        for name in self.relations or ():
            graph.schema.relation(name)
        forest = fan_out_hops(
            graph,
            plant(roots),
            self.fanout,
            key.named("mcn"),
            distinct=False,
            relations=self.relations,
            replace=True,
            weighted=self.weighted and graph.csr.weight is not None,
            exclude=exclude,
        )
        return self._ranked(forest, graph).pack(graph, len(roots))

    def _ranked(self, forest: TreeBatch, graph: Graph) -> TreeBatch:
        """Return each node once per row with its score: the root first, then by falling score."""
        meeting = forest.row * graph.num_nodes() + forest.node
        tokens = first_of(meeting).nonzero().squeeze(1)  # the first meeting of each, [n]
        ordered, place = torch.sort(meeting[tokens])
        group = place[torch.searchsorted(ordered, meeting)]  # [T], into `tokens`
        worth = (len(self.fanout) + 1 - forest.hop).masked_fill(forest.hop == 0, 0)
        score = torch.zeros_like(tokens).index_add_(0, group, worth)
        is_root = forest.hop[tokens] == 0
        score = score.masked_fill(is_root, 0)
        first = torch.where(is_root, torch.iinfo(torch.int64).max, score)
        columns = forest.node[tokens], forest.hop[tokens], -first, forest.row[tokens]
        order = torch.arange(len(tokens), device=tokens.device)
        for column in columns:  # the last one matters most
            order = order[torch.argsort(column[order], stable=True)]
        forest = forest._replace(
            parent=torch.where(forest.parent < 0, -1, tokens[group[forest.parent.clamp(min=0)]]),
            score=score[group].float(),
        )
        chosen = tokens[order]
        count = torch.bincount(forest.row[chosen])
        rank = ranges(torch.zeros_like(count), count)[0]
        return forest.take(chosen[rank <= self.size])
