"""A training stage as data: sampler, linearizer, objectives and optimisation."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import FAMILY_IN_SCHEMA, config_of, name_of
from graphrec_pt.graph.schema import Checked, Strict
from graphrec_pt.models.usage import Usage
from graphrec_pt.objectives.objective import ObjectiveField, objective
from graphrec_pt.sampling.sampler import SamplerField
from graphrec_pt.tokens.linearizer import Linearizer, LinearizerField
from graphrec_pt.tokens.words import Words
from graphrec_pt.training.optimizer import ParameterRule
from graphrec_pt.training.schedule import ScheduleField
from graphrec_pt.training.strategy import StrategyField

BESIDE_IN_SCHEMA = "x-beside"
"""Key of a JSON schema: properties that stand beside the options of any member."""
_OWN = ("weight", "schedule", "label")


class LossTerm(Strict):
    """An objective in a mixture.

    An entry of a recipe is the objective's name, or its config with ``weight``, ``schedule`` and
    ``label`` beside its options; it is saved in that flat form too.

    Args:
        objective: Name, config or object.
        weight: Factor of its loss.
        schedule: Config of a factor that changes over the stage; none is 1 all the way.
        label: What it is called in logs, and its head in the model; the objective's name by
            default.
    """

    objective: ObjectiveField
    weight: float = Field(1.0, ge=0)
    schedule: ScheduleField | None = None
    label: str

    @model_validator(mode="before")
    @classmethod
    def _entry(cls, entry: Any) -> Any:
        """Separate the options of an objective from those of its loss term."""
        if isinstance(entry, LossTerm) or (isinstance(entry, Mapping) and "objective" in entry):
            return entry
        beside: dict[str, Any] = {}
        if isinstance(entry, Mapping):
            beside = {name: entry[name] for name in _OWN if name in entry}
            entry = {name: value for name, value in entry.items() if name not in _OWN}
        built = objective.build(entry)
        name = name_of(built).replace(":", ".").rpartition(".")[2]  # of a dotted path: the class
        return {"objective": built, "label": name, **beside}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the flat form for editors: an objective with a few keys beside its options."""
        beside = {
            "weight": {"type": "number", "minimum": 0},
            "schedule": {"anyOf": [{FAMILY_IN_SCHEMA: "schedule"}, {"type": "null"}]},
            "label": {"type": "string"},
        }
        return {FAMILY_IN_SCHEMA: "objective", BESIDE_IN_SCHEMA: beside}

    @field_validator("label")
    @classmethod
    def _names_a_module(cls, label: str) -> str:
        if "." in label or not label:
            raise GraphRecError("label", "a name without dots", repr(label))
        return label

    @model_serializer(mode="wrap")
    def _flat(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain = dump(self)
        return {**plain.pop("objective"), **plain}


def _different_labels(terms: tuple[LossTerm, ...]) -> tuple[LossTerm, ...]:
    labels = [term.label for term in terms]
    if not terms:
        raise GraphRecError("mixture", "at least one objective", "none")
    for label in labels:
        if labels.count(label) > 1:
            hint = "label: of its own for each"
            raise GraphRecError("mixture", "objectives with different labels", repr(label), hint)
    return terms


Mixture = Annotated[tuple[LossTerm, ...], AfterValidator(_different_labels)]
"""The objectives of a stage, each with a label that no other has."""


class Optimization(Strict):
    """AdamW, its learning rate schedule, and rules for parameters.

    Args:
        lr: Highest learning rate.
        weight_decay: Weight decay of matrices; biases, norms and embeddings have none.
        betas: Betas of Adam.
        schedule: Config of the learning rate's factor over the stage.
        clip: Largest norm of the gradient; 0 for no clipping.
        rules: Parameters that are frozen, or have a rate or decay of their own; later ones win.
    """

    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: ScheduleField = Field("constant", validate_default=True)
    clip: float = Field(1.0, ge=0)
    rules: tuple[ParameterRule, ...] = ()


class Stage(Checked):
    """One stage: sampler, linearizer, a mixture of objectives, and the optimisation.

    Args:
        sampler: Name, config or object.
        linearizer: Name, config or object.
        objectives: Entries of the mixture, see :class:`~graphrec_pt.training.stage.LossTerm`.
        roots: See :func:`~graphrec_pt.training.batches.roots_of`.
        balance: ``"fixed"`` weights, or ``"uncertainty"``: ``Σ_o w_o (e^{−s_o} L_o + s_o)`` with
            learned s (Kendall et al., CVPR 2018).
        epochs: Passes over the roots; fractions of one count.
        steps: Optimiser steps, in place of `epochs`.
        most_epochs: Passes over the roots at most, whatever `epochs` or `steps` say.
        batch: Roots per micro-batch.
        tokens: Tokens per step at most, in place of `batch`: steps of histories of like length.
        accumulate: Micro-batches per optimiser step.
        strategy: Name, config or object: what trains, and what is put into the model for it.
        optimization: Optimization of the parameters.
        share: Share of the roots that are used at all, whatever the seed: a stage of few data.
        validate_every: Epochs between validations; the end of the stage always has one.
        patience: Validations without a better one after which the stage ends; 0 for never.
        name: What it is called in logs and checkpoints.

    Example:
        >>> stage = Stage(
        ...     sampler={"name": "history", "relations": ["buys"]},
        ...     linearizer="history",
        ...     objectives=["next_item"],
        ...     roots="user",
        ...     steps=3,
        ... )
    """

    sampler: SamplerField
    linearizer: LinearizerField
    objectives: Mixture
    roots: str | None = None
    balance: Literal["fixed", "uncertainty"] = "fixed"
    epochs: float = Field(1.0, gt=0)
    steps: int | None = Field(None, ge=1)
    most_epochs: float | None = Field(None, gt=0)
    batch: int = Field(128, ge=1)
    tokens: int | None = Field(None, ge=1)
    accumulate: int = Field(1, ge=1)
    strategy: StrategyField = Field("pretrain", validate_default=True)
    optimization: Optimization = Optimization()
    share: float = Field(1.0, gt=0, le=1)
    validate_every: int = Field(1, ge=1)
    patience: int = Field(0, ge=0)
    name: str = "pretrain"

    @property
    def reads(self) -> Linearizer:
        """The linearizer as the strategy needs it: held phrases where a prompt asks untrained."""
        asks = self.strategy.requires_template and not self.strategy.trains
        return self.linearizer.zero_shot() if asks else self.linearizer

    def with_words(self, words: Words | None, size: int) -> Self:
        """Return the stage with a model's words wherever its parts name none.

        Args:
            words: Tokenizer of the model; None where its config gives a size alone.
            size: V, the rows of the model's table of words; 0 for none.
        """
        if not size:
            return self
        read = self.linearizer if words is None else self.linearizer.with_words(words)
        terms = tuple(
            term.model_copy(update={"objective": term.objective.with_words(words, size)})
            for term in self.objectives
        )
        return self.model_copy(update={"linearizer": read, "objectives": terms})


def usage_of(stage: Stage, relation: str | None = None) -> Usage:
    """Return the usage that a model saves: its last stage's sampler, linearizer and objectives.

    Args:
        stage: The last one.
        relation: What is predicted; None for the first interaction relation.
    """
    return Usage(
        sampler=config_of(stage.sampler),
        linearizer=config_of(stage.reads),
        objectives={term.label: config_of(term.objective) for term in stage.objectives},
        relation=relation,
    )
