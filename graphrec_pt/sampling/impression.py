"""An impression: what was shown to a user, and the history of the user before it."""

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.sampling.edges import segment_edges
from graphrec_pt.sampling.history import FOREVER, last_events
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import check_exclude, check_metapath, check_roots, sampler
from graphrec_pt.sampling.shown import shown_items
from graphrec_pt.sampling.tree_batch import TreeBatch, plant

HISTORY_SLOT, SHOWN_SLOT = 1, 2


@sampler("impression")
class Impression:
    """The user of an impression, the latest history before it, and the items that it shows.

    A sequence holds the root (an impression), its user (hop 1, slot 0), the user's history oldest
    first (hop 2, slot 1), and the items shown (hop 1, slot 2) in the order in which the graph
    stores them. Of timed relations only edges before the time of the impression are history, so
    nothing of the impression itself is. Nothing is drawn. The format of MIND (Wu et al., ACL 2020).

    Args:
        sees: Timed relation from users to impressions, with an inverse.
        shows: Relation from impressions to items.
        history: Relations from users to items; untimed ones are older than all timed ones, in the
            order of their weights. By default the first interaction relation.
        window: Events of the history at most, the latest ones.
        liked: Least weight of an interaction in the history; None for all.
    """

    sees: str = "sees"
    shows: str = "shows"
    history: tuple[str, ...] | None = None
    window: int = Field(50, ge=1)
    liked: float | None = None

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the impressions of roots of the type that `sees` leads to."""
        schema = graph.schema
        (sees,) = check_metapath("impression", schema, [self.sees])
        check_metapath("impression", schema, [self.shows], sees.target)
        if sees.inverse is None:
            got = f"{sees.name!r}, which has none"
            raise GraphRecError("impression", "sees: with an inverse", got, "inverse: in the card")
        roots = check_roots("impression", graph, roots, sees.target)
        exclude = check_exclude("impression", graph, len(roots), exclude)
        forest = plant(roots)
        position, row = segment_edges(graph, roots, sees.inverse, exclude)
        first = torch.ones_like(row, dtype=torch.bool)
        first[1:] = row[1:] != row[:-1]  # an impression has one user
        position, row = position[first], row[first]
        forest = forest.grow(graph, row, position, torch.zeros_like(row))
        forest = self._with_history(graph, forest, len(roots), sees, exclude)
        shown = shown_items(graph, roots, self.shows, exclude)
        slot = torch.full_like(shown.row, SHOWN_SLOT)
        return forest.grow(graph, shown.row, shown.position, slot).pack(graph, len(roots))

    def _with_history(
        self,
        graph: Graph,
        forest: TreeBatch,
        size: int,
        sees: Relation,
        exclude: Tensor | None,
    ) -> TreeBatch:
        users = torch.arange(size, len(forest.row), device=forest.row.device)
        if not len(users):
            return forest
        names = self.history or (graph.schema.interaction().name,)
        relations = [check_metapath("impression", graph.schema, [n], sees.source)[0] for n in names]
        timed = [each for each in relations if each.timed]
        if timed and not sees.timed:
            hint = "time: in the card, or a history without times"
            raise GraphRecError("impression", "sees: with times", f"{sees.name!r} without", hint)
        node, banned = forest.node[users], None if exclude is None else exclude[forest.row[users]]
        positions, rows = [node[:0]], [node[:0]]
        for each in relations:
            if not each.timed:
                position, row = segment_edges(graph, node, each.name, banned)
                order = torch.arange(len(row), device=row.device)
                if each.weighted and graph.csr.weight is not None:
                    order = torch.argsort(graph.csr.weight[position], stable=True)
                positions.append(position[order])
                rows.append(row[order])
        if timed:
            assert graph.csr.time is not None
            bound = graph.csr.time[forest.position[users]]
            wide = FOREVER >> 1 if self.liked is not None else self.window
            position, row = last_events(graph, node, timed, wide, bound, banned)
            positions.append(position)
            rows.append(row)
        position, row = torch.cat(positions), torch.cat(rows)
        if self.liked is not None and graph.csr.weight is not None:
            rated = [each.weighted and each.interaction for each in graph.schema.relations]
            known = graph.relation_of(position, node[row])
            kept = ~torch.tensor(rated, device=known.device)[known]
            kept |= graph.csr.weight[position] >= self.liked
            position, row = position[kept], row[kept]
        order = torch.argsort(row, stable=True)
        position, row = position[order], row[order]
        count = torch.bincount(row, minlength=len(node))
        left = count.cumsum(0)[row] - torch.arange(len(row), device=row.device)  # 1 for the last
        position, row = position[left <= self.window], row[left <= self.window]
        return forest.grow(graph, users[row], position, torch.full_like(row, HISTORY_SLOT))
