"""A model with the heads of a mixture of objectives, and the optimiser step over their losses."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, draw32
from graphrec_pt.features.seeded import derive_seed, seeded
from graphrec_pt.models.model import OF, Model
from graphrec_pt.objectives.objective import StatefulObjective, TrainingExamples
from graphrec_pt.training.batches import Prepared
from graphrec_pt.training.optimizer import ParameterGroups, scale_rates
from graphrec_pt.training.stage import LossTerm, Stage


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


class StepResult(NamedTuple):
    """The result of an optimiser step, summed over micro-batches and this process's ranks.

    Args:
        losses: float32 scalars by label, means over the terms of the whole step.
        norm: Norm of the gradient, before clipping.
        tokens: As linearized, on this process.
        waste: Share of padding, had every micro-batch been padded to its longest sequence.
    """

    losses: dict[str, Tensor]
    norm: Tensor
    tokens: int
    waste: float


class OptimizerLoop:
    """Takes optimiser steps of a stage.

    The gradient of a step is that of the mean over all its terms, whatever micro-batches and ranks
    they were cut into: each loss is weighted by the share of its terms. Dropout is seeded for each
    micro-batch by its place in the run, so a step is a function of the parameters, the optimiser's
    state and its number alone.

    Args:
        learner: What is trained.
        stage: How.
        groups: Parameters of the learner.
        total: Steps of the stage.
        seed: Seed of dropout.
        accelerator: Devices, precision and ranks.
    """

    def __init__(
        self,
        learner: MultiTaskModule,
        stage: Stage,
        groups: ParameterGroups,
        total: int,
        seed: int,
        accelerator: Accelerator,
    ) -> None:
        self.learner, self.stage, self.total, self.seed = learner, stage, total, seed
        self.accelerator = accelerator
        for parameter in learner.parameters():
            parameter.grad = None  # one left by an earlier stage would count in the norm
        made = AdamW(groups.groups, betas=stage.optimization.betas, fused=True)
        self.network, self.optimizer = accelerator.prepare(learner, made)
        learner.begin_states(seed, accelerator.device)
        if learner.states and accelerator.num_processes > 1:
            got, hint = f"{accelerator.num_processes} processes", "one process"
            who = f"objective {next(iter(learner.states))!r}"
            raise GraphRecError(who, "one process, for its state is kept by one", got, hint)

    @property
    def plain_optimizer(self) -> AdamW:
        """The optimiser itself."""
        optimizer: AdamW = getattr(self.optimizer, "optimizer", self.optimizer)
        return optimizer

    def step(self, done: int, epoch: int, batches: Sequence[Prepared]) -> StepResult:
        """Take one optimiser step.

        Args:
            done: Steps of the stage before it.
            epoch: Number of the epoch.
            batches: The micro-batches of this process.

        Raises:
            GraphRecError: When a loss or the gradient is not finite; names objective and batch.
                When the loss does not depend on anything that trains.
        """
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        scale_rates(self.plain_optimizer, self.stage.optimization.schedule.factor(done, self.total))
        weight = {label: self._weight(label, done) for label in self.learner.terms}
        counts = self._counts(batches)
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        if not any(counts[label] and weight[label] for label in counts):
            return StepResult({}, torch.zeros(()), *_read(batches))  # nothing to learn anywhere
        with self.learner.model.features.optimiser_step(done):
            for number, batch in enumerate(batches):
                last = number == len(batches) - 1
                with nullcontext() if last else self.accelerator.no_sync(self.network):
                    self._seed(epoch, batch.step, number * world + rank)
                    batch_losses, total = self.network(self._wanted(batch, weight))
                    for label, loss in batch_losses.items():
                        self._guard(label, loss.plain, epoch, batch.step)
                        share = batch.corrupted[label].count / counts[label]
                        losses[label] = losses.get(label, 0) + loss.plain.detach().float() * share
                        total = total + weight[label] * share * loss.balanced
                    if batch_losses and not total.requires_grad:
                        expected = "a loss that depends on what trains"
                        got = ", ".join(batch_losses)
                        hint = "a strategy that trains what these objectives read"
                        raise GraphRecError(f"stage {self.stage.name!r}", expected, got, hint)
                    if batch_losses or world > 1:  # ranks go backward together
                        self.accelerator.backward(total * world)
        norm = self._clipped(epoch, batches[0].step)
        self.optimizer.step()
        self.learner.after_step(done + 1)
        return StepResult(self._gathered(losses), norm, *_read(batches))

    def _weight(self, label: str, done: int) -> float:
        term = self.learner.terms[label]
        factor = 1.0 if term.schedule is None else term.schedule.factor(done, self.total)
        return float(term.weight * factor)

    def _counts(self, batches: Sequence[Prepared]) -> dict[str, int]:
        """Return the terms of each objective in the whole step, over all ranks."""
        labels = list(self.learner.terms)
        mine = [sum(batch.corrupted[label].count for batch in batches) for label in labels]
        if self.accelerator.num_processes > 1:
            counted = torch.tensor(mine, device=self.accelerator.device)
            mine = self.accelerator.reduce(counted, "sum").tolist()
        return dict(zip(labels, mine, strict=True))

    def _wanted(self, batch: Prepared, weight: Mapping[str, float]) -> dict[str, Any]:
        device = self.accelerator.device
        return {
            label: corrupted.to(device)
            for label, corrupted in batch.corrupted.items()
            if weight[label] and corrupted.count
        }

    def _clipped(self, epoch: int, step: int) -> Tensor:
        parameters = [p for p in self.learner.parameters() if p.grad is not None]
        limit = self.stage.optimization.clip or float("inf")
        norm = self.accelerator.clip_grad_norm_(parameters, limit)
        assert isinstance(norm, Tensor)
        scaled = self.accelerator.scaler is not None  # a scaler skips such a step by itself
        if not scaled and not bool(torch.isfinite(norm)):
            wrong = next(
                name
                for name, p in self.learner.named_parameters()
                if p.grad is not None and not bool(torch.isfinite(p.grad).all())
            )
            got = f"{float(norm)} at epoch {epoch}, step {step}, first in {wrong}"
            raise GraphRecError("training", "a finite gradient", got, "a lower lr or clip: 1.0")
        return norm

    def _guard(self, label: str, loss: Tensor, epoch: int, step: int) -> None:
        if not bool(torch.isfinite(loss.detach())):
            got = f"{float(loss.detach())} at epoch {epoch}, step {step}"
            hint = "a lower lr, a higher temperature, or precision='no'"
            raise GraphRecError(f"objective {label!r}", "a finite loss", got, hint)

    def _seed(self, epoch: int, step: int, micro: int) -> None:
        key = Key(self.seed, epoch).named("dropout")
        torch.manual_seed(int(draw32(key, step, micro)))

    def _gathered(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.accelerator.num_processes == 1:
            return dict(losses)
        zero = torch.zeros((), device=self.accelerator.device)
        mine = torch.stack([losses.get(label, zero) for label in self.learner.terms])
        summed = self.accelerator.reduce(mine, "sum")
        return dict(zip(self.learner.terms, summed.unbind(), strict=True))


def _read(batches: Sequence[Prepared]) -> tuple[int, float]:
    """Return the tokens of micro-batches, and their share of padding if they were padded."""
    tokens = sum(batch.tokens for batch in batches)
    room = sum(batch.tokens / (1 - batch.waste) for batch in batches)
    return tokens, 1 - tokens / room if room else 0.0
