"""What a stage reads: its batches, and how many optimiser steps they are."""

from functools import partial
from math import ceil

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.core.key import Key, draw32
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.loader import Loader
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.batches import bucketed
from graphrec_pt.training.lengths import lengths_of
from graphrec_pt.training.options import Options
from graphrec_pt.training.preparation import Preparation
from graphrec_pt.training.roots import roots_of
from graphrec_pt.training.stage import Stage


def loader_of(
    stage: Stage,
    graph: Graph,
    options: Options,
    rank: int = 0,
    world: int = 1,
    device: torch.device | None = None,
) -> Loader:
    """Return the batches of a stage.

    Args:
        stage: What is sampled, and how much at once.
        graph: What may be seen.
        options: Of the run.
        rank: Which of the processes asks.
        world: How many processes share a step.
        device: Where batches are made; by default where the graph is.
    """
    roots, exclude = _shared(stage, *roots_of(graph, stage.sampler, stage.roots))
    objectives = {term.label: term.objective for term in stage.objectives}
    plan = None
    if stage.tokens is not None:
        given = (graph, stage.sampler, stage.linearizer, roots, exclude, options.seed)
        together = stage.tokens * stage.accumulate * world
        plan = partial(bucketed, lengths_of(*given), tokens=together)
    if device is not None:
        graph, roots = graph.to(device), roots.to(device)
        exclude = None if exclude is None else exclude.to(device)
    return Loader(
        graph,
        stage.sampler,
        roots,
        None if plan else stage.batch,
        options.seed,
        exclude=exclude,
        plan=plan,
        accumulate=stage.accumulate,
        rank=rank,
        world=world,
        workers=options.workers,
        threads=options.threads,
        transform=Preparation(graph, stage.sampler, stage.linearizer, objectives, roots, exclude),
    )


def steps_of(stage: Stage, loader: Loader) -> int:
    """Return how many optimiser steps a stage takes with its batches."""
    asked = _steps_in(stage.epochs, loader) if stage.steps is None else stage.steps
    return asked if stage.most_epochs is None else min(asked, _steps_in(stage.most_epochs, loader))


def _steps_in(epochs: float, loader: Loader) -> int:
    whole = sum(loader.steps(epoch) for epoch in range(int(epochs)))
    part = epochs - int(epochs)
    return whole + (ceil(part * loader.steps(int(epochs))) if part else 0)


def _shared(
    stage: Stage, roots: Tensor | Sets, exclude: Tensor | None
) -> tuple[Tensor | Sets, Tensor | None]:
    """Return the roots that a stage uses, at least one."""
    if stage.share == 1:
        return roots, exclude
    drawn = draw32(Key(0).named("share"), np.arange(len(roots))).astype(np.int64)
    order = torch.from_numpy(np.argsort(drawn, kind="stable"))
    kept = order[: max(round(stage.share * len(roots)), 1)].sort().values
    return roots[kept], None if exclude is None else exclude[kept]
