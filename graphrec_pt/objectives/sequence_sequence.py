"""Sequence and sequence: a history is told a thinned version of itself among those of others."""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.augmentation import Augmentation
from graphrec_pt.objectives.contrast import info_nce
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.pairs import Pool, checked_relation, positives, relation_of


@objective("sequence_sequence")
class SequenceSequence(Objective):
    """Sequence-sequence contrast of UniSRec (Hou et al., KDD 2022).

    ``−log e^{cos(s, s̃)/τ} / Σ_{j ∈ batch} e^{cos(s, s̃_j)/τ}``: s is read off the history before its
    next item, s̃ off a version of it with .2 of the items dropped. UniSRec drops words of the items'
    texts instead in one history of ten: ``augment: {operations: [drop, words], chances: [9, 1]}``
    over tokens with text. Rows with the same next item are no negatives of one another. Its weight
    beside the sequence-item contrast is .001.

    Args:
        relation: Leads from roots to items; by default the first interaction relation.
        augment: How the version is made.
        temperature: τ.
        pool: Where vectors are read off.
    """

    relation: str | None = None
    augment: Augmentation = Augmentation(operations=("drop",))
    temperature: float = Field(0.07, gt=0)
    pool: Pool = "last"

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots; text if its words are dropped."""
        return Needs(self.augment.kinds(), frozenset({"type", "hop"}))

    def check(self, outline: Outline) -> None:
        """Raise when the graph does not have the relation."""
        checked_relation(outline, self.relation)

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return histories, and versions of them."""
        graph, draws = examples.graph, examples.draws.named("sequence_sequence")
        found = positives(examples, relation_of(graph, self.relation))
        version = self.augment.apply(graph, found.tokens, draws.select(found.row))
        views = tuple(View(each, root=found.source) for each in (found.tokens, version))
        return Corrupted(views, {"node": found.target}, len(found.row))

    def head(self, outline: Outline, width: int) -> nn.Module:
        """Return nothing: states are compared as they are."""
        return nn.Identity()

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over histories."""
        state, version = (each.pooled(self.pool) for each in encoded)  # [n, D] each
        return info_nce(state, version, self.temperature, corrupted.targets["node"])
