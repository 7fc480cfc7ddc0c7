"""Changing the strategy of a recipe: the same pre-training with another adaptation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import name_of
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.sampling.sampler import kind_of_roots
from graphrec_pt.tokens.linearizer import Linearizer, linearizer
from graphrec_pt.tokens.template import Template
from graphrec_pt.training.stage import LossTerm, Stage
from graphrec_pt.training.strategy import Strategy, strategy
from graphrec_pt.training.strategy_run import trains

Shapes = dict[str, tuple[int, ...]]
PRETRAIN = "pretrain"
"""Strategy of the stages that come before any adaptation."""
NETWORK = "model.backbone.*"
"""Weights to reinitialise where the pre-trained model gives only the first node vectors."""

OPEN = {"trains", "head", "reinit"}
"""Fields of a strategy that are left as they are when one of them is said."""


def pretraining(stages: Sequence[Stage]) -> int:
    """Count the pre-training stages: those before the first that adapts, never the last."""
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


def with_strategy(recipe: Recipe, wanted: Any, graph: Graph) -> Recipe:
    """Return a recipe whose pre-training is adapted by another strategy.

    Every stage after those that pre-train gets it, but one before the last that trains the vectors
    of nodes alone, without a sequence. What a row of the eight leaves open is filled in where a
    stage needs it, unless `wanted` says it:

    * heads train too that the pre-training had none of (those of tuned prompts);
    * ``finetune_extra`` of an objective without weights of its own trains a new backbone on the
      pre-trained vectors (S3-Rec, Zhou et al., CIKM 2020, in the terms of the survey);
    * a hard prompt is ``(user)-[buys]->(MASK:item)``, in the words of the graph, before what the
      stage reads; a strategy that wants none goes without it again. Where a stage tells links from
      the subgraph of a pair, the template asks for the item of the pair, and the head that was
      pre-trained on masked nodes answers.

    Args:
        recipe: With stages that pre-train.
        wanted: Name or config of the strategy.
        graph: Graph of the recipe: its names make the prompt.

    Raises:
        GraphRecError: For a recipe without a pre-training, an unknown strategy, and links that an
            earlier change has put a template's answers in place of.
    """
    first = adapting(recipe)
    chosen = strategy.build(wanted)
    given_options = set(wanted) if isinstance(wanted, Mapping) else set()
    width = recipe.model.backbone.width
    stages = list(recipe.stages[:first])
    for number, stage in enumerate(recipe.stages[first:], start=first + 1):
        if number == len(recipe.stages) or _reads_sequences(stage):
            given = stage, stages, GraphSpec.of(graph), width
            fitted = chosen if given_options & OPEN else _fitted(chosen, *given)
            relation = recipe.data.split.relation
            stage = stage.model_copy(update={"strategy": fitted})
            stage = _with_template(stage, recipe.stages[:first], graph, relation)
        stages.append(stage)
    return recipe.model_copy(update={"stages": tuple(stages)})


def _fitted(
    chosen: Strategy, stage: Stage, before: Sequence[Stage], spec: GraphSpec, width: int
) -> Strategy:
    """Return a strategy whose open options are filled in for a stage."""
    made = _heads(stage, spec, width)
    weighted = {label for label, head in made.items() if head}
    if chosen.trains and all(pattern.startswith("heads") for pattern in chosen.trains):
        return chosen if weighted else replace(chosen, trains=("*",), reinit=(NETWORK,))
    known: dict[str, Shapes] = {}
    for each in before:
        known |= _heads(each, spec, width)
    unknown = {label for label in weighted if known.get(label) != made[label]}
    taught = all(
        trains(f"heads.of_{label}.{name}", chosen) for label in unknown for name in made[label]
    )
    if chosen.head == "kept" and chosen.trains and not taught:
        return replace(chosen, trains=(*chosen.trains, "heads.*"))
    return chosen


def _heads(stage: Stage, spec: GraphSpec, width: int) -> dict[str, Shapes]:
    """Return the shapes of the weights of the heads of a stage, by label."""
    heads = {term.label: term.objective.head(spec, width) for term in stage.objectives}
    return {
        label: {name: tuple(weight.shape) for name, weight in head.state_dict().items()}
        for label, head in heads.items()
    }


def _with_template(
    stage: Stage, before: Sequence[Stage], graph: Graph, relation: str | None
) -> Stage:
    """Return a stage with a template linearizer exactly if its strategy requires one."""
    target = graph.schema.interaction(relation)
    pattern = f"({target.source})-[{target.name}]->(MASK:{target.target})"
    read = stage.linearizer
    if isinstance(read, Template) and read.lead and read.pattern == pattern and read.context:
        read = read.context  # an earlier change put it there
    terms = stage.objectives
    roots = kind_of_roots(stage.sampler)
    if roots in ("nodes", "pairs") and _wants_template(stage.strategy, read):
        if not all(term.objective.allows_template for term in terms):
            who, expected = f"strategy {stage.strategy.name!r}", "sequences or subgraphs to precede"
            got = "paths, which begin with what is asked as they are"
            raise GraphRecError(who, expected, got, "prompt_tune or prompt_and_tune")
        template = {"name": "template", "pattern": pattern, "context": read, "lead": True}
        read = linearizer.build(template)
        if roots == "pairs":
            terms = tuple(_answered(term, before) for term in terms)
    elif roots == "pairs" and read is not stage.linearizer:
        hint = "strategy=… on the run that its pre-training is from"
        raise GraphRecError(
            f"stage {stage.name!r}", "links to be told", "a template's answers", hint
        )
    return stage.model_copy(update={"linearizer": read, "objectives": terms})


def _answered(term: LossTerm, before: Sequence[Stage]) -> LossTerm:
    """Return the term that takes the place of another when a hard prompt asks."""
    earlier = [(other.label, other.objective) for stage in before for other in stage.objectives]
    label, made = term.objective.with_template(earlier)
    if made is term.objective:
        return term
    return term.model_copy(update={"objective": made, "label": label or name_of(made)})


def _wants_template(chosen: Strategy, read: Linearizer) -> bool:
    try:
        chosen.check(read)
    except GraphRecError:
        return True
    return False


def _reads_sequences(stage: Stage) -> bool:
    return any(term.objective.reads_sequences for term in stage.objectives)
