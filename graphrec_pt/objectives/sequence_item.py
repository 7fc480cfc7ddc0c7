"""Sequence and item: a history is told its next item among the next items of others."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.features.codes import made_up_nodes
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.contrast import info_nce
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.pairs import Pool, checked_relation, positives, relation_of


@objective("sequence_item")
class SequenceItem(Objective):
    """Sequence-item contrast of UniSRec (Hou et al., KDD 2022).

    ``−log e^{cos(s, v⁺)/τ} / Σ_{j ∈ batch} e^{cos(s, v_j)/τ}``: s is read off the history, v⁺ is
    the vector of the item that comes next (the target of the hidden edge, else the last event,
    which is taken out), v_j are those of the batch. Rows with the same next item are no negatives
    of one another; in the released code they count as scores of 0. With `made_up` a negative is
    made of every v⁺ besides, as in VQ-Rec (Hou et al., WWW 2023), for all of the batch.

    Args:
        relation: Leads from roots to items; by default the first interaction relation.
        temperature: τ.
        pool: Where s is read off.
        made_up: Share of the digits of a next item that are drawn anew for a negative that does
            not exist, .75 in VQ-Rec; needs items with the feature ``codes`` alone. 0 for none.
    """

    relation: str | None = None
    temperature: float = Field(0.07, gt=0)
    pool: Pool = "last"
    made_up: float = Field(0.0, ge=0, lt=1)

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return Needs(fields=frozenset({"type", "hop"}))

    def check(self, outline: Outline) -> None:
        """Raise when the graph does not have the relation."""
        checked_relation(outline, self.relation)

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return histories, and what comes next."""
        found = positives(examples, relation_of(examples.graph, self.relation))
        targets = {"node": found.target}
        if self.made_up:
            draws = examples.draws.named("made up").select(found.row)
            targets["bits"] = draws.of_sequences()[:, 0, 0]
        return Corrupted((View(found.tokens, root=found.source),), targets, len(found.row))

    def head(self, outline: Outline, width: int) -> nn.Module:
        """Return nothing: items are compared as they go in."""
        return nn.Identity()

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over histories."""
        node = corrupted.targets["node"]
        state, items, names = encoded[0].pooled(self.pool), model.nodes(node), node  # [n, D]
        if self.made_up:
            number = model.outline.relation_index(checked_relation(model.outline, self.relation))
            kind, bits = model.outline.relations[number].target, corrupted.targets["bits"]
            other = made_up_nodes(model.features, kind, node, bits, self.made_up)
            items = torch.cat([items, other])  # [2n, D]
            names = torch.cat([node, -1 - torch.arange(len(node), device=node.device)])
        return info_nce(state, items, self.temperature, names)
