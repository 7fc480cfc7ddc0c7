"""How a language model writes: greedy, beam search or sampling, and what restricts it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.schema import Strict

LONGEST = 32
"""Tokens of an answer at most where nothing else is said."""


class Generation(Strict):
    """A way to write, token by token, until the end token or the greatest length.

    Args:
        how: ``"greedy"`` takes the most probable token. ``"beam"`` keeps the most probable
            beginnings and returns the text of the best score
            ``Σ_t log p(x_t | prompt, x_<t) / n^length_penalty``, n tokens with the end token.
            ``"sample"`` draws each token by Philox, so the same root gets the same text in every
            batch and after every interruption.
        beams: Beginnings kept by beam search.
        longest: Tokens of an answer at most; by default as many as the answers that were learned
            could have.
        shortest: Tokens of an answer at least.
        temperature: Divides the logits before a token is drawn.
        top_p: Draw among the most probable tokens whose probabilities add up to this at least
            (nucleus sampling, Holtzman et al., "The curious case of neural text degeneration",
            ICLR 2020).
        no_repeat: With n > 0 no n tokens in a row occur twice in an answer.
        length_penalty: Above 0 longer texts gain, below 0 shorter ones.
        new_nodes: Leave out nodes that stand in the prompt or earlier in the answer.
        within: ``"names"``: the answer is one of the names that the answer column has, so it
            exists. ``"edges"``: a node is only written where an edge of the graph leads to it from
            the node before it, in the answer or else in the prompt. ``"none"``: anything.
    """

    how: Literal["greedy", "beam", "sample"] = "greedy"
    beams: int = Field(4, ge=1)
    longest: int | None = Field(None, ge=1)
    shortest: int = Field(0, ge=0)
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    no_repeat: int = Field(0, ge=0)
    length_penalty: float = 1.0
    new_nodes: bool = False
    within: Literal["none", "names", "edges"] = "none"

    @model_validator(mode="after")
    def _some_length(self) -> Self:
        if self.longest is not None and self.shortest > self.longest:
            expected = f"shortest <= longest ({self.longest})"
            raise GraphRecError("generation", expected, self.shortest)
        return self

    def bounded(self, longest: int = LONGEST) -> Self:
        """Return the same with a bound of its own: `longest` where there is none."""
        if self.longest is not None:
            return self
        return self.model_copy(update={"longest": max(longest, self.shortest)})
