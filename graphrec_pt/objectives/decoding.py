"""Beam search options for recommendation with a path language model."""

from typing import Literal, Self

from pydantic import Field, model_validator

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.schema import Strict


class Decoding(Strict):
    """A beam search from a user to items without an interaction of the user.

    A path begins with the user and the interaction relation. The model predicts relations and nodes
    in turn; allowed are types that fit one another and can still lead to an item, and no node
    twice. The model's probabilities are renormalised over the allowed tokens. `constrained` paths
    use only edges of the given graph (PEARLM, Balloccu et al., arXiv 2310.16452); free paths may
    contain edges that do not exist (PLM-Rec, Geng et al., WWW 2022).

    An item's score is the log of the ``"sum"`` of the probabilities of all paths that end in it,
    that of the most probable one (``"max"``), or the best mean probability of a token (``"mean"``,
    what the released implementations rank by). The last hop is exact: every beam gives a
    probability to every item.

    Args:
        hops: Edges of a path at most.
        least: Edges of a path at least.
        beams: Beam width: paths kept per user at every hop.
        constrained: Whether paths use only edges of the graph.
        score: How the paths to an item are combined to its score.
        decay: Weights ``decay ** age`` of the user's items for the first hop, in place of the
            model's probabilities; the last event has age 0. None uses the model.
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
