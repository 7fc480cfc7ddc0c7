"""Regression on roots: a number of a root, or the weight of its hidden edge."""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor
from torch.nn.functional import mse_loss

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.columns import columns_of
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import FeatureHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, objective
from graphrec_pt.objectives.root_values import (
    column_of,
    hidden_roots,
    root_of_type,
    weight_of_excluded,
)
from graphrec_pt.tokens.kind import Kind


@objective("regress")
class Regress:
    """A number, by the mean squared error (MSE).

    ``L = 1/B Σ (f(mean h) − (y − mean) / scale)²``; y is a number column of the root or, without a
    column, the weight of the edge that is excluded for the roots: the rating of a (user, item)
    pair. Roots without a number are left out.

    Args:
        node_type: Of the root.
        column: Its number column; None, for both, for the weight of the excluded edge.
        mean: Subtracted from y.
        scale: Divides it.
        hide: Put MASK in place of the root, whose own features would tell; for columns only.
    """

    node_type: str | None = None
    column: str | None = None
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)
    hide: bool = True

    def __post_init__(self) -> None:
        if (self.node_type is None) != (self.column is None):
            got = f"node_type {self.node_type!r}, column {self.column!r}"
            raise GraphRecError("regress", "a node type and a column, or neither", got)

    @property
    def needs(self) -> Needs:
        """Nodes."""
        return Needs(frozenset({Kind.NODE}))

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
        target = ((value[rows] - self.mean) / self.scale).float()
        return Corrupted((View(tokens),), {"number": target}, len(rows))

    def head(self, outline: Outline, width: int) -> FeatureHead:
        """Return one number."""
        return FeatureHead(width, 1)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: FeatureHead
    ) -> Tensor:
        """Return the mean over sequences."""
        found = head(encoded[0].pooled()).squeeze(1)  # [B]
        return mse_loss(found, corrupted.targets["number"].to(found.dtype))
