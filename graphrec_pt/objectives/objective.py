"""The objective family: corruption where batches are made, a loss where the model is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor, nn

from graphrec_pt.core.registry import Registry
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.draws import Draws
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@dataclass(frozen=True, eq=False, slots=True)
class Examples:
    """A batch as it was sampled and linearized, before anything is hidden.

    Args:
        graph: What may be seen.
        tokens: B sequences.
        owner: int64 ``[B]``, the root of each sequence in ``[0, R)``, never falling.
        roots: int64 ``[R]`` or ``[R, 2]`` global ids, or Sets.
        draws: Names the draws of every sequence.
        again: Samples and linearizes other roots just like these, with the draws of other
            examples: ``again(roots, exclude)`` gives the tokens, and the root of each sequence.
            Negatives made so cannot be told from positives by how they were made.
        exclude: int64 ``[R]``, the edge hidden from each root, −1 for none; None if there are
            none.
    """

    graph: Graph
    tokens: Tokens
    owner: Tensor
    roots: Tensor | Sets
    draws: Draws
    again: Callable[[Tensor | Sets, Tensor | None], tuple[Tokens, Tensor]]
    exclude: Tensor | None = None

    def root(self) -> Tensor | None:
        """Return the (first) root of each sequence, None for sets: int64 ``[B]`` global ids.

        Views of some sequences alone are given those of their own, for prompts that ask.
        """
        if isinstance(self.roots, Sets):
            return None
        first = self.roots if self.roots.ndim == 1 else self.roots[:, 0]
        return first[self.owner]


@dataclass(frozen=True, eq=False, slots=True)
class Corrupted:
    """What the model sees and what it must find.

    Args:
        views: What is encoded, in the order of ``loss(encoded, …)``.
        targets: Tensors that the loss needs, by name.
        count: Terms that the loss is the mean of; with 0 there is nothing to learn here.
    """

    views: tuple[View, ...]
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    count: int = 0

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Corrupted":
        """Return the same on another device."""
        return replace(
            self,
            views=tuple(view.to(device, non_blocking=non_blocking) for view in self.views),
            targets={
                name: value.to(device, non_blocking=non_blocking)
                for name, value in self.targets.items()
            },
        )


@dataclass(frozen=True)
class Needs:
    """What the tokens of a linearizer must hold for an objective.

    Args:
        kinds: Kinds of token that must be able to occur.
        fields: Fields that must say something.
    """

    kinds: frozenset[Kind] = frozenset({Kind.NODE})
    fields: frozenset[str] = frozenset()


class Objective(Protocol):
    """A frozen config; corruption is a pure function of the examples, the loss of its inputs."""

    @property
    def needs(self) -> Needs:
        """What it needs of a linearizer."""
        ...

    def check(self, outline: Outline) -> None:
        """Raise when a graph lacks what the options name; called before anything is sampled."""
        ...

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return what the model sees and must find, in the worker that made the batch.

        Examples with nothing to learn give fewer terms; a batch without any gives ``count=0``.
        """
        ...

    def head(self, outline: Outline, width: int) -> nn.Module:
        """Return the weights that only this objective has; ``nn.Identity()`` for none.

        Runs on the meta device, weights are filled by
        :func:`~graphrec_pt.features.seeded.seeded`.
        """
        ...

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: Any
    ) -> Tensor:
        """Return the mean loss over ``corrupted.count`` terms, a scalar.

        Args:
            encoded: One for each of ``corrupted.views``.
            corrupted: What :meth:`corrupt` returned, on the model's device.
            model: For the vectors of nodes: ``model.nodes(ids)``, ``model.table(node_type)``.
            head: What :meth:`head` returned, filled.
        """
        ...


objective: Registry[Objective] = Registry("objective")
"""``@objective("name")`` makes a class usable as an objective."""

ObjectiveField = Annotated[Objective, objective]
"""Type of a config field that holds an objective."""
