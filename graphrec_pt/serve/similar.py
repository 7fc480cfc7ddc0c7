"""Items like an item: by their trained vectors, by who had both, or by both."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import normalize

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_file
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.serve.recommender import Item, Recommender

By = Literal["vectors", "together", "both"]
RANK = 60.0
"""Constant of reciprocal rank fusion."""
POOL = 100
"""Items of each list that are fused, at least."""
BLOCK = 256
"""Items whose neighbours are looked up at once."""

Floats = npt.NDArray[np.float32]


class SimilarItems:
    """Finds items like an item.

    ``vectors``: the cosine of the items' vectors in the model. ``together``: the cosine of the
    sets of users, ``|U_i ∩ U_j| / √(|U_i| · |U_j|)`` (Sarwar et al., WWW 2001). ``both``: the
    reciprocal rank fusion of the lists, ``Σ 1 / (60 + rank)`` (Cormack et al., SIGIR 2009).

    Args:
        recommender: Of a run.
        by: What likeness is.

    Raises:
        GraphRecError: For an unknown kind of likeness.

    Example:
        >>> similar = SimilarItems(from_pretrained("runs/sasrec"))
        >>> [item.title for item in similar.of("i3", k=2)]
    """

    def __init__(self, recommender: Recommender, by: By = "both") -> None:
        if by not in ("vectors", "together", "both"):
            raise GraphRecError("similar", "vectors, together or both", repr(by))
        self.recommender, self.by = recommender, by

    def of(self, item: str, k: int = 10, *, only: Sequence[str] = ()) -> list[Item]:
        """Return the items most like an item, best first; the item itself is left out.

        Args:
            item: Raw id.
            k: Items at most; by ``together`` only those with a common user.
            only: Filters, see :func:`~graphrec_pt.serve.filters.allowed`.

        Raises:
            GraphRecError: For an unknown item.
        """
        graph, start = self.recommender.history, self.recommender.items.start
        at = graph.node_id(self.recommender.item_type, item) - start
        among = self.recommender.among(only)
        columns, scores = self.rows(torch.tensor([at]), k, among)
        return [
            Item(graph.raw_id(start + column), graph.title(start + column), score)
            for column, score in zip(columns[0].tolist(), scores[0].tolist(), strict=True)
            if column >= 0
        ]

    def rows(self, items: Tensor, k: int, among: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the items most like some items: columns and scores ``[n, k]``, −1 past the end.

        Args:
            items: int64 ``[n]``, counted from the first item.
            k: How many.
            among: bool ``[V]``, items that may be returned.
        """
        count = len(self.recommender.items)
        if not 1 <= k < max(count, 2):
            raise GraphRecError("similar", f"1 <= k < {count}, the catalogue", k)
        pool = min(max(k, POOL), count)
        found = []
        if self.by != "together":
            found.append(_top(self._cosines(items), items, pool, among))
        if self.by != "vectors":
            found.append(_top(self._together(items), items, pool, among, positive=True))
        if len(found) == 1:
            return found[0][0][:, :k], found[0][1][:, :k]
        scores = torch.zeros(len(items), count)
        for columns, _ in found:
            rows, place = (columns >= 0).nonzero(as_tuple=True)
            scores[rows, columns[rows, place]] += 1 / (RANK + 1 + place)
        return _top(scores, items, k, among, positive=True)

    def table(self, path: str | Path, k: int = 10, *, only: Sequence[str] = ()) -> int:
        """Write the similar items of every item to a Parquet file.

        Columns: ``item``, ``rank`` from 1, ``similar`` and ``score``.

        Returns:
            The number of items.
        """
        recommender = self.recommender
        raw = recommender.history.tables[recommender.item_type][RAW_ID]
        among, frames = recommender.among(only), []
        for block in torch.split(torch.arange(len(raw)), BLOCK):
            columns, scores = self.rows(block, k, among)
            row, place = (columns >= 0).nonzero(as_tuple=True)
            frames.append(
                pl.DataFrame(
                    {
                        "item": raw.gather(block[row].numpy()),
                        "rank": (place + 1).to(torch.int32).numpy(),
                        "similar": raw.gather(columns[row, place].numpy()),
                        "score": scores[row, place].float().numpy(),
                    }
                )
            )
        with finished_file(Path(path)) as made:
            pl.concat(frames).write_parquet(made)
        return len(raw)

    def _cosines(self, items: Tensor) -> Tensor:
        return self._vectors[items] @ self._vectors.T

    @cached_property
    def _vectors(self) -> Tensor:
        """Unit vectors of the items ``[V, D]``."""
        reading = self.recommender.predictor.reading
        with reading.at_rest():
            table = reading.model.table(reading.relation.target)
        return normalize(table.float().cpu(), dim=1)

    def _together(self, items: Tensor) -> Tensor:
        """Return the cosines of the sets of users: ``[n, V]``."""
        both = (self._sets[items.numpy()] @ self._sets.T).toarray()
        return torch.from_numpy(np.asarray(both, np.float32))

    @cached_property
    def _sets(self) -> "sparse.csr_array":
        """Items × users, each row with norm 1."""
        recommender = self.recommender
        edges = recommender.history.edges(recommender.relation)
        first = recommender.history.nodes(recommender.user_type).start
        pairs = torch.unique(
            torch.stack([edges.target - recommender.items.start, edges.source - first]), dim=1
        )
        item, user = pairs.numpy()
        size = len(recommender.items), recommender.history.num_nodes(recommender.user_type)
        count = np.bincount(item, minlength=size[0])
        weight = (1 / np.sqrt(count[item])).astype(np.float32)
        return sparse.csr_array((weight, (item, user)), shape=size)


def _top(
    scores: Tensor, items: Tensor, k: int, among: Tensor | None, *, positive: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the best columns of each row without the item itself; equal scores by column."""
    scores = scores.clone()
    scores[torch.arange(len(items)), items] = -torch.inf
    if among is not None:
        scores[:, ~among] = -torch.inf
    if positive:
        scores[scores <= 0] = -torch.inf
    best = torch.sort(scores, dim=1, descending=True, stable=True)
    score, column = best.values[:, :k], best.indices[:, :k]
    return column.masked_fill(score == -torch.inf, -1), score
