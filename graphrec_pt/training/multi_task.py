"""Multi-task training: a model, the heads of its objectives, and the balance of their losses."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphrec_pt.features.seeded import derive_seed, seeded
from graphrec_pt.models.model import OF, Model
from graphrec_pt.objectives.objective import StatefulObjective, TrainingExamples
from graphrec_pt.training.stage import LossTerm


class Losses(NamedTuple):
    """The mean loss of an objective in a batch.

    Args:
        plain: L, a scalar.
        balanced: L, or ``e^{−s} L + s`` with the learned s of the objective.
    """

    plain: Tensor
    balanced: Tensor


class MultiTaskModule(nn.Module):
    """A model with the heads of a mixture of objectives; its forward pass returns their losses.

    Args:
        model: The shared model.
        terms: The mixture.
        balance: ``"fixed"`` or ``"uncertainty"``, see :class:`~graphrec_pt.training.stage.Stage`.
        seed: Seed of the heads' first weights.

    Attributes:
        before: Weights of the heads that the model had, by ``of_{label}``.
    """

    def __init__(
        self, model: Model, terms: Sequence[LossTerm], balance: str = "fixed", seed: int = 0
    ) -> None:
        super().__init__()
        self.model = model
        self.terms = {term.label: term for term in terms}
        self.before = {name: head.state_dict() for name, head in model.heads.items()}
        for label, term in self.terms.items():
            made = partial(term.objective.head, model.spec, model.width)
            model.put_head(label, seeded(made, derive_seed(seed, label)))
        self.states: dict[str, nn.Module] = {}  # by label; no part of the network's own state
        learned = balance == "uncertainty"
        self.log_variance = nn.Parameter(torch.zeros(len(terms))) if learned else None

    def begin_states(self, seed: int, device: torch.device) -> None:
        """Make the states of the objectives that have one, from the current weights."""
        for label, term in self.terms.items():
            if isinstance(term.objective, StatefulObjective):
                head = self.model.heads[OF + label]
                state = term.objective.state(
                    self.model, head, derive_seed(seed, f"state of {label}")
                )
                if state is not None:
                    self.states[label] = state.to(device).requires_grad_(False)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Update the objectives' states after an optimiser step, given its number in the stage."""
        for label, state in self.states.items():
            objective = self.terms[label].objective
            assert isinstance(objective, StatefulObjective)  # only these have a state
            objective.after_step(state, self.model, self.model.heads[OF + label], step)

    @property
    def heads(self) -> dict[str, nn.Module]:
        """The heads of the mixture, by ``of_{label}``."""
        return {OF + label: self.model.heads[OF + label] for label in self.terms}

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the weights that the mixture uses, under the names that patterns match.

        The heads of the mixture are called ``heads.of_LABEL``; heads of other objectives, which the
        model keeps from earlier stages, are left out.
        """
        start, mine = f"{prefix}model.heads.", tuple(f"{name}." for name in self.heads)
        for name, parameter in super().named_parameters(prefix, recurse, remove_duplicate):
            inner = name.removeprefix(start)
            if inner == name:
                yield name, parameter
            elif inner.startswith(mine):
                yield f"{prefix}heads.{inner}", parameter

    def forward(self, batch: Mapping[str, TrainingExamples]) -> tuple[dict[str, Losses], Tensor]:
        """Return the losses of every objective that has something to learn in the batch.

        Returns:
            By label; and a zero to go backward from, where there is nothing else.
        """
        with self.model.cached_embeddings():
            losses = {
                label: self._losses(label, corrupted)
                for label, corrupted in batch.items()
                if corrupted.count
            }
        return losses, self.model.embedding.special.weight[:0].sum()

    def _losses(self, label: str, corrupted: TrainingExamples) -> Losses:
        encoded = [self.model.encode(view) for view in corrupted.views]
        head: Any = self.model.heads[OF + label]
        state = {"state": self.states[label]} if label in self.states else {}
        loss = self.terms[label].objective.loss(encoded, corrupted, self.model, head, **state)
        if self.log_variance is None:
            return Losses(loss, loss)
        s = self.log_variance[list(self.terms).index(label)]
        return Losses(loss, torch.exp(-s) * loss + s)
