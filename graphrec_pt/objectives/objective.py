"""The objective family: corruption in the loader's workers, a loss in the training process."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import C, Registry
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.readout import Readout
from graphrec_pt.objectives.sequence_rng import SequenceRNG, one_of
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Words


@dataclass(frozen=True, eq=False, slots=True)
class Examples:
    """A batch of sampled and linearized sequences, before corruption.

    Args:
        graph: The graph that may be seen, without held-out edges.
        tokens: B sequences.
        owner: int64 ``[B]``, the root of each sequence in ``[0, R)``, never falling.
        roots: int64 ``[R]`` or ``[R, 2]`` global ids, or Sets.
        draws: Names the draws of every sequence.
        resample: Samples and linearizes other roots just like these, with the draws of other
            examples: ``resample(roots, exclude)`` gives the tokens, and the root of each sequence.
            Negatives that are made so look like positives in everything but their roots.
        exclude: int64 ``[R]``, the edge hidden from each root, −1 for none; None if there are
            none.
    """

    graph: Graph
    tokens: Tokens
    owner: Tensor
    roots: Tensor | Sets
    draws: SequenceRNG
    resample: Callable[[Tensor | Sets, Tensor | None], tuple[Tokens, Tensor]]
    exclude: Tensor | None = None

    def root(self) -> Tensor | None:
        """Return the (first) root of each sequence, None for sets: int64 ``[B]`` global ids.

        A view of some of the sequences gets the roots of those, for personalised prompts.
        """
        if isinstance(self.roots, Sets):
            return None
        first = self.roots if self.roots.ndim == 1 else self.roots[:, 0]
        return first[self.owner]

    def hidden_edges(self) -> tuple[Tensor, Tensor]:
        """Return where the edges hidden from (first) roots are stored, and the roots.

        Returns:
            int64 ``[M]`` positions in the CSR, and int64 ``[M]`` in ``[0, R)``; none for sets.
        """
        csr, roots, exclude = self.graph.csr, self.roots, self.exclude
        if isinstance(roots, Sets) or exclude is None or csr.edge is None:
            none = self.owner[:0]
            return none, none
        low, high = csr.bounds(roots if roots.ndim == 1 else roots[:, 0])
        position, row = ranges(low, high - low)
        same = (csr.edge[position] == exclude[row]) & (exclude[row] >= 0)
        return position[same], row[same]

    def others(self, words: Tensor, who: str) -> tuple[Tensor, Tokens]:
        """Sample another root of the same type per sequence, with the same sampler and linearizer.

        Any root of the type may be the other one, as likely; a type of one node gives itself.

        Args:
            words: int64 ``[B]``, random bits.
            who: Asks, for errors.

        Returns:
            int64 ``[n]``, the sequences of the batch that got one, ascending, and n sequences.

        Raises:
            GraphRecError: For roots that are pairs or sets.
        """
        if not isinstance(self.roots, Tensor) or self.roots.ndim != 1:
            raise GraphRecError(who, "roots that are nodes", "pairs or sets")
        roots, csr = self.roots[self.owner], self.graph.csr
        kind = csr.node_type(roots)
        low = csr.offset[kind]
        size = csr.offset[kind + 1] - low
        others = low + (roots - low + 1 + one_of(words, (size - 1).clamp(min=1))) % size
        exclude = None if self.exclude is None else torch.full_like(others, -1)
        tokens, owner = self.resample(others, exclude)
        first = torch.ones_like(owner, dtype=torch.bool)
        first[1:] = owner[1:] != owner[:-1]
        return owner[first], tokens.select(first.nonzero().squeeze(1))


@dataclass(frozen=True, eq=False, slots=True)
class TrainingExamples:
    """The corrupted views that the model encodes, and the targets of the loss.

    Args:
        views: The views to encode, in the order of ``loss(encoded, …)``.
        targets: Tensors that the loss needs, by name.
        count: Number of terms in the mean of the loss; 0 for a batch without a target.
        unencoded: Views that the loss encodes itself, with another encoder than the model.
    """

    views: tuple[View, ...]
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    count: int = 0
    unencoded: tuple[View, ...] = ()

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "TrainingExamples":
        """Return the same on another device."""
        return replace(
            self,
            views=tuple(view.to(device, non_blocking=non_blocking) for view in self.views),
            unencoded=tuple(view.to(device, non_blocking=non_blocking) for view in self.unencoded),
            targets={
                name: value.to(device, non_blocking=non_blocking)
                for name, value in self.targets.items()
            },
        )


@dataclass(frozen=True)
class RequiredFields:
    """The kinds and fields of tokens that an objective needs from the linearizer.

    Args:
        kinds: Kinds of token that must be able to occur.
        fields: Token columns that the linearizer must fill.
    """

    kinds: frozenset[Kind] = frozenset({Kind.NODE})
    fields: frozenset[str] = frozenset()


class Objective(ABC):
    """Base class of all objectives: a subclass defines what it hides and its loss.

    Members are frozen configs. :meth:`corrupt` and :meth:`loss` are all that a subclass must
    write. Nothing outside an objective asks for its name: what a trained model can answer is
    its :meth:`readout`.

    Example::

        @objective("rating_of_pair")
        class RatingOfPair(Objective):
            relation: str

            def corrupt(self, examples): ...

            def loss(self, encoded, corrupted, model, head): ...
    """

    @property
    def needs(self) -> RequiredFields:
        """The tokens that the linearizer must make; nodes with type and hop by default."""
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"type", "hop"}))

    def check(self, spec: GraphSpec) -> None:  # noqa: B027 - most options name nothing of a graph
        """Raise when a graph lacks what the options name; called before anything is sampled.

        Every graph will do by default.
        """

    @abstractmethod
    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return views and targets; runs in the worker that made the batch.

        A pure function of the examples. Examples with nothing to learn give fewer terms; a batch
        without any gives ``count=0``.
        """

    def lengths(self, examples: Examples) -> Tensor:
        """Return the tokens that the model reads of each sequence: int64 ``[B]``.

        Batches are packed by them where a stage has ``tokens``. As linearized by default;
        objectives that add tokens, such as an answer, count them too.
        """
        return examples.tokens.lengths()

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return the weights that only this objective has; none by default.

        Runs on the meta device, weights are filled by
        :func:`~graphrec_pt.features.seeded.seeded`.

        Args:
            spec: Spec of the graph.
            width: D of the model.
        """
        return nn.Identity()

    @abstractmethod
    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: Any
    ) -> Tensor:
        """Return the mean loss over ``corrupted.count`` terms, a scalar.

        A pure function of its inputs.

        Args:
            encoded: One for each of ``corrupted.views``.
            corrupted: The result of :meth:`corrupt`, on the model's device.
            model: For the vectors of nodes: ``model.nodes(ids)``, ``model.table(node_type)``.
            head: The result of :meth:`head`, filled.
        """

    def readout(self) -> Readout | None:
        """Return what a model that was trained by this objective can answer.

        A readout says how an answer is read off the model: a ranking of items from the last
        token, from a MASK, from the root or a pool; a value of a pair; paths; text; a set.
        Evaluation, serving and exports know readouts and never names of objectives.

        Returns:
            None by default: the objective only prepares a model, and a recipe cannot end in it.
        """
        return None

    def with_words(self, words: Words | None, size: int) -> "Objective":
        """Return the objective with the words of a model, wherever its options name none.

        Args:
            words: Tokenizer of the model; None where its config gives a size alone.
            size: V, the rows of the model's table of words.
        """
        return self

    @property
    def reads_sequences(self) -> bool:
        """Whether the model encodes sequences for it; else vectors of nodes are all it reads."""
        return True

    @property
    def allows_template(self) -> bool:
        """Whether a hard prompt may stand before its sequences."""
        return True

    def with_template(
        self, earlier: Sequence[tuple[str, "Objective"]]
    ) -> tuple[str | None, "Objective"]:
        """Return what takes its place when a hard prompt asks about its roots.

        Args:
            earlier: Label and objective of what the model was taught before.

        Returns:
            The label of the earlier objective whose head answers, None for a head of its own; and
            the objective, by default this one.
        """
        return None, self


class StatefulObjective(Objective):
    """An objective with a module beside the weights that train, such as an average or a queue.

    The trainer makes the state when a stage begins, hands it to :meth:`loss`, calls
    :meth:`after_step` after every optimiser step and keeps it in the checkpoint. Nothing of it
    trains, and the saved model does not hold it.
    """

    @abstractmethod
    def state(self, model: Model, head: nn.Module, seed: int) -> nn.Module | None:
        """Return the state at the start of a stage, None where the options ask for none.

        Everything in it that changes must be a parameter or a persistent buffer.

        Args:
            model: As it begins the stage.
            head: Likewise, what :meth:`head` returned, filled.
            seed: Seed of whatever is drawn.
        """

    @abstractmethod
    def after_step(self, state: nn.Module, model: Model, head: nn.Module, step: int) -> None:
        """Change the state after an optimiser step; called without gradients.

        Args:
            state: The result of :meth:`state`.
            model: After the step.
            head: Likewise.
            step: Optimiser steps of the stage so far, this one included.
        """

    @abstractmethod
    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: Any,
        state: Any = None,
    ) -> Tensor:
        """Return the mean loss, as :meth:`Objective.loss`.

        Args:
            encoded: One for each of ``corrupted.views``.
            corrupted: The result of :meth:`corrupt`.
            model: For the vectors of nodes.
            head: The result of :meth:`head`, filled.
            state: The result of :meth:`state`. In training mode the loss may note in it what
                :meth:`after_step` is to take up.
        """


class Objectives(Registry[Objective]):
    """The registry of objectives, which takes classes that derive from :class:`Objective` alone."""

    def __call__(self, name: str) -> Callable[[C], C]:
        """Return the decorator that registers a class under `name`.

        Raises:
            GraphRecError: For a class of another kind, and one that lacks a method.
        """
        register = super().__call__(name)

        def checked(cls: C) -> C:
            who = f"@objective({name!r})"
            if not issubclass(cls, Objective):
                hint = f"class {cls.__name__}(Objective)"
                raise GraphRecError(who, "a class that derives from Objective", cls.__name__, hint)
            if missing := sorted(cls.__abstractmethods__):
                raise GraphRecError(who, "corrupt and loss", f"no {' and no '.join(missing)}")
            return register(cls)

        return checked


objective = Objectives("objective")
"""``@objective("name")`` makes a class usable as an objective."""

ObjectiveField = Annotated[Objective, objective]
"""Type of a config field that holds an objective."""
