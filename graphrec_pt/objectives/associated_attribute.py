"""Associated attributes: which attributes does this item have."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.event_masking import without_attributes
from graphrec_pt.objectives.multi_label import LabelHead, Labels, Over, linked, multi_label_loss
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.tokens.kind import Kind


@objective("associated_attribute")
class AssociatedAttribute(Objective):
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

    relation: str
    contextual: bool = False
    over: Over = "mean"

    @property
    def needs(self) -> Needs:
        """Nodes."""
        return Needs(frozenset({Kind.NODE}), frozenset({"type"}))

    def check(self, outline: Outline) -> None:
        """Raise for a relation that the graph does not have."""
        outline.relation_index(self.relation)

    def corrupt(self, examples: Examples) -> Corrupted:
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
            return Corrupted((), targets | {"node": tokens.id[token]}, len(token))
        seen = without_attributes(graph, tokens, self.relation, token, labels)
        return Corrupted((View(seen),), targets | {"token": token}, len(token))

    def head(self, outline: Outline, width: int) -> LabelHead:
        """Return W."""
        return LabelHead(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: LabelHead
    ) -> Tensor:
        """Return the mean over items."""
        at = corrupted.targets
        if self.contextual:
            items = encoded[0].hidden.index_select(0, at["token"])
        else:
            items = model.nodes(at["node"])
        scores = head(items, model.table(attribute_type(model.outline, self.relation)))
        return multi_label_loss(scores, Labels(at["row"], at["label"]), self.over)


def attribute_type(outline: Outline, relation: str) -> str:
    """Return the node type that a relation leads to."""
    return outline.relations[outline.relation_index(relation)].target
