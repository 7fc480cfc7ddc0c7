"""Another strategy for a recipe: the same pre-training, adapted in another of the eight ways."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.backbone import backbone
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.sampling.sampler import kind_of_roots
from graphrec_pt.tokens.linearizer import Linearizer, linearizer
from graphrec_pt.tokens.template import Template
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.strategy import Strategy, strategy
from graphrec_pt.training.strategy_run import trains

PRETRAIN = "pretrain"
"""Strategy of the stages that come before any adaptation."""
NETWORK = "model.backbone.*"
"""What is new where a pre-trained model gives nothing but the first vectors of nodes."""

OPEN = {"trains", "head", "reset"}
"""Fields of a strategy that are left as they are when one of them is said."""


def pretraining(stages: Sequence[Stage]) -> int:
    """Return how many stages pre-train: those before the first that adapts, never the last."""
    adapts = (n for n, stage in enumerate(stages) if stage.strategy.name != PRETRAIN)
    return next(adapts, len(stages) - 1)


def adapting(recipe: Recipe) -> int:
    """Return the number of the first stage that adapts what those before it pre-trained.

    Raises:
        GraphRecError: For a recipe without a pre-training.
    """
    first = pretraining(recipe.stages)
    if not first:
        names = ", ".join(stage.name for stage in recipe.stages)
        hint = "stages.0.strategy=…, which needs no pre-training"
        expected = "a recipe whose first stages pre-train"
        raise GraphRecError(f"strategy of {recipe.name!r}", expected, f"stages {names}", hint)
    return first


def swap(recipe: Recipe, wanted: Any, graph: Graph) -> Recipe:
    """Return a recipe whose pre-training is adapted by another strategy.

    Every stage after those that pre-train gets it, but one before the last that trains the vectors
    of nodes alone, without a sequence. What a row of the eight leaves open is filled in where a
    stage needs it, unless `wanted` says it:

    * heads train too that the pre-training had none of (those of tuned prompts);
    * ``finetune_extra`` of an objective without weights of its own trains a new backbone on the
      pre-trained vectors (S3-Rec, Zhou et al., CIKM 2020, in the terms of the survey);
    * a hard prompt is ``(user)-[buys]->(MASK:item)``, in the words of the graph, before what the
      stage reads; a strategy that wants none goes without it again.

    Args:
        recipe: With stages that pre-train.
        wanted: Name or config of the strategy.
        graph: Of the recipe: its names make the prompt.

    Raises:
        GraphRecError: For a recipe without a pre-training, and an unknown strategy.
    """
    first = adapting(recipe)
    chosen = strategy.build(wanted)
    said = set(wanted) if isinstance(wanted, Mapping) else set()
    width = backbone.build(recipe.model.backbone).width
    stages = list(recipe.stages[:first])
    for number, stage in enumerate(recipe.stages[first:], start=first + 1):
        if number == len(recipe.stages) or _reads_sequences(stage):
            given = stage, stages[-1], Outline.of(graph), width
            fitted = chosen if said & OPEN else _fitted(chosen, *given)
            relation = recipe.data.split.get("relation")
            stage = _asked(stage.model_copy(update={"strategy": fitted}), graph, relation)
        stages.append(stage)
    return recipe.model_copy(update={"stages": tuple(stages)})


def _fitted(
    chosen: Strategy, stage: Stage, before: Stage, outline: Outline, width: int
) -> Strategy:
    """Return a strategy with what it leaves open, as a stage needs it."""
    made = {
        term.label: term.objective.head(outline, width).state_dict() for term in stage.objectives
    }
    weighted = {label for label, head in made.items() if head}
    if chosen.trains and all(pattern.startswith("heads") for pattern in chosen.trains):
        return chosen if weighted else replace(chosen, trains=("*",), reset=(NETWORK,))
    unknown = weighted - {term.label for term in before.objectives}
    taught = all(
        trains(f"heads.of_{label}.{name}", chosen) for label in unknown for name in made[label]
    )
    if chosen.head == "kept" and chosen.trains and not taught:
        return replace(chosen, trains=(*chosen.trains, "heads.*"))
    return chosen


def _asked(stage: Stage, graph: Graph, relation: str | None) -> Stage:
    """Return a stage that reads a template where its strategy wants one, and only then."""
    found = graph.schema.interaction(relation)
    pattern = f"({found.source})-[{found.name}]->(MASK:{found.target})"
    read = stage.linearizer
    if isinstance(read, Template) and read.lead and read.pattern == pattern and read.before:
        read = read.before  # an earlier swap put it there
    if kind_of_roots(stage.sampler) == "nodes" and _wants_template(stage.strategy, read):
        context = linearizer.config(read)
        template = {"name": "template", "pattern": pattern, "context": context, "lead": True}
        read = linearizer.build(template)
    return stage.model_copy(update={"linearizer": read})


def _wants_template(chosen: Strategy, read: Linearizer) -> bool:
    try:
        chosen.check(read)
    except GraphRecError:
        return True
    return False


def _reads_sequences(stage: Stage) -> bool:
    pairs = (getattr(term.objective, "pairs", None) for term in stage.objectives)
    return not all(getattr(each, "user", None) == "vector" for each in pairs)
