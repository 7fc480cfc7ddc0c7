"""Whether a model has room for the places of its tokens, found out before any training."""

from collections.abc import Iterator

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, raise_all
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.token_embedding import structure_of
from graphrec_pt.models.view import View
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.sampling.loader import Loader
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.batches import Preparation, roots_of
from graphrec_pt.training.stage import Stage

ROOTS = 64
"""Roots of each stage that are sampled: every n-th, from the first to the last."""


def check_places(recipe: Recipe, train: Graph) -> None:
    """Raise unless the sizes of ``model.backbone.structure`` suffice for a batch of every stage.

    A small batch of each stage is sampled, linearized and corrupted as in training. A size that
    suffices for it may still be too small for another root; training then says so.

    Args:
        recipe: What to do.
        train: The training graph.

    Raises:
        GraphRecError: With the sizes that are needed, of all stages at once.
    """
    sizes = {name: size for name, size in recipe.model.structure.items() if size is not None}
    if not sizes:
        return
    words, seed = recipe.model.tokenizer(train), recipe.seeds[0]
    needed = dict.fromkeys(sizes, 0)
    stages: dict[str, list[str]] = {name: [] for name in sizes}
    for stage in recipe.stages:
        if not stage.strategy.trains:  # learns nothing, so no batch is ever made
            continue
        complete = stage if words is None else stage.with_words(words, len(words))
        for tokens in _tokens_of(complete, train, seed):
            for name, column in structure_of(tokens, sizes).items():
                values = int(column.max()) + 1 if len(column) else 0
                needed[name] = max(needed[name], values)
                if values > sizes[name] and stage.name not in stages[name]:
                    stages[name].append(stage.name)
    raise_all(
        [
            GraphRecError(
                f"model.backbone.structure.{name}",
                f"at least {needed[name]} for the tokens of {', '.join(stages[name])}",
                size,
                f"model.backbone.structure.{name}={needed[name]}",
            )
            for name, size in sizes.items()
            if needed[name] > size
        ]
    )


def _tokens_of(stage: Stage, train: Graph, seed: int) -> Iterator[Tokens]:
    """Return the tokens that a model reads of a small batch of a stage."""
    roots, exclude = roots_of(train, stage.sampler, stage.roots)
    rows = torch.linspace(0, len(roots) - 1, min(ROOTS, len(roots))).long()
    few: Tensor | Sets = roots[rows]
    hidden = None if exclude is None else exclude[rows]
    objectives = {term.label: term.objective for term in stage.objectives}
    prepare = Preparation(train, stage.sampler, stage.reads, objectives, few, hidden)
    loader = Loader(
        train, stage.sampler, few, len(rows), seed, exclude=hidden, threads=0, transform=prepare
    )
    views: list[View] = []
    for batch in loader.epoch(0):
        for examples in batch.corrupted.values():
            views += examples.views
    return iter([view.tokens for view in views])
