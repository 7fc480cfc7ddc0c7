"""Training the models of a recipe: all stages, from a pre-training, or from scratch."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import Split
from graphrec_pt.models.model import Model
from graphrec_pt.recipe.pretrained import (
    Pretrained,
    find_pretrained,
    first_model,
    keep_pretrained,
    pretrained_of,
)
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.recipe.reuse import reuse_control
from graphrec_pt.recipe.with_strategy import PRETRAIN, pretraining
from graphrec_pt.tokens.words import Words
from graphrec_pt.training.batches import loader_of, steps_of
from graphrec_pt.training.options import Options, identity_of
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.stage_run import Validate
from graphrec_pt.training.strategy import strategy
from graphrec_pt.training.strategy_run import phases
from graphrec_pt.training.trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Training:
    """The training of one seed of a recipe.

    Args:
        recipe: What to do.
        made: Split data; training sees its training edges alone.
        seed: Seed of weights, batches and dropout.
        validate: Measures the model after every epoch of the last stage; None for nothing held
            out, which ends with the last weights.
        resume: Go on from the checkpoints of a folder.
        progress: Show bars.
    """

    recipe: Recipe
    made: Split
    seed: int
    validate: Validate | None
    resume: bool = False
    progress: bool = False

    def model(self, folder: Path) -> Model:
        """Return the model of all stages; those of a finished pre-training are not repeated.

        Nor are they where the recipe starts from a saved model.

        Args:
            folder: Of the seed. With the pre-training of another run in it, the stages after that
                are run; otherwise all are, and the pre-training is kept there.
        """
        kept, stages = find_pretrained(folder), stages_of(self.recipe, self.made.train, self.seed)
        if kept is not None and kept.source is not None:
            before, adapted = (
                ", ".join(stage.name for stage in part)
                for part in (stages[: kept.stages], stages[kept.stages :])
            )
            reused = self.seed, before, kept.source, adapted
            logger.info("seed %d: reused: %s of %s; trained: %s", *reused)
            model = kept.model(self.made.train)
            self._train(model, stages[kept.stages :], folder)
            return model
        if self.recipe.start is not None:
            model = first_model(self.recipe, self.made.train, self.seed)
            self._train(model, stages[pretraining(stages) :], folder)
            return model
        model, count = new_model(self.recipe, self.made, self.seed), pretraining(stages)
        after: dict[str, Callable[[Model], None]] = {}
        if count:
            known = identity(model, self.recipe, self.made, self.seed, count)
            after[stages[count - 1].name] = partial(keep_pretrained, folder, known)
        self._train(model, stages, folder, after)
        return model

    def control(self, folder: Path, other: Pretrained | None = None) -> Model:
        """Return a model without the pre-training, all of whose weights train.

        Where the recipe asks for a control of equal budget, its last stage is longer by as many
        optimiser steps as the pre-training has.

        Args:
            folder: Of the control.
            other: The pre-training of another run, whose control is taken over if it is the same.
        """
        whole, train = {"strategy": strategy.build(PRETRAIN)}, self.made.train
        stages = stages_of(self.recipe, train, self.seed)
        first = pretraining(stages)
        alone = [stage.model_copy(update=whole) for stage in stages[first:]]
        if self.recipe.evaluate.equal_budget:
            counted = (*stages[:first], alone[-1])
            words = self.recipe.model.tokenizer(train)
            steps = sum(steps_with(stage, train, self.seed, words) for stage in counted)
            alone[-1] = alone[-1].model_copy(update={"steps": steps, "most_epochs": None})
        model = new_model(self.recipe, self.made, self.seed)
        parts = [phase for stage in alone for phase in phases(stage)]
        known = identity_of(model, train, parts, Options(**_options(self.recipe, self.seed)))
        reused = reuse_control(other, folder, known)
        replace(self, resume=self.resume or reused)._train(model, alone, folder)
        return model

    def _train(
        self,
        model: Model,
        stages: Sequence[Stage],
        folder: Path,
        after: Mapping[str, Callable[[Model], None]] | None = None,
    ) -> None:
        """Train a model by some stages."""
        names = ", ".join(stage.name for stage in stages)
        logger.info("seed %d: training %s", self.seed, names)
        options = _options(self.recipe, self.seed)
        trainer = Trainer(folder, progress=self.progress, **options)
        validate = {} if self.validate is None else {stages[-1].name: self.validate}
        given: dict[str, Any] = {"validate": validate, "after": after, "resume": self.resume}
        trainer.fit(model, self.made.train, stages, **given)


def new_model(recipe: Recipe, made: Split, seed: int) -> Model:
    """Return the model of a recipe before any training."""
    words = recipe.model.tokenizer(made.train)
    return Model(recipe.model, GraphSpec.of(made.train), seed, words).attach_graph(made.train)


def identity(model: Model, recipe: Recipe, made: Split, seed: int, stages: int) -> dict[str, Any]:
    """Return the identity of a pre-training: model, data, first stages and options."""
    options = Options(**_options(recipe, seed))
    return identity_of(model, made.train, recipe.stages[:stages], options)


def pretrainings(recipe: Recipe, made: Split, run: str | Path) -> dict[int, Pretrained]:
    """Return the finished pre-trainings of another run by seed.

    Raises:
        GraphRecError: When there is none, or it differs from that of the recipe.
    """
    finished = {seed: pretrained_of(run, seed) for seed in recipe.seeds}
    for seed, each in finished.items():
        model = new_model(recipe, made, seed)
        each.check(identity(model, recipe, made, seed, each.stages))
    return finished


def _options(recipe: Recipe, seed: int) -> dict[str, Any]:
    return {**recipe.options.model_dump(), "seed": seed}


def steps_with(stage: Stage, train: Graph, seed: int, words: Words | None = None) -> int:
    """Return how many optimiser steps a stage takes on a training graph.

    Args:
        stage: The stage.
        train: The graph.
        seed: Of the run.
        words: Tokenizer of the model, if it has one.
    """
    if words is not None:
        stage = stage.with_words(words, len(words))
    return steps_of(stage, loader_of(stage, train, Options(seed=seed)))


def stages_of(recipe: Recipe, train: Graph, seed: int) -> tuple[Stage, ...]:
    """Return the stages of a recipe, the last with the steps that a budget leaves it.

    Raises:
        GraphRecError: When the others take all of the budget.
    """
    *others, last = recipe.stages
    if recipe.budget is None or last.steps is not None:
        return recipe.stages
    words = recipe.model.tokenizer(train)
    taken = sum(steps_with(stage, train, seed, words) for stage in others)
    if taken >= recipe.budget:
        got = f"{taken} steps of the other stages"
        raise GraphRecError("budget", f"steps left of {recipe.budget} for {last.name!r}", got)
    return (*others, last.model_copy(update={"steps": recipe.budget - taken}))
