"""A recipe as data: a data set, a model, training stages and an evaluation."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from graphrec_pt.core.errors import GraphRecError, raise_all
from graphrec_pt.core.registry import FAMILY_IN_SCHEMA, config_of, name_of
from graphrec_pt.data.card import load_card
from graphrec_pt.evaluation.baseline import Baseline, baseline
from graphrec_pt.evaluation.metric import measures
from graphrec_pt.evaluation.task import RankingConfig, Task, TaskField, task
from graphrec_pt.evaluation.values import ValueBaseline, value_baseline
from graphrec_pt.graph.derive import DerivationField
from graphrec_pt.graph.protocol import DEFAULT_SPLIT, ProtocolField, SplitProtocol
from graphrec_pt.graph.schema import Strict
from graphrec_pt.models.model_config import ModelConfig
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage

MOVED = {
    "rerank": "rerank: of the last stage's objective, such as {name: link, rerank: 20}",
    "scoring": "link or answer with rerank: 0, or fusion with scoring: towers, in the last stage",
}
"""Options that evaluations once had, and where they are now."""
RANKING = "ranking"
"""The default task."""


def _of_task(config: Any, info: ValidationInfo) -> Any:
    """Return the baseline that a config describes, of the family of the task."""
    return info.data["task"].family.build(config) if "task" in info.data else config


BaselineField = Annotated[
    Baseline | ValueBaseline,
    PlainValidator(_of_task),
    PlainSerializer(config_of),
    WithJsonSchema(
        {"anyOf": [{FAMILY_IN_SCHEMA: f.family} for f in (baseline, value_baseline)]},
        mode="validation",
    ),
]
"""Type of a config field that holds a baseline of the task beside it."""


class Data(Strict):
    """The data set of a recipe.

    Args:
        card: Name of a shipped card, or a card's YAML file.
        graph: Folder of a saved graph, in place of a card.
        without: Relations of the card that are left out; by default those that were collected over
            all time, as they may tell of held-out events, and none for ``[]``.
        split: Name or config of the protocol; that of the card by default, else leave-one-out.
        seed: Seed of the permutation of ids and of protocols that draw.
        derive: Names or configs of relations to compute from the interactions, beside those of the
            card; each view of the split has them of its own edges.
    """

    card: str | None = None
    graph: str | None = None
    without: tuple[str, ...] | None = None
    split: ProtocolField = Field(None, validate_default=True)
    seed: int = Field(0, ge=0)
    derive: tuple[DerivationField, ...] = ()

    @field_validator("split", mode="before")
    @classmethod
    def _of_card(cls, config: object, info: ValidationInfo) -> object:
        if config is not None:
            return config
        return _split_of_card(info.data.get("card")) or DEFAULT_SPLIT

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.card is None) == (self.graph is None):
            got = "neither" if self.card is None else "both"
            raise GraphRecError("data", "a card or a graph", got)
        if self.without and self.card is None:
            raise GraphRecError("data.without", "a card, whose relations it names", "a graph")
        return self


def _split_of_card(card: str | None) -> SplitProtocol | None:
    """Return the protocol of a card; None where it has none, and where there is no such card."""
    try:
        return None if card is None else load_card(card).split
    except GraphRecError:  # reading the data raises it
        return None


class OtherData(Data):
    """Another data set, for the zero-shot test of a trained model.

    Args:
        raw: Folder of raw files; without it they are downloaded.
    """

    raw: str | None = None


class Evaluation(Strict):
    """The evaluation of a recipe, at validation and at test.

    Args:
        task: Name or config of what is asked of held-out targets: their place among the whole
            catalogue (``ranking``), their ``rating``, whether they are a ``click``, or the
            whole set of a source (``sets``).
        metrics: Names such as ``ndcg@10``; those of the task by default.
        seen: Whether what a source has met before is left out or kept; where the data has repeats
            the other policy is reported beside it.
        baselines: Names or configs; every one that fits the data by default.
        scratch: Also train a control from scratch, which skips the stages before the first with
            another strategy than ``pretrain``.
        equal_budget: Let the control take the optimiser steps of the skipped stages too.
        transfer: Other data that the trained model is also tried on, without a step of training
            there (zero-shot).
    """

    task: TaskField = Field(RANKING, validate_default=True)
    metrics: tuple[str, ...] = Field((), validate_default=True)
    seen: SeenPolicy = "mask"
    baselines: tuple[BaselineField, ...] | None = None
    scratch: bool = True
    equal_budget: bool = False
    transfer: OtherData | None = None

    @property
    def asked(self) -> Task:
        """The task."""
        return self.task

    @property
    def policy(self) -> RankingConfig:
        """The ranking policy."""
        return RankingConfig(self.seen)

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, content: Any) -> Any:
        """Raise for options that moved to objectives."""
        if isinstance(content, dict) and (moved := MOVED.keys() & content.keys()):
            raise_all(
                [
                    GraphRecError(f"evaluate.{name}", "an option of the objective", "it here", hint)
                    for name, hint in MOVED.items()
                    if name in moved
                ]
            )
        return content

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "task" not in info.data:  # told already
            return names
        chosen = info.data["task"]
        for name in names:
            if measures(name) != chosen.outcome:
                hint = ", ".join(chosen.metrics)
                raise GraphRecError("metrics", f"metrics of {name_of(chosen)}", name, hint)
        return names or chosen.metrics


class Recipe(Strict):
    """A published system, or one of your own, as data.

    Args:
        name: A short name.
        title: The system in a line.
        paper: To cite.
        notes: What was re-derived, and what to know.
        data: What is learned from.
        model: Its shape.
        start: Folder of a saved model, such as ``runs/NAME/pretrained``, in place of the stages of
            pre-training; it may come from another data set.
        stages: Of training, in order, with different names; the last one teaches what is asked.
        budget: Optimiser steps of all stages together: a last one without `steps` of its own takes
            what the others leave.
        evaluate: What is measured.
        seeds: One run each; weights, batches and dropout depend on them, the data does not.
        options: Options of every run.
        quick: Options to change for the quick setting, which takes minutes on two cores, such as
            ``stages.0.epochs=3``: ``graphrec run NAME --quick``.
        setting: Whether this is the full course or the quick setting; reports say which.
    """

    name: str
    title: str = ""
    paper: str = ""
    notes: tuple[str, ...] = ()
    data: Data
    model: ModelConfig = Field(default_factory=ModelConfig)
    start: str | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)
    budget: int | None = Field(None, ge=1)
    evaluate: Evaluation = Field(default_factory=Evaluation)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    options: Options = Options()
    quick: tuple[str, ...] = ()
    setting: Literal["full", "quick"] = "full"

    @model_validator(mode="before")
    @classmethod
    def _watched(cls, content: Any) -> Any:
        """Take the metric for model selection from the task, where the recipe sets none."""
        if not isinstance(content, dict):
            return content
        options, evaluate = content.get("options", {}), content.get("evaluate", {})
        if not isinstance(evaluate, dict | Evaluation):
            return content  # told elsewhere
        chosen_task = evaluate.get("task", RANKING) if isinstance(evaluate, dict) else evaluate.task
        name = chosen_task.get("name") if isinstance(chosen_task, dict) else chosen_task
        if not isinstance(options, dict) or name not in task.names():
            return content  # told elsewhere
        return {**content, "options": {"watch": task.get(name).watch, **options}}

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise GraphRecError("seeds", "different whole numbers from 0", list(seeds))
        return seeds

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        errors = []
        names = [stage.name for stage in self.stages]
        for name in sorted({name for name in names if names.count(name) > 1}):
            errors.append(GraphRecError("stages", "stages of different names", repr(name), "name:"))
        try:
            self.evaluate.asked.check(self.stages[-1])
        except GraphRecError as error:
            who = f"stages.{len(names) - 1}"
            errors.append(GraphRecError(who, error.expected, error.got, error.hint))
        if self.options.seed:
            got = f"options.seed: {self.options.seed}"
            errors.append(
                GraphRecError("recipe", "seeds in a list of their own", got, "seeds: [0]")
            )
        watched, metrics = self.options.watch, self.evaluate.metrics
        if watched is not None and watched not in metrics:
            expected = f"one of the metrics ({', '.join(metrics)})"
            errors.append(GraphRecError("options.watch", expected, repr(watched)))
        raise_all(errors)
        return self

    def resolved(self) -> dict[str, Any]:
        """Return the YAML-ready form with every default filled in; it resolves to itself."""
        return self.model_dump(mode="json")
