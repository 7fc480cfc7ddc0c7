"""The batches of a stage: roots, sampling, linearizing, corruption, and the step count.

Roots are sampled and linearized, each objective corrupts the result, and a loader puts the batches
in order; with a budget of tokens, steps are planned by the lengths of the roots.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.key import Key, draw32
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.view import View
from graphrec_pt.objectives.objective import Examples, Objective, TrainingExamples
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.sampling.loader import Batch, Loader
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import Sampler, Sets, kind_of_roots
from graphrec_pt.tokens.batches import bucketed
from graphrec_pt.tokens.linearizer import Linearizer
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage


@dataclass(frozen=True, eq=False)
class Prepared:
    """A batch as the model takes it.

    Args:
        step: Number of the step in its epoch.
        corrupted: For each objective by name.
        sequences: B.
        tokens: T of the longest view of any objective, answers included.
        waste: Share of padding if the batch were padded to its longest sequence.
    """

    step: int
    corrupted: Mapping[str, TrainingExamples]
    sequences: int
    tokens: int
    waste: float

    def to(self, device: torch.device | str) -> "Prepared":
        """Return the same on another device."""
        moved = {name: part.to(device) for name, part in self.corrupted.items()}
        return replace(self, corrupted=moved)


@dataclass(frozen=True, eq=False)
class Preparation:
    """The function that a loader applies to each batch; picklable.

    Args:
        graph: The graph that may be seen, without held-out edges.
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
        views = [view.tokens for each in corrupted.values() for view in each.views]
        length = max([examples.tokens, *views], key=lambda each: len(each.id)).lengths()
        room = int(length.max()) * len(length) if len(length) else 0
        tokens = int(length.sum())
        waste = 1 - tokens / room if room else 0.0
        return Prepared(batch.step, corrupted, len(length), tokens, waste)

    def examples(self, batch: Batch) -> Examples:
        """Return the batch linearized, as every objective gets it."""
        tokens, owner = self._linearized(batch.sample, len(batch.rows), batch.key)

        def resample(roots: Tensor | Sets, exclude: Tensor | None) -> tuple[Tokens, Tensor]:
            options: dict[str, Any] = {} if exclude is None else {"exclude": exclude}
            sample = self.sampler.sample(self.graph, roots, batch.key, **options)
            return self._linearized(sample, len(roots), batch.key)

        return Examples(
            graph=self.graph,
            tokens=tokens,
            owner=owner,
            roots=self.roots[batch.rows],
            draws=SequenceRNG.of(batch.key, batch.rows, owner, batch.step),
            resample=resample,
            exclude=None if self.exclude is None else self.exclude[batch.rows],
        )

    def _linearized(self, sample: Any, roots: int, key: Key) -> tuple[Tokens, Tensor]:
        tokens = self.linearizer.linearize(self.graph, sample, key)
        per_path = isinstance(sample, Paths) and not self.linearizer.joins
        return tokens, sample.root if per_path else torch.arange(roots)


def _rooted(corrupted: TrainingExamples, examples: Examples) -> TrainingExamples:
    """Return views with the roots of their sequences, which personalised prompts need."""
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


def roots_of(
    graph: Graph, chosen: Sampler, where: str | None
) -> tuple[Tensor | Sets, Tensor | None]:
    """Return all roots of an epoch, and the edge to be hidden from each.

    Args:
        graph: The graph that may be seen, without held-out edges.
        chosen: What will sample: it takes nodes, pairs or sets.
        where: A node type: its nodes. A relation: its edges, as pairs for a sampler of pairs,
            else their sources; each edge is hidden from its own example. By default the first
            interaction relation for pairs, and the sources of it, once each, for nodes.

    Returns:
        int64 ``[n]`` or ``[n, 2]``, or Sets of one node; int64 ``[n]`` edge ids or None.

    Raises:
        GraphRecError: For names that the graph does not have, and for no roots at all.
    """
    kind, schema = kind_of_roots(chosen), graph.schema
    if where is None:
        relation = schema.interaction()
        where = relation.name if kind == "pairs" else relation.source
    exclude: Tensor | None = None
    if where in schema.relation_names:
        edges = graph.edges(where)
        roots = torch.stack([edges.source, edges.target], dim=1)
        roots = roots if kind == "pairs" else edges.source
        exclude = edges.edge
    elif where in schema.node_names:
        if kind == "pairs":
            hint = "one of " + ", ".join(schema.relation_names)
            raise GraphRecError("roots", "a relation for a sampler of pairs", repr(where), hint)
        owned = graph.nodes(where)
        roots = torch.arange(owned.start, owned.stop)
    else:
        known = (*schema.node_names, *schema.relation_names)
        hint = did_you_mean(where, known)
        raise GraphRecError("roots", "a node type or a relation", repr(where), hint)
    if not len(roots):
        raise GraphRecError("roots", f"at least one {where!r}", "none")
    if kind == "sets":
        return Sets(roots, torch.arange(len(roots) + 1)), exclude
    return roots, exclude


CHUNK = 1024


def lengths_of(
    graph: Graph,
    chosen: Sampler,
    linear: Linearizer,
    roots: Tensor | Sets,
    exclude: Tensor | None = None,
    seed: int = 0,
    objectives: Iterable[Objective] = (),
) -> Tensor:
    """Return the tokens that each root gives in epoch 0: int64 ``[n]``, at least 1.

    Of several objectives the one counts that reads most.

    Exact for samplers that do not draw (histories); of the others an epoch's lengths are like
    those of another.
    """
    prepare = Preparation(graph, chosen, linear, {}, roots, exclude)
    total = torch.zeros(len(roots), dtype=torch.int64)
    loader = Loader(graph, chosen, roots, CHUNK, seed, exclude=exclude, shuffle=False)
    for batch in loader:
        examples = prepare.examples(batch._replace(key=Key(seed)))
        length = examples.tokens.lengths()
        for each in objectives:
            length = torch.maximum(length, each.lengths(examples))
        total.index_add_(0, batch.rows[examples.owner], length)
    return total.clamp(min=1)


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
        graph: The graph that may be seen, without held-out edges.
        options: Options of the run.
        rank: Which of the processes asks.
        world: How many processes share a step.
        device: Where batches are made; by default where the graph is.
    """
    roots, exclude = _shared(stage, *roots_of(graph, stage.sampler, stage.roots))
    objectives = {term.label: term.objective for term in stage.objectives}
    plan = None
    if stage.tokens is not None:
        given = (graph, stage.sampler, stage.reads, roots, exclude, options.seed)
        together = stage.tokens * stage.accumulate * world
        plan = partial(bucketed, lengths_of(*given, objectives.values()), tokens=together)
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
        transform=Preparation(graph, stage.sampler, stage.reads, objectives, roots, exclude),
    )


def steps_of(stage: Stage, loader: Loader) -> int:
    """Return the number of optimiser steps of a stage."""
    steps = _steps_in(stage.epochs, loader) if stage.steps is None else stage.steps
    return steps if stage.most_epochs is None else min(steps, _steps_in(stage.most_epochs, loader))


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
