"""A set, and the members of its owner's earlier sets: visits of a patient, baskets of a user.

Owner relations must have times: a set of the same time counts as later and is left out.
"""

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation, Schema
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.edges import segment_edges
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import check_exclude, check_relations, check_roots, sampler
from graphrec_pt.sampling.tree_batch import TreeBatch, plant


@sampler("past_sets")
class PastSets:
    """A visit with its diagnoses and all codes of the patient's visits before it; a user's baskets.

    A sequence holds the root set, its members under `own` (slots from 1), its owner, the owner's
    sets that came strictly before it, oldest first, and the members of these under `past` (slots
    after those of `own`). The members of the root under other relations are left to be predicted.
    Sets of the same time or later are left out. Nothing is drawn.

    The released code of G-BERT (Shang et al., IJCAI 2019) mixes up visits where a patient has
    three or more, so that the medication to be predicted is part of the input; this sampler makes
    the input visit by visit.

    Args:
        owner: Timed relation from owners to sets; its inverse is stored.
        own: Relations whose members of the root are known.
        past: Relations whose members of earlier sets are known.
        window: Earlier sets at most, the latest ones; all by default.
    """

    owner: str
    own: tuple[str, ...] = ()
    past: tuple[str, ...] = Field(min_length=1)
    window: int | None = Field(None, ge=1)

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return known members and earlier sets of roots of the type that `owner` enters."""
        owner, back = self._owner(graph.schema)
        if graph.csr.time is None:
            raise GraphRecError("past_sets", "a graph with times", "none")
        held = check_relations("past_sets", graph.schema, (*self.own, *self.past))
        if held[0].source != owner.target:
            expected = f"relations that leave {owner.target!r}"
            raise GraphRecError("past_sets", expected, repr(held[0].name))
        roots = check_roots("past_sets", graph, roots, owner.target)
        exclude = check_exclude("past_sets", graph, len(roots), exclude)
        forest = plant(roots)
        first = torch.arange(len(roots))
        for slot, name in enumerate(self.own, 1):
            forest, _ = _grown(graph, forest, first, name, slot, exclude)
        forest, owners = _grown(graph, forest, first, back, 0, exclude)
        when = graph.csr.time[forest.position[owners]]
        forest, sets = _grown(graph, forest, owners, owner.name, 0, exclude)
        root_time = when[forest.parent[sets] - owners[0]] if len(owners) else when
        taken = graph.csr.time[forest.position[sets]]
        early = (taken < root_time) & (taken != NO_TIME)
        early &= self._latest(forest.parent[sets], early)
        kept = torch.ones_like(forest.row, dtype=torch.bool)
        kept[sets] = early
        forest = forest.keep(kept)
        sets = torch.arange(len(forest.row) - int(early.sum()), len(forest.row))
        for slot, name in enumerate(self.past, 1 + len(self.own)):
            forest, _ = _grown(graph, forest, sets, name, slot, exclude)
        return forest.pack(graph, len(roots))

    def _owner(self, schema: Schema) -> tuple[Relation, str]:
        """Return the relation from owners to sets, and the name of its inverse."""
        relation = schema.relation(self.owner)
        if not relation.timed or relation.inverse is None:
            got = f"{self.owner!r}, {'no inverse' if relation.timed else 'no times'}"
            raise GraphRecError("past_sets", "a timed relation with an inverse", got)
        return relation, relation.inverse

    def _latest(self, owner: Tensor, early: Tensor) -> Tensor:
        """Return which of each owner's earlier sets are among the latest `window`: bool ``[n]``."""
        if self.window is None:
            return early
        number = early.long().cumsum(0)  # sets of one owner stand side by side, oldest first
        size = int(owner.max()) + 1 if len(owner) else 0
        upto = torch.zeros(size, dtype=torch.int64).scatter_reduce(0, owner, number, "amax")
        return early & (upto[owner] - number < self.window)


def _grown(
    graph: Graph, forest: TreeBatch, tokens: Tensor, name: str, slot: int, exclude: Tensor | None
) -> tuple[TreeBatch, Tensor]:
    """Return the forest grown by the edges of tokens under a relation, and the new tokens."""
    banned = None if exclude is None else exclude[forest.row[tokens]]
    position, owner = segment_edges(graph, forest.node[tokens], name, banned)
    before = len(forest.row)
    forest = forest.grow(graph, tokens[owner], position, torch.full_like(position, slot))
    return forest, torch.arange(before, len(forest.row))
