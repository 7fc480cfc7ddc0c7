"""A stage in time: epochs, validations and checkpoints around the optimiser step."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.training.checkpoint import Checkpoint
from graphrec_pt.training.ema import Average
from graphrec_pt.training.fitting import Fitting, Stepped
from graphrec_pt.training.groups import only_trained, parameter_groups
from graphrec_pt.training.learner import Learner
from graphrec_pt.training.loading import loader_of, steps_of
from graphrec_pt.training.optimizer_state import load_optimizer, save_optimizer
from graphrec_pt.training.options import Options
from graphrec_pt.training.progress import Meter, Progress, Summary
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.strategy_run import make_ready, patterns_of, start_anew, take_heads
from graphrec_pt.training.strategy_table import trained
from graphrec_pt.training.watch import Watch

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Validate = Callable[[Model], Mapping[str, float]]
"""Metrics of a model; called with the model in evaluation mode."""


class StageRun:
    """One stage of a run.

    Args:
        model: What is trained.
        graph: What may be seen.
        stage: What to do.
        options: Of the run.
        accelerator: Devices, precision and ranks.
    """

    def __init__(
        self,
        model: Model,
        graph: Graph,
        stage: Stage,
        options: Options,
        accelerator: Accelerator,
    ) -> None:
        self.graph, self.stage = graph, stage
        self.options, self.accelerator = options, accelerator
        make_ready(model, graph, stage, options.seed)
        self.learner = Learner(model, stage.objectives, stage.balance, options.seed)
        wanted = stage.optimization
        self.groups = parameter_groups(
            self.learner,
            wanted.rules,
            trains=patterns_of(self.learner, stage.strategy),
            lr=wanted.lr,
            weight_decay=wanted.weight_decay,
        )
        self.trained = trained(self.learner, self.groups)
        place = accelerator.process_index, accelerator.num_processes
        device = accelerator.device if options.sampling == "device" else None
        self.loader = loader_of(stage, graph, options, *place, device)
        self.total = steps_of(stage, self.loader) if self.groups.trained else 0
        self.watch = Watch(options.watch, stage.patience)
        self.average: Average | None = None
        anew = tuple(f"of_{label}." for label in self.learner.terms)
        heads = self.learner.model.heads.items()
        self.earlier = {name: weight for name, weight in heads if not name.startswith(anew)}
        self.epoch, self.step, self.done, self.stopped = 0, 0, 0, False

    def __call__(
        self,
        validate: Validate | None,
        checkpoint: Checkpoint | None,
        save: Callable[["StageRun"], None],
        shown: Progress | None = None,
    ) -> Iterator[Row]:
        """Train, yielding a row for the log now and then.

        Args:
            validate: Called at the ends of epochs, see ``validate_every``.
            checkpoint: Where to go on from.
            save: Called where a checkpoint is due.
            shown: Told every step.
        """
        options = self.options
        told = self.stage.name, self.stage.strategy.name, self.trained
        logger.info("stage %s, strategy %s:\n%s", *told)
        if checkpoint is None:
            start_anew(self.learner, self.graph, self.stage.strategy, options.seed)
            take_heads(self.learner, self.stage.strategy)
        if not self.groups.trained:
            yield from self._only_looked_at(validate)
            return
        with only_trained(self.learner, self.groups):
            self.fitting = Fitting(
                self.learner, self.stage, self.groups, self.total, options.seed, self.accelerator
            )
            if options.average:
                self.average = Average(self.learner.named_parameters(), options.average)
            if checkpoint is not None:
                self._load(checkpoint)
            self._keep_heads()
            while self.done < self.total and not self.stopped:
                yield from self._steps_of_epoch(save, shown)
                if self.step == self.loader.steps(self.epoch):
                    self.epoch, self.step = self.epoch + 1, 0
                ends = self.done >= self.total
                if validate is not None and (ends or self.epoch % self.stage.validate_every == 0):
                    yield self._validated(validate)
                save(self)
            self._finish()

    def _only_looked_at(self, validate: Validate | None) -> Iterator[Row]:
        """Take no step, where nothing trains."""
        self.learner.to(self.accelerator.device)
        self._keep_heads()
        if validate is not None:
            yield self._validated(validate)
        self.learner.eval()

    def _keep_heads(self) -> None:
        """Let the model know its heads, which share their memory with those that train.

        Those of earlier stages stay as they were, for a strategy that wants them kept.
        """
        self.learner.model.heads = self.earlier | self.learner.heads.state_dict()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a checkpoint of the stage must hold."""
        optimizer, _ = save_optimizer(self.fitting.plain_optimizer)
        found = _under("learner", self.learner.state_dict()) | _under("optimizer", optimizer)
        if self.average is not None:
            found |= _under("average", self.average.tensors())
        found |= _under("earlier", self.earlier)
        return found | _under("best", self.watch.weights)

    def state(self) -> dict[str, Any]:
        """Return what of it JSON can hold."""
        _, optimizer = save_optimizer(self.fitting.plain_optimizer)
        scaler = self.accelerator.scaler
        return {
            "epoch": self.epoch,
            "step": self.step,
            "done": self.done,
            "stopped": self.stopped,
            "watch": self.watch.state(),
            "optimizer": optimizer,
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    def _load(self, checkpoint: Checkpoint) -> None:
        state, tensors = checkpoint.state["run"], checkpoint.tensors
        self.epoch, self.step, self.done = state["epoch"], state["step"], state["done"]
        self.stopped = state["stopped"]
        self.learner.load_state_dict(_of("learner", tensors))
        self.earlier = _of("earlier", tensors)
        optimizer = self.fitting.plain_optimizer
        load_optimizer(optimizer, _of("optimizer", tensors), state["optimizer"])
        if self.average is not None:
            self.average.load(_of("average", tensors))
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.watch.load(state["watch"], _of("best", tensors))

    def _steps_of_epoch(
        self, save: Callable[["StageRun"], None], shown: Progress | None
    ) -> Iterator[Row]:
        """Take the rest of an epoch's steps, or of the stage's."""
        batches = self.loader.epoch(self.epoch, self.step)
        meter, whole = Meter(self.total, self.done), self.loader.steps(self.epoch)
        every, due = self.options.log_every, self.options.checkpoint_every
        while micros := list(islice(batches, self.stage.accumulate)):
            stepped = self.fitting.step(self.done, self.epoch, micros)
            if self.average is not None:
                self.average.update()
            self.step, self.done = self.step + 1, self.done + 1
            told = stepped.losses, stepped.tokens, stepped.waste
            meter.add(*told)
            if shown is not None:
                shown.update(self.done, *told)
            ends = self.step == whole or self.done == self.total
            if ends or self.done % every == 0:
                yield self._place() | self._told(meter.take(self.done), stepped)
            if ends:
                break
            if due and self.done % due == 0:
                save(self)

    def _validated(self, validate: Validate) -> Row:
        self.learner.eval()
        with torch.no_grad(), self._averaged():
            metrics = {name: float(value) for name, value in validate(self.learner.model).items()}
            self.stopped = self.watch.see(metrics, self.learner)
        return self._place() | {f"valid/{name}": value for name, value in metrics.items()}

    def _finish(self) -> None:
        """Leave the best weights in the model, or their average, or the last ones."""
        if self.watch.weights:
            self.watch.restore(self.learner)
        elif self.average is not None:
            self.average.settle()
        self.learner.eval()

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.swapped()

    def _place(self) -> Row:
        return {"stage": self.stage.name, "epoch": self.epoch, "stage_step": self.done}

    def _told(self, summary: Summary, stepped: Stepped) -> Row:
        losses = {f"loss/{label}": loss for label, loss in summary.losses.items()}
        return losses | {
            "lr": self.fitting.plain_optimizer.param_groups[0]["lr"],
            "gradient_norm": float(stepped.norm),
            "tokens_per_second": summary.rate,
            "waste": summary.waste,
        }


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{name}/{inner}": tensor for inner, tensor in tensors.items()}


def _of(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
