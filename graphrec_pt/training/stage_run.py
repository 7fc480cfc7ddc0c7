"""The loop of one stage: epochs, validations and checkpoints around the optimiser steps."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from graphrec_pt.core.interruption import Interrupted, catches_signals, deferred, waiting_signal
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.head import head_config
from graphrec_pt.models.model import Model
from graphrec_pt.training.batches import loader_of, steps_of
from graphrec_pt.training.checkpoint import Checkpoint
from graphrec_pt.training.optimizer import (
    load_optimizer,
    only_trained,
    parameter_groups,
    save_optimizer,
)
from graphrec_pt.training.optimizer_loop import MultiTaskModule, OptimizerLoop, StepResult
from graphrec_pt.training.options import Options
from graphrec_pt.training.progress import Meter, Progress, Summary
from graphrec_pt.training.stage import Stage, usage_of
from graphrec_pt.training.strategy_run import (
    make_ready,
    patterns_of,
    start_anew,
    take_heads,
    trained,
)
from graphrec_pt.training.weights import Average, BestCheckpoint

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Validate = Callable[[Model], Mapping[str, float]]
"""Metrics of a model; called with the model in evaluation mode."""


class StageRun:
    """One stage of a run.

    Args:
        model: What is trained.
        graph: The graph that may be seen, without held-out edges.
        stage: What to do.
        options: Options of the run.
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
        model.usage = usage_of(stage)
        stage = stage.with_words(model.tokenizer, model.num_words)
        self.graph, self.stage = graph, stage
        self.options, self.accelerator = options, accelerator
        make_ready(model, graph, stage, options.seed)
        self.learner = MultiTaskModule(model, stage.objectives, stage.balance, options.seed)
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
        self.watch = BestCheckpoint(options.watch, stage.patience)
        self.average: Average | None = None
        self.epoch, self.step, self.done, self.stopped = 0, 0, 0, False
        self.due = False  # a validation
        self.saved = 0  # steps at the last checkpoint
        self.base = model.base

    @cached_property
    def fixed(self) -> set[str]:
        """Names of weights that are still those of the model's base and do not train."""
        if self.base is None:
            return set()
        frozen = self.groups.frozen
        trained = [name for name, _ in self.learner.named_parameters() if name not in frozen]
        return self.base.unchanged(self.learner.state_dict(), trained)

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
            checkpoint: The checkpoint to resume from.
            save: Called where a checkpoint is due.
            shown: Told every step.
        """
        options = self.options
        described = self.stage.name, self.stage.strategy.name, self.trained
        logger.info("stage %s, strategy %s:\n%s", *described)
        if checkpoint is None:
            start_anew(self.learner, self.graph, self.stage.strategy, options.seed)
            take_heads(self.learner, self.stage.strategy)
        if not self.groups.trained:
            yield from self._validated_only(validate)
            return
        with only_trained(self.learner, self.groups):
            self.fitting = OptimizerLoop(
                self.learner, self.stage, self.groups, self.total, options.seed, self.accelerator
            )
            if options.average:
                self.average = Average(self.learner.named_parameters(), options.average)
            self.meter = Meter(self.total)
            if checkpoint is not None:
                self._load(checkpoint)
                self.due = self.due and validate is not None
            with deferred():
                while (self.done < self.total or self.due) and not self.stopped:
                    if not self.due:
                        yield from self._steps_of_epoch(save, shown)
                        if self.step == self.loader.steps(self.epoch):
                            self.epoch, self.step = self.epoch + 1, 0
                        ends = self.done >= self.total
                        whole = self.epoch % self.stage.validate_every == 0
                        self.due = validate is not None and (ends or whole)
                        self._stop_on_signal(save)
                    if validate is not None and self.due:
                        yield self._validated(validate, save)
                    self._save(save)
                    self._stop_on_signal(save)
            self._finish()

    def _validated_only(self, validate: Validate | None) -> Iterator[Row]:
        """Validate without a step, for a stage in which no parameter trains."""
        self.learner.to(self.accelerator.device)
        if validate is not None:
            yield self._validated(validate)
        self.learner.eval()

    def _save(self, save: Callable[["StageRun"], None]) -> None:
        if self.done != self.saved:  # else only a validation is new, which is repeated
            save(self)
            self.saved = self.done

    def _stop_on_signal(self, save: Callable[["StageRun"], None]) -> None:
        """Save a checkpoint and stop if any process received a signal.

        Raises:
            Interrupted: After the checkpoint is saved.
        """
        number = waiting_signal()
        if catches_signals() and self.accelerator.num_processes > 1:
            signals = torch.tensor(number, device=self.accelerator.device)
            number = int(self.accelerator.gather(signals).max())
        if number:
            self._save(save)
            raise Interrupted(number)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of a checkpoint of the stage."""
        optimizer, _ = save_optimizer(self.fitting.plain_optimizer)
        weights = self.learner.state_dict()
        changed = {name: each for name, each in weights.items() if name not in self.fixed}
        tensors = _under("learner", changed) | _under("optimizer", optimizer)
        if self.average is not None:
            tensors |= _under("average", self.average.tensors())
        for label, state in self.learner.states.items():
            tensors |= _under(f"state/{label}", state.state_dict())
        return tensors | _under("best", self.watch.weights)

    def state(self) -> dict[str, Any]:
        """Return the JSON part of a checkpoint of the stage."""
        _, optimizer = save_optimizer(self.fitting.plain_optimizer)
        scaler = self.accelerator.scaler
        return {
            "epoch": self.epoch,
            "step": self.step,
            "done": self.done,
            "stopped": self.stopped,
            "due": self.due,
            "meter": self.meter.state(),
            "watch": self.watch.state(),
            "heads": {
                label: head_config(head)
                for label, head in self.learner.model.labelled_heads().items()
            },
            "optimizer": optimizer,
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    def _load(self, checkpoint: Checkpoint) -> None:
        state, tensors = checkpoint.state["run"], checkpoint.tensors
        self.epoch, self.step, self.done = state["epoch"], state["step"], state["done"]
        self.stopped, self.due = state["stopped"], state.get("due", False)
        self.saved = self.done
        self.meter = Meter(self.total, self.done)
        if "meter" in state:  # checkpoints of older versions have none
            self.meter.load(state["meter"])
        self.learner.model.make_heads(state["heads"])  # heads of earlier stages too
        weights = _of("learner", tensors)
        if self.base is not None:
            weights = self.base.completed(weights, self.learner.state_dict())
        self.learner.load_state_dict(weights)
        for label, objective_state in self.learner.states.items():
            objective_state.load_state_dict(_of(f"state/{label}", tensors))
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
        """Take the remaining steps of the epoch, at most those of the stage."""
        batches = self.loader.epoch(self.epoch, self.step)
        meter, whole = self.meter, self.loader.steps(self.epoch)
        meter.restart_clock()
        every, due = self.options.log_every, self.options.checkpoint_every
        while micros := list(islice(batches, self.stage.accumulate)):
            stepped = self.fitting.step(self.done, self.epoch, micros)
            if self.average is not None:
                self.average.update()
            self.step, self.done = self.step + 1, self.done + 1
            meter.add(stepped.losses, stepped.tokens, stepped.waste)
            if shown is not None:
                shown.step(self.done)
            ends = self.step == whole or self.done == self.total
            if ends or self.done % every == 0:
                summary = meter.take(self.done)
                if shown is not None:
                    shown.row(summary)
                yield self._place() | self._row(summary, stepped)
            if ends:
                break
            if due and self.done % due == 0:
                self._save(save)
            self._stop_on_signal(save)

    def _validated(
        self, validate: Validate, save: Callable[["StageRun"], None] | None = None
    ) -> Row:
        self.learner.eval()
        metrics: dict[str, float] = {}
        interrupted: Interrupted | None = None
        with torch.no_grad(), self._averaged():
            try:
                # Several processes stop together, which they agree on after it.
                with deferred(self.accelerator.num_processes > 1):
                    values = validate(self.learner.model)
                    metrics = {name: float(value) for name, value in values.items()}
            except Interrupted as error:
                interrupted = error
            else:
                self.stopped = self.watch.see(metrics, self.learner, self.fixed)
        if interrupted is not None:
            if save is not None:
                self._save(save)  # the steps of the epoch, which is validated when the run goes on
            raise interrupted
        self.due = False
        return self._place() | {f"valid/{name}": value for name, value in metrics.items()}

    def _finish(self) -> None:
        """Put the final weights into the model: the best, the averaged or the last ones."""
        if self.watch.weights:
            self.watch.restore(self.learner)
        elif self.average is not None:
            self.average.settle()
        self.learner.eval()

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.swapped()

    def _place(self) -> Row:
        return {"stage": self.stage.name, "epoch": self.epoch, "stage_step": self.done}

    def _row(self, summary: Summary, stepped: StepResult) -> Row:
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
