"""Rankings among sampled negatives: only to reproduce old tables."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.split import Split
from graphrec_pt.kernels.negative import negative, popularity


@dataclass(frozen=True)
class Sampled:
    """Rank each target among a few candidates that its source never interacted with.

    Such metrics are inconsistent: they may order two systems the other way round than a full
    ranking does (Krichene and Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020).
    Use them only to compare with published tables of this kind; their metric names say so.

    Args:
        count: Negatives per target, all different.
        popular: Draw by training popularity instead of uniformly.
        seed: Of the draws; each target has its own.
    """

    count: int = 99
    popular: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise GraphRecError("Sampled", "count >= 1", self.count)

    def __str__(self) -> str:
        how = "popular" if self.popular else "uniform"
        return f"sampled{self.count}_{how}_seed{self.seed}"

    def draw(self, split: Split, source: Tensor, edge: Tensor) -> Tensor:
        """Return negatives: candidates without any edge to the source, held out or not.

        Args:
            split: The split of the targets.
            source: int64 ``[n]`` global ids.
            edge: int64 ``[n]`` edge ids of the targets, which select the random draws.

        Returns:
            int64 ``[n, count]``, counted from the first candidate.

        Raises:
            GraphRecError: When a source has fewer than `count` negatives.
        """
        schema = split.graph.schema
        catalogue = split.graph.nodes(schema.relation(split.relation).target)
        weights = None
        if self.popular:
            counts = torch.bincount(
                split.train.edges(split.relation).target - catalogue.start, minlength=len(catalogue)
            )
            weights = popularity(counts)
        wanted = 2 * self.count
        while True:
            drawn = negative(
                split.graph.csr,
                source,
                schema.slot(split.relation),
                wanted,
                Key(self.seed).named("evaluation.negatives"),
                low=catalogue.start,
                high=catalogue.stop,
                cumulative=weights,
                item=edge,
            )
            kept, fewest = _first_distinct(drawn, self.count)
            if fewest >= self.count:
                return kept - catalogue.start
            if wanted > 64 * len(catalogue):
                raise GraphRecError(
                    "Sampled", f"{self.count} negatives for each target", f"{fewest} for one"
                )
            wanted *= 4


def _first_distinct(drawn: Tensor, count: int) -> tuple[Tensor, int]:
    """Return the first `count` distinct ids of each row, and the smallest number of any row."""
    ordered = torch.sort(drawn, dim=1, stable=True)
    fresh = torch.ones_like(drawn, dtype=torch.bool)
    fresh[:, 1:] = ordered.values[:, 1:] != ordered.values[:, :-1]
    fresh &= ordered.values >= 0
    first = torch.zeros_like(fresh).scatter(1, ordered.indices, fresh)  # back in drawn order
    fewest = int(first.sum(1).min()) if len(drawn) else count
    if fewest < count:
        return drawn, fewest
    chosen = first & (first.cumsum(1) <= count)
    return drawn[chosen].view(len(drawn), count), fewest
