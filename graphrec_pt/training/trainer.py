"""The trainer: runs stages one after another, keeps checkpoints, resumes to the bit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from graphrec_pt.core.errors import ConfigErrors, GraphRecError, raise_all
from graphrec_pt.core.key import Key
from graphrec_pt.core.scratch import LOCK, locked
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.tokens.linearizer import require
from graphrec_pt.training.batches import roots_of
from graphrec_pt.training.checkpoint import Checkpoint, latest, load_checkpoint, save_checkpoint
from graphrec_pt.training.options import Options, check_same_run, identity_of
from graphrec_pt.training.progress import progress
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.stage_run import Row, StageRun, Validate
from graphrec_pt.training.strategy_run import make_ready, phases
from graphrec_pt.training.tracking import Tracking

CHECKPOINTS = "checkpoint"
"""Folder of the checkpoints inside the folder of a run."""


class Trainer:
    """Trains a model in stages.

    A run is a function of the model's weights, the graph, the stages and the options: killed at
    any moment and resumed, it ends with the same weights, to the bit with ``deterministic`` on
    the same machine. Inside :func:`~graphrec_pt.core.interruption.interruptible` a signal lets the
    step end and saves a checkpoint first. One process at a time may train in a folder.

    Args:
        folder: Where checkpoints and the log go; without one nothing is kept.
        progress: Show a bar on a terminal, lines of logging elsewhere.
        **options: See :class:`~graphrec_pt.training.options.Options`.

    Raises:
        GraphRecError: For unknown or ill-typed options.

    Example:
        >>> rows = Trainer("runs/first", seed=0).fit(model, train, stage)
        >>> [(row["step"], row["stage"]) for row in rows]
        [(1, 'pretrain'), (2, 'pretrain'), (3, 'pretrain')]
    """

    def __init__(
        self, folder: str | Path | None = None, *, progress: bool = False, **options: Any
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.progress = progress
        self.options = Options.checked(options, "trainer")

    def fit(
        self,
        model: Model,
        graph: Graph,
        stages: Stage | Sequence[Stage],
        *,
        validate: Validate | Mapping[str, Validate] | None = None,
        after: Mapping[str, Callable[[Model], None]] | None = None,
        resume: bool = False,
    ) -> list[Row]:
        """Run the stages; the model is trained in place and left in evaluation mode.

        It takes on the prompts and adaptors of their strategies, and keeps the heads of every
        stage as they were last trained: saved with it, they come back with it.

        Args:
            model: Model of the graph.
            graph: The training graph.
            stages: One or more.
            validate: Called with the model after every epoch; returns metrics by name. A stage
                ends with the best weights by the first of them, or by ``watch``. By name of the
                stage where stages differ: one that is not named ends with its last weights.
            after: Called with the model at the end of stages, by their names.
            resume: Go on from the last checkpoint of the folder, if there is one.

        Returns:
            The rows of the log, from where the run began or went on.

        Raises:
            GraphRecError: For stages that do not fit the graph, all mistakes at once; for a
                folder with checkpoints unless `resume`, checkpoints of another run, and a
                folder that another process trains in; for losses that are not finite.
            Interrupted: After a signal, when the checkpoint is saved.
        """
        stages = [stages] if isinstance(stages, Stage) else list(stages)
        check_stages(stages, graph)
        stages = [phase for stage in stages for phase in phases(stage)]
        model.attach_graph(graph)
        identity = identity_of(model, graph, stages, self.options)
        accelerator = _accelerator(self.options)
        rows: list[Row] = []
        with _surroundings(self.options.deterministic, accelerator.device), ExitStack() as opened:
            if self.folder is not None and accelerator.is_main_process:
                place = self.folder / CHECKPOINTS
                opened.enter_context(locked(place / LOCK, self.folder))
            checkpoint = self._checkpoint(resume, identity)
            first, before = 0, 0
            if checkpoint is not None:
                first, before = checkpoint.state["stage"], checkpoint.state["before"]
            tracking = self._tracking(checkpoint, resume, identity, accelerator)
            if tracking is not None:
                opened.enter_context(tracking)
            if self.options.compile:
                _compile(model.backbone)
            for stage in stages[:first]:
                make_ready(model, graph, stage, self.options.seed)
            for index in range(first, len(stages)):
                run = StageRun(model, graph, stages[index], self.options, accelerator)
                save = partial(self._save, accelerator, identity, index, before)
                start = 0 if checkpoint is None else checkpoint.state["run"]["done"]
                shown = progress(run.total, start) if self.progress else nullcontext()
                validation = (
                    validate.get(run.stage.name) if isinstance(validate, Mapping) else validate
                )
                with shown as bar:
                    for row in run(validation, checkpoint, save, bar):
                        step = before + run.done
                        rows.append({"step": step, **row})
                        if tracking is not None:
                            tracking.log(step, row)
                before, checkpoint = before + run.done, None
                if after is not None and run.stage.name in after and accelerator.is_main_process:
                    after[run.stage.name](model)
        return rows

    def _checkpoint(self, resume: bool, identity: dict[str, Any]) -> Checkpoint | None:
        """Return the checkpoint to resume from, None to start anew."""
        if self.folder is None or latest(self.folder / CHECKPOINTS) is None:
            return None
        if not resume:
            hint = "resume=True, or another folder"
            raise GraphRecError(str(self.folder), "a folder without a run", "checkpoints", hint)
        checkpoint = load_checkpoint(self.folder / CHECKPOINTS)
        check_same_run(str(self.folder), checkpoint.state["identity"], identity)
        return checkpoint

    def _save(
        self,
        accelerator: Accelerator,
        identity: dict[str, Any],
        index: int,
        before: int,
        run: StageRun,
    ) -> None:
        if self.folder is not None and accelerator.is_main_process:
            state = {"stage": index, "before": before, "identity": identity, "run": run.state()}
            folder, step = self.folder / CHECKPOINTS, before + run.done
            save_checkpoint(folder, step, run.tensors(), state, self.options.keep)
        accelerator.wait_for_everyone()

    def _tracking(
        self,
        checkpoint: Checkpoint | None,
        resume: bool,
        identity: dict[str, Any],
        accelerator: Accelerator,
    ) -> Tracking | None:
        if self.folder is None or not accelerator.is_main_process:
            return None
        resumed = checkpoint.step if checkpoint is not None else 0 if resume else None
        trackers = self.options.trackers
        due = checkpoint is not None and checkpoint.state["run"].get("due", False)
        return Tracking(self.folder, trackers, config=identity, resumed=resumed, validates=due)


def _accelerator(options: Options) -> Accelerator:
    # The first accelerator of a process decides for all later ones, unless its state is dropped;
    # its device too, which processes that work together keep.
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    AcceleratorState._reset_state(reset_partial_state=not together)
    if options.cpu or not torch.cuda.is_available():
        got = "cpu: true" if options.cpu else "none"
        if options.precision == "fp16":
            raise GraphRecError("trainer", "a GPU for fp16", got, "precision='bf16'")
        if options.sampling == "device":
            raise GraphRecError("trainer", "a GPU for sampling: device", got, "sampling: cpu")
    if options.sampling == "device" and options.workers:
        got = f"workers: {options.workers}"
        raise GraphRecError("trainer", "workers: 0 beside sampling: device", got, "threads")
    # Parameters that no term of a step asks for have no gradient on any rank, as in one process.
    parallel = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        mixed_precision=options.precision, cpu=options.cpu, kwargs_handlers=[parallel]
    )


def _compile(network: nn.Module) -> None:
    """Compile the parts that a network offers for it, else the whole network."""
    fuse = getattr(network, "fuse", None)
    if callable(fuse):
        fuse()
    else:
        network.compile(dynamic=True)


@contextmanager
def _surroundings(deterministic: bool, device: torch.device) -> Iterator[None]:
    """Restore the random state and torch's choice of algorithms after the block.

    On the CPU repeatable algorithms cost nothing to speak of, and are always taken: with several
    threads the gradient of ``x[index]`` otherwise adds up in an order of chance.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch._C._get_deterministic_fill_uninitialized_memory()
    strict = deterministic or (before and not warn)
    with torch.random.fork_rng():
        try:
            torch.use_deterministic_algorithms(
                deterministic or before or device.type == "cpu", warn_only=not strict
            )
            torch._C._set_deterministic_fill_uninitialized_memory(
                fill and (deterministic or before)
            )
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warn)
            torch._C._set_deterministic_fill_uninitialized_memory(fill)


def check_stages(stages: Sequence[Stage], graph: Graph) -> None:
    """Raise unless every objective of every stage finds what it needs in tokens and graph.

    Raises:
        GraphRecError: For tokens that the linearizer does not make, types, relations and
            metapaths that the graph does not have, hard prompts that are none, and roots that
            the sampler cannot take.
    """
    spec = GraphSpec.of(graph)
    errors: list[GraphRecError] = []
    if not stages:
        raise GraphRecError("trainer", "at least one stage", "none")
    for stage in stages:
        here = f"stage {stage.name!r}"
        for term in stage.objectives:
            needs = term.objective.needs
            with _gathering(errors, here):
                require(term.label, stage.reads, needs.kinds, needs.fields)
            with _gathering(errors, f"{here} {term.label}"):
                term.objective.check(spec)
        with _gathering(errors, here):
            stage.reads.check(graph)
        with _gathering(errors, here):
            stage.strategy.check(stage.reads)
            if stage.strategy.init_embeddings_from is not None:
                spec.node_index(stage.strategy.init_embeddings_from.node_type)
        with _gathering(errors, here):
            roots, _ = roots_of(graph, stage.sampler, stage.roots)
            stage.sampler.sample(graph, roots[torch.zeros(1, dtype=torch.int64)], Key(0))
    raise_all(errors)


@contextmanager
def _gathering(errors: list[GraphRecError], here: str) -> Iterator[None]:
    """Collect the errors of a block, prefixed with the place in the stage."""
    try:
        yield
    except ConfigErrors as several:
        errors += [_placed(error, here) for error in several.errors]
    except GraphRecError as error:
        errors.append(_placed(error, here))


def _placed(error: GraphRecError, here: str) -> GraphRecError:
    known = error.who == "graph" or here.endswith(f" {error.who}")
    who = here if known else f"{here} {error.who}"
    return GraphRecError(who, error.expected, error.got, error.hint)
