"""From a sampled batch to what the objectives need: linearize, then corrupt for each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.view import View
from graphrec_pt.objectives.draws import Draws
from graphrec_pt.objectives.objective import Corrupted, Examples, Objective
from graphrec_pt.sampling.loader import Batch
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import Sampler, Sets
from graphrec_pt.tokens.linearizer import Linearizer
from graphrec_pt.tokens.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Prepared:
    """A batch as the model takes it.

    Args:
        step: Number of the step in its epoch.
        corrupted: For each objective by name.
        sequences: B.
        tokens: T, as linearized.
        waste: Share of padding if the batch were padded to its longest sequence.
    """

    step: int
    corrupted: Mapping[str, Corrupted]
    sequences: int
    tokens: int
    waste: float

    def to(self, device: torch.device | str) -> "Prepared":
        """Return the same on another device."""
        moved = {name: part.to(device) for name, part in self.corrupted.items()}
        return replace(self, corrupted=moved)


@dataclass(frozen=True, eq=False)
class Preparation:
    """What a loader does with each batch; picklable.

    Args:
        graph: What may be seen.
        sampler: Sampled the batch, and samples companions in the same way.
        linearizer: Makes the tokens.
        objectives: By name.
        roots: int64 ``[n]`` or ``[n, 2]``, or Sets: all roots of the loader.
        exclude: int64 ``[n]``, the edge hidden from each, or None.
    """

    graph: Graph
    sampler: Sampler
    linearizer: Linearizer
    objectives: Mapping[str, Objective]
    roots: Tensor | Sets
    exclude: Tensor | None = None

    def __call__(self, batch: Batch) -> Prepared:
        """Return the batch for every objective."""
        examples = self.examples(batch)
        corrupted = {
            name: _rooted(each.corrupt(examples), examples)
            for name, each in self.objectives.items()
        }
        length = examples.tokens.lengths()
        room = int(length.max()) * len(length) if len(length) else 0
        tokens = int(length.sum())
        waste = 1 - tokens / room if room else 0.0
        return Prepared(batch.step, corrupted, len(length), tokens, waste)

    def examples(self, batch: Batch) -> Examples:
        """Return the batch linearized, as every objective gets it."""
        tokens, owner = self._linearized(batch.sample, len(batch.rows), batch.key)

        def again(roots: Tensor | Sets, exclude: Tensor | None) -> tuple[Tokens, Tensor]:
            options: dict[str, Any] = {} if exclude is None else {"exclude": exclude}
            sample = self.sampler.sample(self.graph, roots, batch.key, **options)
            return self._linearized(sample, len(roots), batch.key)

        return Examples(
            graph=self.graph,
            tokens=tokens,
            owner=owner,
            roots=self.roots[batch.rows],
            draws=Draws.of(batch.key, batch.rows, owner, batch.step),
            again=again,
            exclude=None if self.exclude is None else self.exclude[batch.rows],
        )

    def _linearized(self, sample: Any, roots: int, key: Key) -> tuple[Tokens, Tensor]:
        tokens = self.linearizer.linearize(self.graph, sample, key)
        per_path = isinstance(sample, Paths) and not self.linearizer.joins
        return tokens, sample.root if per_path else torch.arange(roots)


def _rooted(corrupted: Corrupted, examples: Examples) -> Corrupted:
    """Return the same with the roots of the sequences in the views, for prompts that ask."""
    root = examples.root()
    if root is None:
        return corrupted

    def rooted(views: tuple[View, ...]) -> tuple[View, ...]:
        return tuple(
            replace(view, root=root)
            if view.root is None and len(view.tokens) == len(root)
            else view
            for view in views
        )

    return replace(corrupted, views=rooted(corrupted.views), unencoded=rooted(corrupted.unencoded))
