"""Objectives whose models tell a value of each pair: a rating, or the chance of a click."""

from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded
from graphrec_pt.tokens.tokens import Tokens

Told = Literal["number", "chance"]
"""A value in the unit of what was learned, or a probability."""


@runtime_checkable
class Valued(Protocol):
    """An objective that predicts a value of each pair of roots."""

    @property
    def tells(self) -> Told | None:
        """What the values are; None where its options make it tell none."""
        ...

    def shown(self, tokens: Tokens) -> Tokens:
        """Return the sequences of pairs as the model saw them in training."""
        ...

    def values(self, encoded: Encoded, model: Model, head: Any) -> Tensor:
        """Return one value per sequence: ``[B]``.

        Args:
            encoded: Of what :meth:`shown` returned.
            model: For the vectors of nodes.
            head: The trained head of the objective.
        """
        ...
