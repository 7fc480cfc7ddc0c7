"""Classification and regression of roots from their sequences."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.columns import columns_of, read_column
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import FeatureHead, LinkHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.link import pair_roots
from graphrec_pt.objectives.masking import masked_out
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.readout import CategoryReadout, PairReadout, Value
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("classify")
class Classify(Objective):
    """The category of the root, by cross-entropy.

    ``L = −1/B Σ log p(c | sequence)``. With ``"softmax"`` p is a softmax over C categories, and L
    the negative log-likelihood (NLL) of it; with ``"sigmoid"`` every category has a logit of its
    own and L is the mean of C binary cross-entropies. Either is applied once, inside of the loss,
    to the logits of the mean hidden state. Roots without a category are left out.

    Args:
        node_type: Node type of the root.
        column: Its category column.
        link: One of the two.
        smoothing: Share of the softmax target that is spread over all categories.
        hide: Put MASK in place of the root, whose features would give the value away.
    """

    node_type: str
    column: str
    link: Literal["softmax", "sigmoid"] = "softmax"
    smoothing: float = Field(0.0, ge=0, lt=1)
    hide: bool = True

    @property
    def needs(self) -> RequiredFields:
        """Nodes."""
        return RequiredFields(frozenset({Kind.NODE}))

    def check(self, spec: GraphSpec) -> None:
        """Raise unless the node type has the category column."""
        columns_of(spec, self.node_type, ["category"], [self.column], "classify")

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the sequences whose root has a category, and the categories."""
        root = root_of_type(examples, self.node_type, "classify")
        value = column_of(examples.graph, self.node_type, self.column, root, "classify")
        rows = (value.isfinite() & (examples.tokens.lengths() > 0)).nonzero().squeeze(1)
        tokens = examples.tokens.select(rows)
        tokens = hidden_roots(tokens, root[rows]) if self.hide else tokens
        return TrainingExamples((View(tokens),), {"category": value[rows].long()}, len(rows))

    def head(self, spec: GraphSpec, width: int) -> FeatureHead:
        """Return C logits."""
        return FeatureHead(width, len(spec.categories[self.node_type][self.column]))

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: FeatureHead,
    ) -> Tensor:
        """Return the mean over sequences."""
        logits, category = head(encoded[0].pooled()), corrupted.targets["category"]  # [B, C]
        if self.link == "softmax":
            return cross_entropy(logits, category, label_smoothing=self.smoothing)
        label = one_hot(category, logits.shape[1]).to(logits.dtype)
        return binary_cross_entropy_with_logits(logits, label)

    def readout(self) -> CategoryReadout:
        """Return the probability of each category of a root."""
        return CategoryReadout(self.column, self._shown, self._chances)

    def _shown(self, tokens: Tokens, root: Tensor) -> Tokens:
        return hidden_roots(tokens, root) if self.hide else tokens

    def _chances(self, encoded: Encoded, head: nn.Module) -> Tensor:
        logits: Tensor = head(encoded.pooled())
        return logits.softmax(1) if self.link == "softmax" else logits.sigmoid()


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
        node_type: Node type of the root.
        column: Its number column; None, for both, for the weight of the excluded edge.
        mean: Subtracted from y.
        scale: Divides it.
        hide: Put MASK in place of the root, whose features would give the value away; for columns.
        above: From where on a number counts as 1.
        read: The states that give the number: the mean of the tokens, or the roots of a pair.
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
    def needs(self) -> RequiredFields:
        """Nodes, with their hop where roots are read."""
        return RequiredFields(
            frozenset({Kind.NODE}), frozenset({"hop"} if self.read == "roots" else ())
        )

    def check(self, spec: GraphSpec) -> None:
        """Raise unless there is such a number."""
        if self.node_type is not None and self.column is not None:
            columns_of(spec, self.node_type, ["number"], [self.column], "regress")
        elif not any(relation.weighted for relation in spec.relations):
            raise GraphRecError("regress", "a weighted relation", "none", "node_type: and column:")

    def corrupt(self, examples: Examples) -> TrainingExamples:
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
        return TrainingExamples((View(tokens),), {"number": target.float()}, len(rows))

    def head(self, spec: GraphSpec, width: int) -> FeatureHead | LinkHead:
        """Return one number."""
        return FeatureHead(width, 1) if self.read == "mean" else LinkHead(width)

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: FeatureHead | LinkHead,
    ) -> Tensor:
        """Return the mean over sequences."""
        predicted = _outputs(encoded[0], head)
        number = corrupted.targets["number"].to(predicted.dtype)
        if self.above is None:
            return mse_loss(predicted, number)
        return binary_cross_entropy_with_logits(predicted, number)

    def readout(self) -> PairReadout | None:
        """Return the weight of the edge between two roots, or the probability that it is high."""
        if self.column is not None:
            return None
        of: Value = "number" if self.above is None else "chance"
        return PairReadout(_outputs_of_pairs, value=self._value, of=of)

    def _value(self, found: Tensor) -> Tensor:
        """Return ``mean + scale f``, or the chance ``σ(f)``."""
        return found * self.scale + self.mean if self.above is None else found.sigmoid()


def _outputs_of_pairs(encoded: Encoded, pairs: Tensor, model: Model, head: nn.Module) -> Tensor:
    return _outputs(encoded, head)


def _outputs(encoded: Encoded, head: nn.Module) -> Tensor:
    """Return the output of a head for each sequence: ``[B]``."""
    if isinstance(head, LinkHead):
        outputs: Tensor = head(encoded, pair_roots(encoded.view.tokens))
        return outputs
    flat: Tensor = head(encoded.pooled()).squeeze(1)
    return flat


def root_of_type(examples: Examples, node_type: str, who: str) -> Tensor:
    """Return the root of a type of each sequence, −1 where there is none: int64 ``[B]``.

    Of a pair it is the first one of the type.

    Raises:
        GraphRecError: For sets as roots.
    """
    if isinstance(examples.roots, Sets):
        raise GraphRecError(who, "nodes or pairs as roots", "sets", "another sampler")
    owned = examples.graph.nodes(node_type)
    roots = examples.roots[examples.owner]
    roots = roots.unsqueeze(1) if roots.ndim == 1 else roots  # [B, 1 or 2]
    first_roots = torch.full_like(examples.owner, -1)
    for column in reversed(roots.unbind(1)):
        first_roots = torch.where(
            (column >= owned.start) & (column < owned.stop), column, first_roots
        )
    return first_roots


def column_of(graph: Graph, node_type: str, column: str, nodes: Tensor, who: str) -> Tensor:
    """Return numbers, or codes of categories, of nodes as float64 ``[n]``; NaN for none.

    Args:
        graph: The graph of the columns.
        node_type: Node type of the nodes.
        column: Its name.
        nodes: int64 ``[n]`` global ids, −1 for none.
        who: Reads them, for errors.
    """
    rows = (nodes - graph.nodes(node_type).start).clamp(min=0)
    values = read_column(graph, node_type, column, who).gather(rows.cpu().numpy())
    numbers = values.to_physical().cast(float).fill_null(float("nan"))
    column_values = torch.from_numpy(numbers.to_numpy().copy()).to(nodes.device)
    return torch.where(nodes < 0, float("nan"), column_values)


def weight_of_excluded(examples: Examples, who: str) -> Tensor:
    """Return the weight of the edge hidden from each root as float64 ``[R]``; NaN for none.

    Raises:
        GraphRecError: When nothing is excluded, the graph has no weights, or for sets.
    """
    csr, exclude = examples.graph.csr, examples.exclude
    if csr.weight is None or csr.edge is None:
        raise GraphRecError(who, "a graph with weighted edges", "none")
    if exclude is None or isinstance(examples.roots, Sets):
        got = "nothing excluded" if exclude is None else "sets as roots"
        raise GraphRecError(who, "an edge excluded for each root", got, "exclude=")
    position, row = examples.hidden_edges()
    weights = torch.full((len(exclude),), float("nan"), dtype=torch.float64)
    return weights.index_copy(0, row, csr.weight[position].double())


def hidden_roots(tokens: Tokens, roots: Tensor) -> Tokens:
    """Return tokens where the root of each sequence is MASK, with its text, wherever it stands.

    Args:
        tokens: B sequences.
        roots: int64 ``[B]`` global ids.
    """
    row = tokens.sequence_of()
    hidden = (tokens.kind == Kind.NODE) & (tokens.id == roots[row])
    if tokens.word is not None:
        name = (row << 32) | (tokens.word + 1)
        hidden |= (tokens.kind == Kind.TEXT) & torch.isin(name, name[hidden])
    return masked_out(tokens, hidden)
