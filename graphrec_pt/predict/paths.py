"""A path language model as a scorer: an item's score is that of the best path that ends in it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.predict.decoder import PathDecoder
from graphrec_pt.predict.reading import Reading
from graphrec_pt.predict.taught import Found
from graphrec_pt.sampling.sample import Paths

BLOCK = 256
"""Users decoded at once."""


@dataclass(frozen=True, eq=False)
class PathScorer:
    """Ranks the whole catalogue by decoded paths, and returns these paths.

    Items at the end of a decoded path come first, in the order of their scores. All other items,
    including those that the user has interacted with, follow in the order of their logits right
    after the user and the interaction relation.

    Args:
        reading: The model and its graph.
        found: The objective whose readout decodes paths.
    """

    reading: Reading
    found: Found

    @cached_property
    def decoder(self) -> PathDecoder:
        """Decodes the paths."""
        return PathDecoder(self.reading, self.found)

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]``."""
        with self.reading.at_rest():
            return torch.cat([self._block(block) for block in torch.split(nodes, BLOCK)])

    def paths(self, nodes: Tensor, items: Tensor) -> Paths:
        """Return the best path from each user to each of some items, where there is one.

        Args:
            nodes: int64 ``[B]`` global ids of users.
            items: int64 ``[B, K]`` global ids.

        Returns:
            At most one path for each of B·K roots. Its score is its log-probability, or the mean
            probability of its tokens where items are ranked by that.
        """
        with self.reading.at_rest():
            return self._best_paths(nodes, items)

    def _block(self, users: Tensor) -> Tensor:
        others = self.decoder.begins(users).float()  # [B, V]
        reached = torch.full_like(others, -torch.inf)
        if self.decoder.wanted.score == "sum":
            reached.zero_()
        for end in self.decoder.ends(users):
            row = end.beams.row.to(others.device)
            if self.decoder.wanted.score == "sum":
                reached.index_add_(0, row, end.score.exp())
            else:
                place = row.unsqueeze(1).expand_as(end.score)
                reached.scatter_reduce_(0, place, end.score, "amax")
        if self.decoder.wanted.score == "sum":
            reached = reached.log()  # −∞ for items that no path ends in
        lowest = reached.masked_fill(reached == -torch.inf, torch.inf).amin(1, keepdim=True)
        below = torch.where(lowest < torch.inf, lowest, 0) - 1 - others.amax(1, keepdim=True)
        return torch.where(reached > -torch.inf, reached, others + below)

    def _best_paths(self, nodes: Tensor, items: Tensor) -> Paths:
        if items.shape[:1] != nodes.shape or items.ndim != 2:
            got = f"{list(nodes.shape)} and {list(items.shape)}"
            raise GraphRecError("paths", "nodes [B] and items [B, K]", got)
        size, many, hops = len(nodes), items.shape[1], self.decoder.wanted.hops
        column = items - self.decoder.items.start  # [B, K]
        value = torch.full((size, many), -torch.inf)
        path = torch.full((size, many, hops + 1), -1)
        relations = torch.full((size, many, hops), -1)
        for start in range(0, size, BLOCK):
            for end in self.decoder.ends(nodes[start : start + BLOCK]):
                row = end.beams.row + start  # [n]
                columns = column[row]  # [n, K]
                scores = end.score.gather(1, columns.to(end.score.device)).cpu()
                length = end.beams.relations.shape[1]
                best = value.scatter_reduce(0, row.unsqueeze(1).expand_as(scores), scores, "amax")
                which, place = ((scores == best[row]) & (scores > value[row])).nonzero(
                    as_tuple=True
                )
                at = row[which], place
                path[at], relations[at] = -1, -1
                path[*at, :length] = end.beams.nodes[which]
                path[*at, length] = items[at]
                relations[*at, :length] = end.beams.relations[which]
                value = best
        row, place = (value > -torch.inf).nonzero(as_tuple=True)
        steps = relations[row, place]
        return Paths(
            nodes=path[row, place],
            relations=steps,
            length=(steps >= 0).sum(1),
            root=row * many + place,
            score=value[row, place],
            position=torch.full_like(steps, -1),
            size=size * many,
        )
