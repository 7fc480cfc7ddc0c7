"""Sequence and item: a history is told its next item among the next items of others."""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.contrast import info_nce
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, objective
from graphrec_pt.objectives.pairs import Pool, checked_relation, positives, relation_of


@objective("sequence_item")
class SequenceItem:
    """Sequence-item contrast of UniSRec (Hou et al., KDD 2022).

    ``−log e^{cos(s, v⁺)/τ} / Σ_{j ∈ batch} e^{cos(s, v_j)/τ}``: s is read off the history, v⁺ is
    the vector of the item that comes next (the target of the hidden edge, else the last event,
    which is taken out), v_j are those of the batch. Rows with the same next item are no negatives
    of one another; in the released code they count as scores of 0.

    Args:
        relation: Leads from roots to items; by default the first interaction relation.
        temperature: τ.
        pool: Where s is read off.
    """

    relation: str | None = None
    temperature: float = Field(0.07, gt=0)
    pool: Pool = "last"

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
        return Corrupted(
            (View(found.tokens, root=found.source),), {"node": found.target}, len(found.row)
        )

    def head(self, outline: Outline, width: int) -> nn.Module:
        """Return nothing: items are compared as they go in."""
        return nn.Identity()

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over histories."""
        node = corrupted.targets["node"]
        state = encoded[0].pooled(self.pool)  # [n, D]
        return info_nce(state, model.nodes(node), self.temperature, node)
