"""A recipe as data: a data set, a model, stages of training, and what is measured."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from graphrec_pt.core.errors import ConfigErrors, GraphRecError, raise_all
from graphrec_pt.evaluation.baseline import baseline
from graphrec_pt.evaluation.metric import DEFAULT, parse_metric
from graphrec_pt.evaluation.model_scorer import DECODED, PAIRED, READINGS, ranking_term
from graphrec_pt.evaluation.pair_scorer import RERANK
from graphrec_pt.evaluation.seen import SeenPolicy
from graphrec_pt.features.node_features import Features
from graphrec_pt.graph.derive import derivation
from graphrec_pt.graph.protocol import protocol
from graphrec_pt.graph.schema import Strict
from graphrec_pt.models.backbone import backbone
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage

WATCHED = "ndcg@10"
"""What the best model is chosen by, unless a recipe says otherwise."""


class Data(Strict):
    """What is learned from.

    Args:
        card: Name of a shipped card, or a card's YAML file.
        graph: Folder of a saved graph, in place of a card.
        derive: Relations made of training edges; those that the card names by default.
        split: Name or config of the protocol.
        seed: Of the permutation of ids and of protocols that draw.
    """

    card: str | None = None
    graph: str | None = None
    derive: tuple[Any, ...] | None = None
    split: Any = Field("leave_one_out", validate_default=True)
    seed: int = Field(0, ge=0)

    @field_validator("derive")
    @classmethod
    def _derivations(cls, configs: tuple[Any, ...] | None) -> Any:
        if configs is None:
            return None
        return tuple(derivation.config(derivation.build(config)) for config in configs)

    @field_validator("split")
    @classmethod
    def _known(cls, config: Any) -> Any:
        return protocol.config(protocol.build(config))

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.card is None) == (self.graph is None):
            got = "neither" if self.card is None else "both"
            raise GraphRecError("data", "a card or a graph", got)
        return self


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
        metrics: Names such as ``ndcg@10``.
        seen: Whether what a source has met before is left out or kept; where the data has repeats
            the other policy is reported beside it.
        baselines: Names or configs; every one that fits the data by default.
        scratch: Also train a twin that skips the stages before the first with another strategy
            than ``pretrain``.
        rerank: Items of each source that a model of subgraphs puts in order; see
            :class:`~graphrec_pt.evaluation.pair_scorer.PairScorer`.
    """

    metrics: tuple[str, ...] = Field(DEFAULT, min_length=1)
    seen: SeenPolicy = "mask"
    baselines: tuple[Any, ...] | None = None
    scratch: bool = True
    rerank: int = Field(RERANK, ge=1)

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            parse_metric(name)
        return names

    @field_validator("baselines")
    @classmethod
    def _baselines(cls, configs: tuple[Any, ...] | None) -> Any:
        return configs and tuple(baseline.config(baseline.build(config)) for config in configs)


class Recipe(Strict):
    """A published system, or one of your own, as data.

    Args:
        name: A short name.
        title: The system in a line.
        paper: To cite.
        notes: What was re-derived, and what to know.
        data: What is learned from.
        model: Its shape.
        stages: Of training, in order, with different names; the last one teaches to rank.
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
    stages: tuple[Stage, ...] = Field(min_length=1)
    evaluate: Evaluation = Evaluation()
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    options: Options = Options(watch=WATCHED)

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

    @field_validator("options", mode="before")
    @classmethod
    def _watched(cls, options: Any) -> Any:
        return {"watch": WATCHED, **options} if isinstance(options, dict) else options

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
        if ranking_term(self.stages[-1]) is None:
            got = ", ".join(term.label for term in self.stages[-1].objectives)
            hint = ", ".join(sorted({*READINGS, DECODED}))
            hint += f" on roots of one node, or {PAIRED} on pairs"
            who = f"stages.{len(names) - 1}"
            found.append(GraphRecError(who, "a last stage that teaches to rank", got, hint))
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
            "stages": [stage.config() for stage in self.stages],
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
