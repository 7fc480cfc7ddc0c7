"""A recipe as data: a data set, a model, stages of training, and what is measured."""

from typing import Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from graphrec_pt.core.errors import ConfigErrors, GraphRecError, raise_all
from graphrec_pt.evaluation.metric import measures
from graphrec_pt.evaluation.task import Policy, Task, task
from graphrec_pt.features.node_features import Features
from graphrec_pt.graph.derive import derivation
from graphrec_pt.graph.protocol import protocol
from graphrec_pt.graph.schema import Strict
from graphrec_pt.models.backbone import backbone
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage

MOVED = {
    "rerank": "rerank: of the last stage's objective, such as {name: link, rerank: 20}",
    "scoring": "link or answer with rerank: 0, or fusion with scoring: towers, in the last stage",
}
"""Options that evaluations once had, and where they are now."""
RANKING = "ranking"
"""What is asked of held-out targets, unless a recipe says otherwise."""


class Data(Strict):
    """What is learned from.

    Args:
        card: Name of a shipped card, or a card's YAML file.
        graph: Folder of a saved graph, in place of a card.
        without: Relations of the card that are left out; by default those that were collected over
            all time, as they may tell of held-out events, and none for ``[]``.
        split: Name or config of the protocol.
        seed: Of the permutation of ids and of protocols that draw.
        derive: Names or configs of relations to compute from the interactions, beside those of the
            card; each view of the split has them of its own edges.
    """

    card: str | None = None
    graph: str | None = None
    without: tuple[str, ...] | None = None
    split: Any = Field("leave_one_out", validate_default=True)
    seed: int = Field(0, ge=0)
    derive: tuple[Any, ...] = ()

    @field_validator("split")
    @classmethod
    def _known(cls, config: Any) -> Any:
        return protocol.config(protocol.build(config))

    @field_validator("derive")
    @classmethod
    def _derivations(cls, configs: tuple[Any, ...]) -> Any:
        return tuple(derivation.config(derivation.build(config)) for config in configs)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.card is None) == (self.graph is None):
            got = "neither" if self.card is None else "both"
            raise GraphRecError("data", "a card or a graph", got)
        if self.without and self.card is None:
            raise GraphRecError("data.without", "a card, whose relations it names", "a graph")
        return self


class OtherData(Data):
    """Data that a trained model is tried on.

    Args:
        raw: Folder of raw files; without it they are downloaded.
    """

    raw: str | None = None


class Architecture(Strict):
    """Shape of the model; see :class:`~graphrec_pt.models.model_config.ModelConfig`.

    Args:
        features: Of the nodes.
        backbone: Name or config.
        text: Size of the text vocabulary.
        prompts: Number of learned prompt tokens that linearizers may place.
    """

    features: Features = Features()
    backbone: Any = Field("graph_transformer", validate_default=True)
    text: int = Field(0, ge=0)
    prompts: int = Field(0, ge=0)

    @field_validator("features")
    @classmethod
    def _features(cls, features: Features) -> Features:
        return Features(**features.config())

    @field_validator("backbone")
    @classmethod
    def _backbone(cls, config: Any) -> Any:
        return backbone.config(backbone.build(config))


class Evaluation(Strict):
    """What is measured, at validation and at test.

    Args:
        task: Name or config of what is asked of held-out targets: their place among the whole
            catalogue (``ranking``), their ``rating``, whether they are a ``click``, or the
            whole set of a source (``sets``).
        metrics: Names such as ``ndcg@10``; those of the task by default.
        seen: Whether what a source has met before is left out or kept; where the data has repeats
            the other policy is reported beside it.
        baselines: Names or configs; every one that fits the data by default.
        scratch: Also train a twin that skips the stages before the first with another strategy
            than ``pretrain``.
        equal_budget: Let the twin take the optimiser steps of the skipped stages in its last one.
        transfer: Other data that the trained model is also tried on, without a step of training
            there (zero-shot).
    """

    task: Any = Field(RANKING, validate_default=True)
    metrics: tuple[str, ...] = Field((), validate_default=True)
    seen: SeenPolicy = "mask"
    baselines: tuple[Any, ...] | None = None
    scratch: bool = True
    equal_budget: bool = False
    transfer: OtherData | None = None

    @property
    def asked(self) -> Task:
        """The task."""
        return task.build(self.task)

    @property
    def policy(self) -> Policy:
        """How a catalogue is ranked."""
        return Policy(self.seen)

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, content: Any) -> Any:
        """Raise for options that are those of objectives now."""
        if isinstance(content, dict) and (moved := MOVED.keys() & content.keys()):
            raise_all(
                [
                    GraphRecError(f"evaluate.{name}", "an option of the objective", "it here", hint)
                    for name, hint in MOVED.items()
                    if name in moved
                ]
            )
        return content

    @field_validator("task")
    @classmethod
    def _task(cls, config: Any) -> Any:
        return task.config(task.build(config))

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "task" not in info.data:  # told already
            return names
        chosen = task.build(info.data["task"])
        for name in names:
            if measures(name) != chosen.outcome:
                hint = ", ".join(chosen.metrics)
                raise GraphRecError(
                    "metrics", f"metrics of {info.data['task']['name']}", name, hint
                )
        return names or chosen.metrics

    @field_validator("baselines")
    @classmethod
    def _baselines(cls, configs: tuple[Any, ...] | None, info: ValidationInfo) -> Any:
        if configs is None or "task" not in info.data:
            return configs
        family = task.build(info.data["task"]).family
        return tuple(family.config(family.build(config)) for config in configs)


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
        options: Of every run.
    """

    name: str
    title: str = ""
    paper: str = ""
    notes: tuple[str, ...] = ()
    data: Data
    model: Architecture = Architecture()
    start: str | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)
    budget: int | None = Field(None, ge=1)
    evaluate: Evaluation = Evaluation()
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    options: Options = Options()

    @model_validator(mode="before")
    @classmethod
    def _watched(cls, content: Any) -> Any:
        """Let a task say what the best model is chosen by, where the recipe does not."""
        if not isinstance(content, dict):
            return content
        options, evaluate = content.get("options", {}), content.get("evaluate", {})
        asked = evaluate.get("task", RANKING) if isinstance(evaluate, dict) else evaluate.task
        name = asked.get("name") if isinstance(asked, dict) else asked
        if not isinstance(options, dict) or name not in task.names():
            return content  # told elsewhere
        return {**content, "options": {"watch": task.get(name).watch, **options}}

    @field_validator("stages", mode="before")
    @classmethod
    def _stages(cls, configs: Any) -> Any:
        if not isinstance(configs, list | tuple):
            raise GraphRecError("stages", "a list of stages", type(configs).__name__)
        found: list[GraphRecError] = []
        stages = []
        for number, config in enumerate(configs):
            try:
                stages.append(_stage(config, f"stages.{number}"))
            except ConfigErrors as errors:
                found += errors.errors
            except GraphRecError as error:
                found.append(error)
        raise_all(found)
        return stages

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise GraphRecError("seeds", "different whole numbers from 0", list(seeds))
        return seeds

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = []
        names = [stage.name for stage in self.stages]
        for name in sorted({name for name in names if names.count(name) > 1}):
            found.append(GraphRecError("stages", "stages of different names", repr(name), "name:"))
        try:
            self.evaluate.asked.check(self.stages[-1])
        except GraphRecError as error:
            who = f"stages.{len(names) - 1}"
            found.append(GraphRecError(who, error.expected, error.got, error.hint))
        if self.options.seed:
            got = f"options.seed: {self.options.seed}"
            found.append(GraphRecError("recipe", "seeds in a list of their own", got, "seeds: [0]"))
        watched, metrics = self.options.watch, self.evaluate.metrics
        if watched is not None and watched not in metrics:
            expected = f"one of the metrics ({', '.join(metrics)})"
            found.append(GraphRecError("options.watch", expected, repr(watched)))
        raise_all(found)
        return self

    def resolved(self) -> dict[str, Any]:
        """Return the form with nothing left open: YAML can hold it, and it resolves to itself."""
        plain = self.model_dump(mode="json", exclude={"model", "stages"})
        model = self.model.model_dump(mode="json", exclude={"features"})
        return {
            **{name: plain[name] for name in ("name", "title", "paper", "notes", "data")},
            "model": {"features": self.model.features.config(), **model},
            "start": self.start,
            "stages": [stage.config() for stage in self.stages],
            "budget": self.budget,
            **{name: plain[name] for name in ("evaluate", "seeds", "options")},
        }


def _stage(config: Any, who: str) -> Stage:
    """Return a stage; its mistakes say which of the stages has them."""
    if isinstance(config, Stage):
        return config
    if not isinstance(config, dict):
        raise GraphRecError(who, "a mapping", type(config).__name__, "starting with `sampler:`")
    try:
        return Stage(**config)
    except ConfigErrors as errors:
        raise ConfigErrors([_placed(error, who) for error in errors.errors]) from errors
    except GraphRecError as error:
        raise _placed(error, who) from error


def _placed(error: GraphRecError, who: str) -> GraphRecError:
    inner = error.who.removeprefix("stage").strip()
    return GraphRecError(f"{who} {inner}".strip(), error.expected, error.got, error.hint)
