"""Paths from a user to an item, for path language models."""

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.kernels.paths import constrained_paths
from graphrec_pt.kernels.walk import walk
from graphrec_pt.sampling.edges import relations_of
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import check_exclude, check_relations, check_roots, sampler
from graphrec_pt.sampling.tree_batch import first_of
from graphrec_pt.sampling.walks import walked

Found = tuple[Tensor, Tensor, Tensor]
"""Row int64 ``[P]``, nodes int64 ``[P, L+1]`` and positions int64 ``[P, L]`` of paths."""


@sampler("user_item_paths")
class UserItemPaths:
    """Random simple paths from a user over an item of theirs to an item (PEARLM, PLM-Rec).

    A path starts with an interaction, goes on over any relation and visits no node twice.
    `constrained` paths (Balloccu et al., arXiv 2310.16452) end in an item that the user has
    interacted with in `graph`, free ones (Geng et al., WWW 2022) in any item. The distribution is
    that of a walk over uniform edges, ``Π 1/degree``, under these conditions. Sample from the
    train graph: then paths neither use held-out edges nor end in items because of them.

    The item of an excluded edge does not count as interacted with unless another edge leads to
    it; otherwise the end of a path would reveal the target.

    Args:
        relation: The interaction relation; the first one by default.
        hops: L, edges per path.
        paths: Paths per root at most.
        constrained: Whether paths end in items the user has interacted with.
        through: Node types allowed between the first item and the last; all by default.
        distinct: Drop repeated paths of a root.
        tries: Walks drawn per path at most; the path is dropped when all of them are rejected.
    """

    relation: str | None = None
    hops: int = Field(3, ge=2, le=8)
    paths: int = Field(10, ge=1, le=4096)
    constrained: bool = True
    through: tuple[str, ...] | None = None
    distinct: bool = False
    tries: int = Field(1024, ge=1, le=2048)

    def sample(self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None) -> Paths:
        """Return up to ``B · paths`` paths; a root without enough of them has fewer or none."""
        name = None if self.relation is None else (self.relation,)
        relation = check_relations("user_item_paths", graph.schema, name)[0]
        roots = check_roots("user_item_paths", graph, roots, relation.source)
        exclude = check_exclude("user_item_paths", graph, len(roots), exclude)
        draw = self._constrained if self.constrained else self._free
        row, nodes, position = draw(graph, roots, relation, key.named("user_item_paths"), exclude)
        if self.distinct:
            new = _first_paths(graph, row, nodes, position)
            row, nodes, position = row[new], nodes[new], position[new]
        relations = relations_of(graph, position, nodes[:, :-1])
        return walked(nodes, position, relations, row, len(roots))

    def _constrained(
        self, graph: Graph, roots: Tensor, relation: Relation, key: Key, exclude: Tensor | None
    ) -> Found:
        nodes, position = constrained_paths(
            graph.csr,
            roots,
            graph.schema.slot(relation.name),
            self.paths,
            key,
            hops=self.hops,
            through=self._through(graph),
            exclude=exclude,
            tries=self.tries,
        )
        exists = nodes[:, :, 0] >= 0  # [B, paths]
        return exists.nonzero()[:, 0], nodes[exists], position[exists]

    def _free(
        self, graph: Graph, roots: Tensor, relation: Relation, key: Key, exclude: Tensor | None
    ) -> Found:
        many, size = self.paths, len(roots)
        nodes = roots.new_full((size * many, self.hops + 1), -1)
        position = roots.new_full((size * many, self.hops), -1)
        slots = torch.full((self.hops,), -1, device=roots.device)
        slots[0] = graph.schema.slot(relation.name)
        degree = graph.degree(relation.name)[roots - graph.nodes(relation.source).start]
        pending = (degree > 0).nonzero().squeeze(1)
        for attempt in range(self.tries):
            walks, taken = walk(
                graph.csr,
                roots[pending],
                self.hops,
                key.named(f"free {attempt}"),
                repeats=many,
                slots=slots,
                exclude=None if exclude is None else exclude[pending],
            )
            path = (pending[:, None] * many + torch.arange(many, device=roots.device)).reshape(-1)
            good = (nodes[path, 0] < 0) & self._ends_in_item(graph, walks, relation)
            nodes[path[good]], position[path[good]] = walks[good], taken[good]
            pending = pending[(nodes[:, 0].view(size, many)[pending] < 0).any(1)]
            if not len(pending):
                break
        filled = (nodes[:, 0] >= 0).nonzero().squeeze(1)
        return filled // many, nodes[filled], position[filled]

    def _ends_in_item(self, graph: Graph, walks: Tensor, relation: Relation) -> Tensor:
        """Return which walks are simple and end in an item: bool ``[n]``."""
        items, end = graph.nodes(relation.target), walks[:, -1]
        good = (end >= items.start) & (end < items.stop)
        for hop in range(1, self.hops + 1):
            good &= (walks[:, :hop] != walks[:, hop : hop + 1]).all(1)
        through = self._through(graph)
        if through is not None:
            kind = graph.csr.node_type(walks[:, 2:-1].clamp(min=0))
            good &= torch.isin(kind, kind.new_tensor(through)).all(1)
        return good

    def _through(self, graph: Graph) -> list[int] | None:
        if self.through is None:
            return None
        return [graph.schema.node_index(name) for name in self.through]


def _first_paths(graph: Graph, row: Tensor, nodes: Tensor, position: Tensor) -> Tensor:
    """Return which paths differ from those before them in the same row: bool ``[P]``."""
    relations = relations_of(graph, position, nodes[:, :-1])
    group, span = row, max(graph.num_nodes(), len(graph.schema.relations)) + 1
    for column in (*nodes.unbind(1), *relations.unbind(1)):
        group = torch.unique(group * span + column, return_inverse=True)[1]
    return first_of(group)
