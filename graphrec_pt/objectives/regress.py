"""Regression on roots: a number of a root, the weight of its hidden edge, or whether it is high."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.columns import columns_of
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import FeatureHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.link import LinkHead, pair_roots
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.root_values import (
    column_of,
    hidden_roots,
    root_of_type,
    weight_of_excluded,
)
from graphrec_pt.objectives.valued import Told
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("regress")
class Regress(Objective):
    """A number, by the mean squared error (MSE).

    ``L = 1/B Σ (f(mean h) − (y − mean) / scale)²``; y is a number column of the root or, without a
    column, the weight of the edge that is excluded for the roots: the rating of a (user, item)
    pair. Roots without a number are left out.

    With ``read: roots`` f sees the two roots of a pair, their product and the mean, as ``link``
    does: what a rating depends on is how they match.

    With `above` y is 1 where the number is at least that and 0 elsewhere, and L the binary
    cross-entropy of ``σ(f(mean h))``: the chance of a click, or of a good rating.

    Args:
        node_type: Of the root.
        column: Its number column; None, for both, for the weight of the excluded edge.
        mean: Subtracted from y.
        scale: Divides it.
        hide: Put MASK in place of the root, whose own features would tell; for columns only.
        above: From where on a number counts as 1.
        read: What the number is read off: the mean of the tokens, or the roots of a pair.
    """

    node_type: str | None = None
    column: str | None = None
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)
    hide: bool = True
    above: float | None = None
    read: Literal["mean", "roots"] = "mean"

    def __post_init__(self) -> None:
        if (self.node_type is None) != (self.column is None):
            got = f"node_type {self.node_type!r}, column {self.column!r}"
            raise GraphRecError("regress", "a node type and a column, or neither", got)

    @property
    def needs(self) -> Needs:
        """Nodes, with their hop where roots are read."""
        return Needs(frozenset({Kind.NODE}), frozenset({"hop"} if self.read == "roots" else ()))

    def check(self, outline: Outline) -> None:
        """Raise unless there is such a number."""
        if self.node_type is not None and self.column is not None:
            columns_of(outline, self.node_type, ["number"], [self.column], "regress")
        elif not any(relation.weighted for relation in outline.relations):
            raise GraphRecError("regress", "a weighted relation", "none", "node_type: and column:")

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return the sequences whose root has a number, and the numbers."""
        tokens, root = examples.tokens, None
        if self.node_type is not None and self.column is not None:
            root = root_of_type(examples, self.node_type, "regress")
            value = column_of(examples.graph, self.node_type, self.column, root, "regress")
        else:
            value = weight_of_excluded(examples, "regress")[examples.owner]
        rows = (value.isfinite() & (tokens.lengths() > 0)).nonzero().squeeze(1)
        tokens = tokens.select(rows)
        if self.hide and root is not None:
            tokens = hidden_roots(tokens, root[rows])
        scaled = (value[rows] - self.mean) / self.scale
        target = scaled if self.above is None else value[rows] >= self.above
        return Corrupted((View(tokens),), {"number": target.float()}, len(rows))

    def head(self, outline: Outline, width: int) -> FeatureHead | LinkHead:
        """Return one number."""
        return FeatureHead(width, 1) if self.read == "mean" else LinkHead(width)

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: Corrupted,
        model: Model,
        head: FeatureHead | LinkHead,
    ) -> Tensor:
        """Return the mean over sequences."""
        found = _outputs(encoded[0], head)
        number = corrupted.targets["number"].to(found.dtype)
        if self.above is None:
            return mse_loss(found, number)
        return binary_cross_entropy_with_logits(found, number)

    @property
    def tells(self) -> Told | None:
        """The weight of the edge between two roots, or the chance that it is high."""
        if self.column is not None:
            return None
        return "number" if self.above is None else "chance"

    def shown(self, tokens: Tokens) -> Tokens:
        """Return the sequences as they are."""
        return tokens

    def values(self, encoded: Encoded, model: Model, head: FeatureHead | LinkHead) -> Tensor:
        """Return ``mean + scale f``, or the chance ``σ(f)``: ``[B]``."""
        found = _outputs(encoded, head)
        return found * self.scale + self.mean if self.above is None else found.sigmoid()


def _outputs(encoded: Encoded, head: FeatureHead | LinkHead) -> Tensor:
    """Return what a head makes of each sequence: ``[B]``."""
    if isinstance(head, LinkHead):
        found: Tensor = head(encoded, pair_roots(encoded.view.tokens))
        return found
    flat: Tensor = head(encoded.pooled()).squeeze(1)
    return flat
