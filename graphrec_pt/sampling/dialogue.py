"""The earlier turns of a dialogue, and the entities that they mention."""

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.edges import segment_edges
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import check_exclude, check_metapath, check_roots, sampler
from graphrec_pt.sampling.tree_batch import plant


@sampler("dialogue")
class Dialogue:
    """The turns before an utterance with the entities they mention, latest turn first.

    A sequence holds the root utterance, then for every turn back the utterance (hop = turns back)
    followed by the entities it mentions. The slot counts turns back. The entities that the root
    mentions are left out unless `own` is true: a recommending turn predicts them. Nothing is
    drawn.

    Args:
        previous: Relation from an utterance to the one before it.
        mentions: Relations from an utterance to the entities it names.
        turns: Turns back at most.
        own: Also return the entities that the root mentions (slot 0).
    """

    previous: str = "follows"
    mentions: tuple[str, ...] = ("mentions",)
    turns: int = Field(8, ge=1)
    own: bool = False

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the contexts of roots of the type that `previous` leaves."""
        twice = check_metapath("dialogue", graph.schema, [self.previous] * 2)
        for name in self.mentions:
            check_metapath("dialogue", graph.schema, [name], twice[0].source)
        roots = check_roots("dialogue", graph, roots, twice[0].source)
        exclude = check_exclude("dialogue", graph, len(roots), exclude)
        forest = plant(roots)
        for turn in range(1, self.turns + 1):
            front = (forest.hop == turn - 1).nonzero().squeeze(1)
            forest = forest.grow(
                graph, *self._edges(graph, forest.node, forest.row, front, self.previous, exclude)
            ).distinct(graph)
        forest = forest._replace(slot=forest.hop)
        spoken = torch.arange(len(forest.row), device=roots.device)
        spoken = spoken if self.own else spoken[forest.hop > 0]
        for name in self.mentions:
            parent, position = self._edges(graph, forest.node, forest.row, spoken, name, exclude)
            forest = forest.grow(graph, parent, position, forest.slot[parent])
        return forest.take(torch.argsort(forest.slot, stable=True)).pack(graph, len(roots))

    def _edges(
        self,
        graph: Graph,
        node: Tensor,
        row: Tensor,
        tokens: Tensor,
        relation: str,
        exclude: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return (token, position) of every edge of some tokens under a relation."""
        banned = None if exclude is None else exclude[row[tokens]]
        position, owner = segment_edges(graph, node[tokens], relation, banned)
        return tokens[owner], position
