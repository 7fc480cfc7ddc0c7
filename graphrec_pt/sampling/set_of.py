"""The members of a set node."""

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.checks import check_exclude, check_relations, check_roots
from graphrec_pt.sampling.edges import places_of
from graphrec_pt.sampling.fan import fan_out
from graphrec_pt.sampling.forest import plant
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler


@sampler("set_of")
class SetOf:
    """What a visit, basket or outfit holds: a set, so its order means nothing.

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
