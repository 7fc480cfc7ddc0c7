"""Classification of roots: a category predicted from a sequence."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from graphrec_pt.features.columns import columns_of
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import FeatureHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.root_values import column_of, hidden_roots, root_of_type
from graphrec_pt.tokens.kind import Kind


@objective("classify")
class Classify(Objective):
    """The category of the root, by cross-entropy.

    ``L = −1/B Σ log p(c | sequence)``. With ``"softmax"`` p is a softmax over C categories, and L
    the negative log-likelihood (NLL) of it; with ``"sigmoid"`` every category has a logit of its
    own and L is the mean of C binary cross-entropies. Either is applied once, inside of the loss,
    to the logits of the mean hidden state. Roots without a category are left out.

    Args:
        node_type: Of the root.
        column: Its category column.
        link: One of the two.
        smoothing: Share of the softmax target that is spread over all categories.
        hide: Put MASK in place of the root, whose own features would tell.
    """

    node_type: str
    column: str
    link: Literal["softmax", "sigmoid"] = "softmax"
    smoothing: float = Field(0.0, ge=0, lt=1)
    hide: bool = True

    @property
    def needs(self) -> Needs:
        """Nodes."""
        return Needs(frozenset({Kind.NODE}))

    def check(self, outline: Outline) -> None:
        """Raise unless the node type has the category column."""
        columns_of(outline, self.node_type, ["category"], [self.column], "classify")

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return the sequences whose root has a category, and the categories."""
        root = root_of_type(examples, self.node_type, "classify")
        value = column_of(examples.graph, self.node_type, self.column, root, "classify")
        rows = (value.isfinite() & (examples.tokens.lengths() > 0)).nonzero().squeeze(1)
        tokens = examples.tokens.select(rows)
        tokens = hidden_roots(tokens, root[rows]) if self.hide else tokens
        return Corrupted((View(tokens),), {"category": value[rows].long()}, len(rows))

    def head(self, outline: Outline, width: int) -> FeatureHead:
        """Return C logits."""
        return FeatureHead(width, len(outline.categories[self.node_type][self.column]))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: FeatureHead
    ) -> Tensor:
        """Return the mean over sequences."""
        logits, category = head(encoded[0].pooled()), corrupted.targets["category"]  # [B, C]
        if self.link == "softmax":
            return cross_entropy(logits, category, label_smoothing=self.smoothing)
        label = one_hot(category, logits.shape[1]).to(logits.dtype)
        return binary_cross_entropy_with_logits(logits, label)
