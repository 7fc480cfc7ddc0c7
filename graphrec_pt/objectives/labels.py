"""Multi-label prediction: which nodes of a type belong to an item."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import LabelHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.masking import Masking, choose_events, events, hide, masked_out
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.sampling.edges import segment_edges
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

Over = Literal["mean", "sum"]
"""The reduction of the terms of all nodes of the type."""


class Labels(NamedTuple):
    """The label nodes of n rows, every (row, label) pair once.

    Args:
        row: int64 ``[M]`` in ``[0, n)``, ascending.
        label: int64 ``[M]``, numbered inside the node type.
    """

    row: Tensor
    label: Tensor

    @classmethod
    def of(cls, row: Tensor, label: Tensor, size: int) -> "Labels":
        """Return the sorted pairs without duplicates.

        Args:
            row: int64 ``[M]``.
            label: int64 ``[M]`` in ``[0, size)``.
            size: Nodes of the type.
        """
        pair = torch.unique(row * size + label)
        return cls(pair // size, pair % size)


def linked(graph: Graph, relation: str, nodes: Tensor) -> Labels:
    """Return the targets of a relation for nodes of its source type.

    Args:
        graph: The graph that may be seen, without held-out edges.
        relation: Its name.
        nodes: int64 ``[n]`` global ids.
    """
    position, row = segment_edges(graph, nodes, relation)
    among = graph.nodes(graph.schema.relation(relation).target)
    return Labels.of(row, graph.csr.indices[position].long() - among.start, max(len(among), 1))


def multi_label_loss(scores: Tensor, labels: Labels, over: Over = "mean") -> Tensor:
    r"""Return the mean over n rows of the binary cross-entropy over A nodes.

    .. math:: \ell_i = \sum_a \log(1 + e^{s_{ia}}) - \sum_{a \in A_i} s_{ia}

    divided by A for ``"mean"``. The multi-hot targets are never stored.

    Args:
        scores: ``[n, A]`` logits.
        labels: The label nodes of each row.
        over: The mean or the sum over the A nodes.

    Returns:
        Scalar; 0 for no rows.
    """
    total = softplus(scores).sum() - scores[labels.row, labels.label].sum()
    return total / max(scores.numel() if over == "mean" else len(scores), 1)


@dataclass(frozen=True)
class OfAttributes(Objective):
    """An objective that predicts the targets of a relation, one binary label per node.

    Args:
        relation: Leads from what is looked at to the labels.
        over: The mean or the sum over the labels.
    """

    relation: str
    over: Over = "mean"

    def check(self, spec: GraphSpec) -> None:
        """Raise for a relation that the graph does not have."""
        spec.relation_index(self.relation)

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return W."""
        return LabelHead(width)

    def target_type(self, spec: GraphSpec) -> str:
        """Return the node type that the relation leads to."""
        return spec.relations[spec.relation_index(self.relation)].target

    def label_loss(
        self, vectors: Tensor, corrupted: TrainingExamples, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over vectors ``[n, D]`` whose labels stand in `row` and `label`."""
        labels = Labels(corrupted.targets["row"], corrupted.targets["label"])
        scores = head(vectors, model.table(self.target_type(model.spec)))  # [n, A]
        return multi_label_loss(scores, labels, self.over)


@objective("associated_attribute")
class AssociatedAttribute(OfAttributes):
    """Associated attribute prediction (AAP) of S3-Rec (Zhou et al., CIKM 2020).

    ``p(a | i) = σ(e_aᵀ W e_i)``, binary cross-entropy over all nodes a that the relation can lead
    to, the mean over the items of the batch that have any. The paper's form reads the item's
    vector, the released code the hidden state of the item in its history: `contextual`. S3-Rec
    sums over attributes (``over: sum``) and weighs its four losses .2 (this one), 1 (masked item),
    1 (masked attribute) and .5 (segment).

    Args:
        relation: Leads from items to attributes.
        contextual: Read hidden states; attributes that stand in the sequence are then hidden.
        over: The mean or the sum over attributes.
    """

    contextual: bool = False

    @property
    def needs(self) -> RequiredFields:
        """Nodes."""
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"type"}))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the items that have attributes; a view only where hidden states are read."""
        graph, tokens = examples.graph, examples.tokens
        source = graph.schema.node_index(graph.schema.relation(self.relation).source)
        token = ((tokens.kind == Kind.NODE) & (tokens.type == source)).nonzero().squeeze(1)
        labels = linked(graph, self.relation, tokens.id[token])
        some, row = torch.unique(labels.row, return_inverse=True)
        token = token[some]
        labels = labels._replace(row=row)
        targets = {"row": row, "label": labels.label}
        if not self.contextual:
            return TrainingExamples((), targets | {"node": tokens.id[token]}, len(token))
        seen = without_attributes(graph, tokens, self.relation, token, labels)
        return TrainingExamples((View(seen),), targets | {"token": token}, len(token))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: LabelHead
    ) -> Tensor:
        """Return the mean over items."""
        at = corrupted.targets
        if self.contextual:
            items = encoded[0].hidden.index_select(0, at["token"])
        else:
            items = model.nodes(at["node"])
        return self.label_loss(items, corrupted, model, head)


@objective("masked_attribute")
class MaskedAttribute(OfAttributes):
    """Masked attribute prediction (MAP) of S3-Rec (Zhou et al., CIKM 2020).

    ``p(a | context) = σ(e_aᵀ W h_t)`` at every place t of a hidden item, binary cross-entropy over
    all nodes that the relation can lead to, the mean over the hidden items that have any. Their
    attributes are hidden too wherever they stand in the sequence.

    Args:
        relation: Leads from items to attributes.
        masking: How many items, and what is put in their place; S3-Rec hides .2.
        last: Hide the last item always.
        over: The mean or the sum over attributes; S3-Rec sums.
    """

    masking: Masking = Masking(share=0.2)
    last: bool = True

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view, and the attributes of the hidden items."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_attribute")
        source = graph.schema.node_index(graph.schema.relation(self.relation).source)
        chosen = choose_events(tokens, events(tokens, source), draws, self.masking, last=self.last)
        token = chosen.nonzero().squeeze(1)
        labels = linked(graph, self.relation, tokens.id[token])
        seen = hide(graph, tokens, chosen, draws, self.masking)
        seen = without_attributes(graph, seen, self.relation, token, labels)
        some, row = torch.unique(labels.row, return_inverse=True)
        targets = {"token": token[some], "row": row, "label": labels.label}
        return TrainingExamples((View(seen),), targets, len(some))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: LabelHead
    ) -> Tensor:
        """Return the mean over the hidden items."""
        hidden = encoded[0].hidden.index_select(0, corrupted.targets["token"])
        return self.label_loss(hidden, corrupted, model, head)


def without_attributes(
    graph: Graph, tokens: Tokens, relation: str, items: Tensor, labels: Labels
) -> Tokens:
    """Return tokens with the attributes of some items hidden in the same sequence.

    Args:
        graph: The graph that may be seen, without held-out edges.
        tokens: B sequences.
        relation: Leads from items to attributes.
        items: int64 ``[n]``, tokens.
        labels: Their attributes, numbered inside the type.
    """
    target = graph.schema.relation(relation).target
    first = graph.nodes(target).start
    named = (tokens.sequence_of() << 32) | tokens.id
    telling = (tokens.sequence_of()[items][labels.row] << 32) | (labels.label + first)
    attributes = (tokens.kind == Kind.NODE) & (tokens.type == graph.schema.node_index(target))
    attributes &= torch.isin(named, telling)
    return masked_out(tokens, attributes)
