"""Masked attributes: which attributes does the item have that was hidden here."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.associated_attribute import attribute_type
from graphrec_pt.objectives.event_masking import choose_events, events, without_attributes
from graphrec_pt.objectives.masking import Masking, hide
from graphrec_pt.objectives.multi_label import LabelHead, Labels, Over, linked, multi_label_loss
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.tokens.kind import Kind


@objective("masked_attribute")
class MaskedAttribute(Objective):
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

    relation: str
    masking: Masking = Masking(share=0.2)
    last: bool = True
    over: Over = "mean"

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return Needs(frozenset({Kind.NODE}), frozenset({"type", "hop"}))

    def check(self, outline: Outline) -> None:
        """Raise for a relation that the graph does not have."""
        outline.relation_index(self.relation)

    def corrupt(self, examples: Examples) -> Corrupted:
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
        return Corrupted((View(seen),), targets, len(some))

    def head(self, outline: Outline, width: int) -> LabelHead:
        """Return W."""
        return LabelHead(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: LabelHead
    ) -> Tensor:
        """Return the mean over the hidden items."""
        at = corrupted.targets
        hidden = encoded[0].hidden.index_select(0, at["token"])
        scores = head(hidden, model.table(attribute_type(model.outline, self.relation)))
        return multi_label_loss(scores, Labels(at["row"], at["label"]), self.over)
