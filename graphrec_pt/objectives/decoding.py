"""Beam search options for recommendation with a path language model."""

from typing import Literal, Self

from pydantic import Field, model_validator

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.schema import Strict


class Decoding(Strict):
    """A beam search from a user to items that the user has not met.

    A path begins with the user and the interaction relation; the model says the rest, relation and
    node in turn, of types that fit one another and can still lead to an item, no node twice.
    Probabilities are those of the model among what is allowed. `constrained` paths use edges of the
    graph at hand alone (PEARLM, Balloccu et al., arXiv 2310.16452), so every one of them is true;
    free ones may say edges that nobody has seen (PLM-Rec, Geng et al., WWW 2022).

    An item's score is the log of the ``"sum"`` of the probabilities of all paths that end in it,
    that of the most probable one (``"max"``), or the best mean probability of a token (``"mean"``,
    what the released implementations rank by). The last hop is exact: every beam gives a
    probability to every item.

    Args:
        hops: Edges of a path at most.
        least: Edges of a path at least.
        beams: Paths of each user that are gone on with.
        constrained: Whether only edges of the graph are walked.
        score: How the paths to an item are combined to its score.
        decay: The first hop goes to what the user met, with weights ``decay ** age`` where the
            last event has age 0, in place of what the model says; None leaves it to the model.
    """

    hops: int = Field(3, ge=2, le=8)
    least: int = Field(2, ge=2, le=8)
    beams: int = Field(20, ge=1)
    constrained: bool = True
    score: Literal["sum", "max", "mean"] = "sum"
    decay: float | None = Field(None, gt=0, le=1)

    @model_validator(mode="after")
    def _some_length(self) -> Self:
        if self.least > self.hops:
            raise GraphRecError("decode", f"least <= hops ({self.hops})", self.least)
        return self
