"""The parts of a model's last training stage that decide what the model can predict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import NamedTuple, Self, TypeVar, cast

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.model import Model
from graphrec_pt.models.usage import Usage
from graphrec_pt.objectives.objective import Objective, objective
from graphrec_pt.objectives.readout import PathReadout, Readout, Value
from graphrec_pt.sampling.sampler import RootKind, Sampler, kind_of_roots, sampler
from graphrec_pt.tokens.linearizer import Linearizer, linearizer
from graphrec_pt.tokens.words import Words
from graphrec_pt.training.stage import Stage

T = TypeVar("T")
RATES: dict[Value, str] = {
    "number": "regress on pairs, which has the weights of edges",
    "chance": "link with form: bce or regress with above: on pairs, or pointwise on nodes",
}
"""Hint of the error for a value: objectives whose options make them predict one."""


class Found(NamedTuple):
    """An objective of the stage together with its readout.

    Args:
        label: Label of the objective, under which the model keeps its head.
        objective: The objective.
        readout: How the prediction is read off the model.
    """

    label: str
    objective: Objective
    readout: Readout


@dataclass(frozen=True)
class Taught:
    """The parts of a last stage that inference uses.

    Args:
        name: Name of the stage, for errors.
        sampler: Samples around a source.
        linearizer: Turns a sample into tokens.
        objectives: Label → objective.
        relation: The relation to predict; None for the first interaction relation.
    """

    name: str
    sampler: Sampler
    linearizer: Linearizer
    objectives: Mapping[str, Objective]
    relation: str | None = None

    @classmethod
    def by(cls, stage: Stage) -> Self:
        """Return the parts of a stage."""
        objectives = {term.label: term.objective for term in stage.objectives}
        return cls(stage.name, stage.sampler, stage.reads, objectives)

    @classmethod
    def built(cls, usage: Usage) -> Self:
        """Return the parts of the last stage of a saved model.

        Raises:
            GraphRecError: For names and options that are not known.
        """
        return cls(
            "of the model",
            sampler.build(usage.sampler),
            linearizer.build(usage.linearizer),
            {label: objective.build(each) for label, each in usage.objectives.items()},
            usage.relation,
        )

    @classmethod
    def of(cls, model: Model, stage: Stage | None = None) -> Self:
        """Return the parts that a model was taught with, with its words where they name none.

        Args:
            model: The model.
            stage: Its last stage; by default that of its usage.

        Raises:
            GraphRecError: For a model that was never trained.
        """
        if stage is not None:
            taught = cls.by(stage)
        elif model.usage is not None:
            taught = cls.built(model.usage)
        else:
            expected, got = "a model that was trained", "a new one"
            raise GraphRecError("Predictor", expected, got, "Trainer(…).fit, or stage=…")
        return taught.with_words(model.tokenizer, model.num_words)

    def ranking(self) -> Found:
        """Return the first readout that ranks candidates.

        Raises:
            GraphRecError: When no objective teaches that.
        """
        return self._first(lambda readout: readout.ranks, "an objective that ranks")

    @property
    def ranks(self) -> bool:
        """Whether a readout ranks candidates."""
        try:
            self.ranking()
        except GraphRecError:
            return False
        return True

    def rating(self, value: Value) -> Found:
        """Return the first readout that predicts this kind of value of pairs.

        Raises:
            GraphRecError: When no objective teaches that.
        """
        wanted = f"an objective that predicts a {value}"
        return self._first(lambda readout: readout.rates == value, wanted, RATES[value])

    def setting(self) -> Found:
        """Return the first readout that predicts sets.

        Raises:
            GraphRecError: When no objective teaches that.
        """
        return self._first(lambda readout: readout.sets, "an objective that predicts sets")

    @property
    def decodes(self) -> bool:
        """Whether items are ranked by decoded paths."""
        return isinstance(self.ranking().readout, PathReadout)

    def first(self, kind: type[Readout], wanted: str) -> Found:
        """Return the first readout of a class.

        Args:
            kind: The class.
            wanted: Description of such an objective, for the error.

        Raises:
            GraphRecError: When no objective teaches that.
        """
        return self._first(lambda readout: isinstance(readout, kind), wanted)

    def _first(self, fits: Callable[[Readout], bool], wanted: str, hint: str = "") -> Found:
        roots = kind_of_roots(self.sampler)
        for label, part in self.objectives.items():
            readout = part.readout()
            fitting = None if readout is None else readout.on(roots)
            if fitting is not None and fits(fitting):
                return Found(label, part, fitting)
        got = ", ".join(self.objectives)
        names = ", ".join(_names(fits, roots))
        hint = hint or (f"one of {names} on roots that are {roots}" if names else "another sampler")
        raise GraphRecError(f"stage {self.name!r}", wanted, got, hint)

    def with_words(self, words: Words | None, size: int) -> Self:
        """Return the same parts with a model's words wherever they name none.

        Args:
            words: Tokenizer of the model; None where its config gives a size alone.
            size: V, the rows of the model's table of words; 0 for none.
        """
        if not size:
            return self
        read = self.linearizer if words is None else self.linearizer.with_words(words)
        parts = {label: each.with_words(words, size) for label, each in self.objectives.items()}
        return replace(self, linearizer=read, objectives=parts)

    def with_room(self) -> Self:
        """Return the same parts with every window one shorter, so that a token can be appended."""
        return replace(
            self, sampler=_with_room(self.sampler), linearizer=_with_room(self.linearizer)
        )


def _with_room(part: T) -> T:
    """Return a sampler or linearizer whose window is one shorter."""
    if not is_dataclass(part) or not any(field.name == "window" for field in fields(part)):
        return part
    window = vars(part)["window"]
    if window is None or window < 2:
        return part
    return cast(T, replace(part, window=window - 1))  # type: ignore[type-var]


def _names(fits: Callable[[Readout], bool], roots: RootKind) -> list[str]:
    """Return the objectives of the library that answer with their default options."""
    names = []
    for name in objective.names():
        try:
            readout = objective.build(name).readout()
        except GraphRecError:  # has options without defaults
            continue
        found = None if readout is None else readout.on(roots)
        if found is not None and fits(found):
            names.append(name)
    return names
