"""Two-stage ranking: inner products for the whole catalogue, subgraphs for the best items."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.view import View
from graphrec_pt.objectives.readout import CatalogueReadout, PairReadout, Sequences
from graphrec_pt.predict.reading import Reading
from graphrec_pt.predict.seen import seen_pairs
from graphrec_pt.predict.taught import Found

BLOCK, SOURCES = 2048, 256
"""Sequences of pairs, and of sources, encoded at once."""


@dataclass(frozen=True, eq=False)
class PairScorer:
    """Scores and values of pairs, read off the sequence that is sampled around each pair.

    Args:
        reading: The model and its graph.
        found: The objective whose readout reads pairs.
    """

    reading: Reading
    found: Found

    @property
    def readout(self) -> PairReadout:
        """How a pair is read."""
        readout = self.found.readout
        assert isinstance(readout, PairReadout)
        return readout

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue, reranked items first: ``[B, V]``."""
        reading, catalogue = self.reading, self.reading.items
        with reading.at_rest():
            scores = self._by_vectors(nodes)  # [B, V]
            ptr, seen = seen_pairs(reading.graph, reading.relation.name, nodes)
            owner = ranges(ptr[:-1], ptr.diff())[1]
            place = owner.to(scores.device), seen.to(scores.device)
            unseen = scores.index_put(place, scores.new_tensor(-torch.inf))
            best = unseen.topk(min(self.readout.rerank or 0, len(catalogue)), dim=1)  # [B, N]
            row, column = (best.values > -torch.inf).nonzero(as_tuple=True)
            item = best.indices[row, column]
            pairs = torch.stack([nodes[row.cpu()], item.cpu() + catalogue.start], dim=1)
            local = self.of_pairs(pairs)
        if not len(local):
            return scores
        above = scores.amax(1)[row] + 1 - local.min() + local
        return scores.index_put((row, item), above)

    def of_pairs(self, pairs: Tensor) -> Tensor:
        """Return what is read off the sequence of each pair: ``[n]``, for int64 ``[n, 2]``."""
        reading, readout, head = self.reading, self.readout, self.reading.head(self.found)
        parts = []
        with reading.at_rest():
            for block in torch.split(pairs, BLOCK):
                tokens = reading.tokens(block)
                tokens = tokens if readout.shown is None else readout.shown(tokens)
                encoded = reading.encode(View(tokens), block[:, 0])
                parts.append(readout.scores(encoded, block, reading.model, head))
        return torch.cat(parts) if parts else torch.empty(0, device=reading.device)

    def values(self, pairs: Tensor) -> Tensor:
        """Return the predicted value of each pair: float64 ``[n]`` on the CPU."""
        values = self.of_pairs(pairs)
        values = values if self.readout.value is None else self.readout.value(values)
        return values.double().cpu()

    def _by_vectors(self, nodes: Tensor) -> Tensor:
        reading = self.reading
        table = reading.model.table(reading.relation.target)
        scores: Tensor = reading.model.nodes(nodes.to(reading.device)) @ table.T
        return scores

    def __post_init__(self) -> None:
        if not isinstance(self.found.readout, PairReadout):
            got = type(self.found.readout).__name__
            raise GraphRecError("PairScorer", "a readout of pairs", got)


class CatalogueScorer(NamedTuple):
    """Scores of a readout that scores the whole catalogue at once.

    Args:
        reading: The model and its graph.
        found: The objective whose readout scores the catalogue.
    """

    reading: Reading
    found: Found

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]``."""
        reading, readout = self.reading, self.found.readout
        assert isinstance(readout, CatalogueReadout)
        head, parts = reading.head(self.found), []
        with reading.at_rest():
            for block in torch.split(nodes, SOURCES):
                tokens = reading.tokens(block)
                encoded = reading.encode(View(tokens), block)
                given = reading.graph, reading.relation, reading.model, head
                parts.append(readout.scores(Sequences(encoded, tokens, block, *given)))
        return torch.cat(parts)
