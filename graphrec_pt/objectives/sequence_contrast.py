"""Sequence contrast: histories against their next items, and against augmented versions."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.features.codes import made_up_nodes
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.augmentation import Augmentation
from graphrec_pt.objectives.contrast import info_nce
from graphrec_pt.objectives.objective import Examples, RequiredFields, TrainingExamples, objective
from graphrec_pt.objectives.pairs import OfRelation, checked_relation, positives, relation_of
from graphrec_pt.objectives.pooling import SequencePool
from graphrec_pt.objectives.readout import QueryReadout


@objective("sequence_item")
class SequenceItem(OfRelation):
    """Sequence-item contrast of UniSRec (Hou et al., KDD 2022).

    ``−log e^{cos(s, v⁺)/τ} / Σ_{j ∈ batch} e^{cos(s, v_j)/τ}``: s is read off the history, v⁺ is
    the vector of the item that comes next (the target of the hidden edge, else the last event,
    which is taken out), v_j are those of the batch. Rows with the same next item are no negatives
    of one another; in the released code they count as scores of 0. With `made_up` a negative is
    made of every v⁺ besides, as in VQ-Rec (Hou et al., WWW 2023), for all of the batch.

    Args:
        relation: Leads from roots to items; by default the first interaction relation.
        temperature: τ.
        pool: Pooling of the hidden states.
        made_up: Share of the digits of a next item that are drawn anew for a negative that does
            not exist, .75 in VQ-Rec; needs items with the feature ``codes`` alone. 0 for none.
    """

    temperature: float = Field(0.07, gt=0)
    pool: SequencePool = "last"
    made_up: float = Field(0.0, ge=0, lt=1)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return histories, and the next item of each."""
        pairs = positives(examples, relation_of(examples.graph, self.relation))
        targets = {"node": pairs.target}
        if self.made_up:
            draws = examples.draws.named("made up").select(pairs.row)
            targets["bits"] = draws.of_sequences()[:, 0, 0]
        return TrainingExamples((View(pairs.tokens, root=pairs.source),), targets, len(pairs.row))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over histories."""
        node = corrupted.targets["node"]
        state, items, names = encoded[0].pooled(self.pool), model.nodes(node), node  # [n, D]
        if self.made_up:
            number = model.spec.relation_index(checked_relation(model.spec, self.relation))
            kind, bits = model.spec.relations[number].target, corrupted.targets["bits"]
            other = made_up_nodes(model.features, kind, node, bits, self.made_up)
            items = torch.cat([items, other])  # [2n, D]
            names = torch.cat([node, -1 - torch.arange(len(node), device=node.device)])
        return info_nce(state, items, self.temperature, names)

    def readout(self) -> QueryReadout:
        """Return the state of the history, compared with items by their cosine."""
        return QueryReadout(self.pool, head=ItemHead(0, cosine=True, temperature=self.temperature))


@objective("sequence_sequence")
class SequenceSequence(OfRelation):
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
        pool: Pooling of the hidden states.
    """

    augment: Augmentation = Augmentation(operations=("drop",))
    temperature: float = Field(0.07, gt=0)
    pool: SequencePool = "last"

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots; text if its words are dropped."""
        return RequiredFields(self.augment.kinds(), frozenset({"type", "hop"}))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return histories, and versions of them."""
        graph, draws = examples.graph, examples.draws.named("sequence_sequence")
        pairs = positives(examples, relation_of(graph, self.relation))
        version = self.augment.apply(graph, pairs.tokens, draws.select(pairs.row))
        views = tuple(View(each, root=pairs.source) for each in (pairs.tokens, version))
        return TrainingExamples(views, {"node": pairs.target}, len(pairs.row))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over histories."""
        state, version = (each.pooled(self.pool) for each in encoded)  # [n, D] each
        return info_nce(state, version, self.temperature, corrupted.targets["node"])
