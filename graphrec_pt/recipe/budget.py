"""How many steps each stage of a recipe takes, where they share a budget."""

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.training.loading import loader_of, steps_of
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage


def steps_with(stage: Stage, train: Graph, seed: int) -> int:
    """Return how many optimiser steps a stage takes on a training graph."""
    return steps_of(stage, loader_of(stage, train, Options(seed=seed)))


def stages_of(recipe: Recipe, train: Graph, seed: int) -> tuple[Stage, ...]:
    """Return the stages of a recipe, the last with the steps that a budget leaves it.

    Raises:
        GraphRecError: When the others take all of the budget.
    """
    *others, last = recipe.stages
    if recipe.budget is None or last.steps is not None:
        return recipe.stages
    taken = sum(steps_with(stage, train, seed) for stage in others)
    if taken >= recipe.budget:
        got = f"{taken} steps of the other stages"
        raise GraphRecError("budget", f"steps left of {recipe.budget} for {last.name!r}", got)
    return (*others, last.model_copy(update={"steps": recipe.budget - taken}))
