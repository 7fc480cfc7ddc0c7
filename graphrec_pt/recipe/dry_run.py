"""A dry run: everything that can go wrong before training, and the size of what would be done."""

from dataclasses import dataclass
from pathlib import Path

from graphrec_pt.core.registry import name_of
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.data import CACHE
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.recipe.run import prepare
from graphrec_pt.recipe.train import new_model, stages_of, steps_with

STATES = 4
"""Numbers that AdamW needs per weight: the weight, its gradient and two averages."""


@dataclass(frozen=True)
class Course:
    """One stage of a recipe as it would run.

    Args:
        name: Name of the stage.
        strategy: Name of its strategy.
        steps: Optimiser steps at most; a stage with patience may stop earlier.
    """

    name: str
    strategy: str
    steps: int


@dataclass(frozen=True)
class DryRun:
    """What a recipe would do with its data.

    Args:
        nodes: Nodes of the graph.
        edges: Stored edges of the graph that is trained on.
        valid: Validation targets.
        test: Test targets.
        stages: The stages in order.
        parameters: Weights of the model without those of heads.
        memory: Bytes of weights, gradients and optimiser states; activations come on top.
    """

    nodes: int
    edges: int
    valid: int
    test: int
    stages: tuple[Course, ...]
    parameters: int
    memory: int


def dry_run(
    recipe: Recipe,
    *,
    raw: str | Path | None = None,
    graph: Graph | None = None,
    cache: Path = CACHE,
) -> DryRun:
    """Build and split the data of a recipe, check that all of it fits, and train nothing.

    Args:
        recipe: What would be done.
        raw: Folder of raw files; without it they are downloaded.
        graph: The whole graph that the recipe names, where it is at hand already.
        cache: Where downloads are kept.

    Raises:
        GraphRecError: For every mistake at once, as :func:`~graphrec_pt.recipe.run.run_recipe`.
    """
    made = prepare(recipe, raw, graph, cache=cache).split
    seed = recipe.seeds[0]
    model = new_model(recipe, made, seed)
    courses = tuple(
        Course(
            stage.name,
            name_of(stage.strategy),
            steps_with(stage, made.train, seed),
        )
        for stage in stages_of(recipe, made.train, seed)
    )
    size = model.num_parameters
    bytes_of = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return DryRun(
        made.graph.num_nodes(),
        made.train.num_edges(),
        len(made.valid),
        len(made.test),
        courses,
        size,
        STATES * bytes_of,
    )
