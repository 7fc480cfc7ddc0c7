"""One term of a mixture: an objective, its weight, and when it counts."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import name_of
from graphrec_pt.graph.schema import Strict
from graphrec_pt.objectives.objective import ObjectiveField, objective
from graphrec_pt.training.schedule import ScheduleField

_OWN = ("weight", "schedule", "label")


class Term(Strict):
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
        """Part the options of an objective from those of the term."""
        if isinstance(entry, Term) or (isinstance(entry, Mapping) and "objective" in entry):
            return entry
        beside: dict[str, Any] = {}
        if isinstance(entry, Mapping):
            beside = {name: entry[name] for name in _OWN if name in entry}
            entry = {name: value for name, value in entry.items() if name not in _OWN}
        built = objective.build(entry)
        name = name_of(built).replace(":", ".").rpartition(".")[2]  # of a dotted path: the class
        return {"objective": built, "label": name, **beside}

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


def _different_labels(terms: tuple[Term, ...]) -> tuple[Term, ...]:
    labels = [term.label for term in terms]
    if not terms:
        raise GraphRecError("mixture", "at least one objective", "none")
    for label in labels:
        if labels.count(label) > 1:
            hint = "label: of its own for each"
            raise GraphRecError("mixture", "objectives with different labels", repr(label), hint)
    return terms


Mixture = Annotated[tuple[Term, ...], AfterValidator(_different_labels)]
"""The objectives of a stage, each with a label that no other has."""
