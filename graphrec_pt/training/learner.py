"""What is trained: a model, the heads of the objectives, and their balance."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphrec_pt.features.seeded import apart, seeded
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.objective import Corrupted, StatefulObjective
from graphrec_pt.training.term import Term


class Losses(NamedTuple):
    """The mean loss of an objective in a batch.

    Args:
        plain: L, a scalar.
        balanced: L, or ``e^{−s} L + s`` with the learned s of the objective.
    """

    plain: Tensor
    balanced: Tensor


class Learner(nn.Module):
    """A model with the heads of a mixture of objectives; its forward pass returns their losses.

    Args:
        model: What is shared.
        terms: The mixture.
        balance: ``"fixed"`` or ``"uncertainty"``, see :class:`~graphrec_pt.training.stage.Stage`.
        seed: Of the heads' first weights.
    """

    def __init__(
        self, model: Model, terms: Sequence[Term], balance: str = "fixed", seed: int = 0
    ) -> None:
        super().__init__()
        self.model = model
        self.terms = {term.label: term for term in terms}
        self.heads = nn.ModuleDict(
            {
                f"of_{label}": seeded(
                    partial(term.objective.head, model.outline, model.width), apart(seed, label)
                )
                for label, term in self.terms.items()
            }
        )
        self.states: dict[str, nn.Module] = {}  # by label; no part of the network's own state
        learned = balance == "uncertainty"
        self.log_variance = nn.Parameter(torch.zeros(len(terms))) if learned else None

    def begin_states(self, seed: int, device: torch.device) -> None:
        """Make the states of the objectives that have one, from the weights as they are now."""
        for label, term in self.terms.items():
            if isinstance(term.objective, StatefulObjective):
                head = self.heads[f"of_{label}"]
                state = term.objective.state(self.model, head, apart(seed, f"state of {label}"))
                if state is not None:
                    self.states[label] = state.to(device).requires_grad_(False)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Let objectives change their states after an optimiser step, the given one of a stage."""
        for label, state in self.states.items():
            objective: StatefulObjective = self.terms[label].objective
            objective.after_step(state, self.model, self.heads[f"of_{label}"], step)

    def forward(self, batch: Mapping[str, Corrupted]) -> tuple[dict[str, Losses], Tensor]:
        """Return the losses of every objective that has something to learn in the batch.

        Returns:
            By label; and a zero to go backward from, where there is nothing else.
        """
        with self.model.held():
            losses = {
                label: self._losses(label, corrupted)
                for label, corrupted in batch.items()
                if corrupted.count
            }
        return losses, self.model.embedding.special.weight[:0].sum()

    def _losses(self, label: str, corrupted: Corrupted) -> Losses:
        encoded = [self.model.encode(view) for view in corrupted.views]
        head: Any = self.heads[f"of_{label}"]
        state = {"state": self.states[label]} if label in self.states else {}
        loss = self.terms[label].objective.loss(encoded, corrupted, self.model, head, **state)
        if self.log_variance is None:
            return Losses(loss, loss)
        s = self.log_variance[list(self.terms).index(label)]
        return Losses(loss, torch.exp(-s) * loss + s)
