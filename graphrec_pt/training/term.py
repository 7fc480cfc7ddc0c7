"""One term of a mixture: an objective, its weight, and when it counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.schema import Strict
from graphrec_pt.objectives.objective import objective
from graphrec_pt.training.schedule import schedule

_OWN = ("weight", "schedule", "label")


class Term(Strict):
    """An objective in a mixture.

    Args:
        objective: Name, config or object.
        weight: Factor of its loss.
        schedule: Config of a factor that changes over the stage; none is 1 all the way.
        label: What it is called in logs; the objective's name by default.
    """

    objective: Any
    weight: float = Field(1.0, ge=0)
    schedule: Any = None
    label: str

    @field_validator("schedule")
    @classmethod
    def _known(cls, config: Any) -> Any:
        return None if config is None else schedule.build(config)

    @classmethod
    def of(cls, entry: Any) -> "Term":
        """Return the term that an entry of a mixture describes.

        Args:
            entry: An objective's name, object or config; a config may also hold ``weight``,
                ``schedule`` and ``label``.

        Raises:
            GraphRecError: For unknown objectives and options.
        """
        if isinstance(entry, Term):
            return entry
        own: dict[str, Any] = {}
        if isinstance(entry, Mapping):
            own = {name: entry[name] for name in _OWN if name in entry}
            entry = {name: value for name, value in entry.items() if name not in _OWN}
        built = objective.build(entry)
        own.setdefault("label", getattr(type(built), "registered_name", type(built).__name__))
        return cls.checked({"objective": built, **own}, f"objective {own['label']!r}")

    def config(self) -> dict[str, Any]:
        """Return the JSON-ready entry."""
        when = None if self.schedule is None else schedule.config(self.schedule)
        own = {"weight": self.weight, "schedule": when, "label": self.label}
        return {**objective.config(self.objective), **own}


def terms_of(entries: Sequence[Any]) -> tuple[Term, ...]:
    """Return the terms of a mixture, each with a label of its own.

    Raises:
        GraphRecError: For no terms, and for two with one label.
    """
    terms = tuple(Term.of(entry) for entry in entries)
    labels = [term.label for term in terms]
    if not terms:
        raise GraphRecError("mixture", "at least one objective", "none")
    for label in labels:
        if labels.count(label) > 1:
            hint = "label: of its own for each"
            raise GraphRecError("mixture", "objectives with different labels", repr(label), hint)
    return terms
