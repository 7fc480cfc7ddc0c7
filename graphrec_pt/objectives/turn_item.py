"""Recommendation in dialogue: the item of a turn, from its context and from links to it."""

from collections.abc import Mapping, Sequence

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.turn_head import TurnHead
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import Examples, TrainingExamples, objective
from graphrec_pt.objectives.pairs import OfRelation, checked_relation, positives, relation_of
from graphrec_pt.objectives.pooling import SequencePool
from graphrec_pt.objectives.readout import CatalogueReadout, Sequences
from graphrec_pt.objectives.turn_links import CHANNELS, TurnLinks


@objective("turn_item")
class TurnItem(OfRelation):
    """Predict the item that a turn recommends, as CRS papers do, with a term for its links.

    ``L = −1/n Σ log softmax_i(s)[v⁺]`` over the whole catalogue with
    ``s(t, i) = h_t · e_i / τ + Σ_c (a_c + g_c · h_t) φ(K_c(t, i))``. The first part is the entity
    softmax of KBRD, KGSF and UniCRS. K_c is the weight of the links of channel c from what the
    dialogue named before the turn to the item
    (:class:`~graphrec_pt.objectives.turn_links.TurnLinks`), ``φ(x) = log(1 + e^{b_c} x)``; a, b and
    g are learned, so the words of a turn say how much each kind of link counts. In training, the
    links that the turn's own dialogue contributed are taken away.

    A stage of dialogues needs ``roots:`` of the relation, which hides each edge once. Without a
    hidden edge the last item of the sequence is the target, and is taken out.

    Args:
        relation: Leads from turns to items; by default the first interaction relation.
        pool: Pooling of the hidden states.
        links: The links; None for the entity softmax alone, as published.
        temperature: τ.
    """

    pool: SequencePool = "last"
    links: TurnLinks | None = Field(default_factory=TurnLinks)
    temperature: float = Field(1.0, gt=0)

    def check(self, spec: GraphSpec) -> None:
        """Raise for relations that the graph does not have."""
        name = checked_relation(spec, self.relation)
        if self.links is None:
            return
        turn = spec.relations[spec.relation_index(name)].source
        context = self.links.context
        for mention in (*context.mentions, *((context.previous,) if context.previous else ())):
            if spec.relations[spec.relation_index(mention)].source != turn:
                expected = f"a relation that leaves the turns ({turn!r})"
                raise GraphRecError("turn_item.links.context", expected, repr(mention))
        joining = () if self.links.dialogue is None else (self.links.dialogue,)
        for each in (*(self.links.facts or ()), *joining):
            spec.relation_index(each)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the contexts, the items that their turns recommend, and the linked items."""
        relation = relation_of(examples.graph, self.relation)
        pairs = positives(examples, relation)
        targets: dict[str, Tensor] = {"target": pairs.target}
        if self.links is not None:
            linked = self.links.of(examples.graph, relation.name, pairs.source, training=True)
            targets |= {f"links.{name}": part for name, part in linked._asdict().items()}
        view = View(pairs.tokens, root=pairs.source)
        return TrainingExamples((view,), targets, len(pairs.row))

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return the learned weights of the links."""
        return nn.Identity() if self.links is None else TurnHead(width, len(CHANNELS))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over turns."""
        at, name = corrupted.targets, checked_relation(model.spec, self.relation)
        kind = model.spec.relations[model.spec.relation_index(name)].target
        scores = self._scores(encoded[0], at, model.table(kind), head)
        target = at["target"] - model.spec.ids(kind).start
        return cross_entropy(scores, target, reduction="sum") / max(len(target), 1)

    def readout(self) -> CatalogueReadout:
        """Return the scores of the whole catalogue."""
        return CatalogueReadout(self._catalogue)

    def _catalogue(self, given: Sequences) -> Tensor:
        at: dict[str, Tensor] = {}
        device = given.encoded.hidden.device
        if self.links is not None:
            linked = self.links.of(given.graph, given.relation.name, given.source)
            at = {f"links.{name}": part.to(device) for name, part in linked._asdict().items()}
        table = given.model.table(given.relation.target)
        return self._scores(given.encoded, at, table, given.head)

    def _scores(
        self, encoded: Encoded, at: Mapping[str, Tensor], table: Tensor, head: nn.Module
    ) -> Tensor:
        """Return the scores of the whole catalogue: ``[n, V]``."""
        state = encoded.pooled(self.pool)  # [n, D]
        scores = state @ table.T / self.temperature  # [n, V]
        if not isinstance(head, TurnHead):
            return scores
        term = head(state, at["links.row"], at["links.value"])
        cells = at["links.row"], at["links.item"]
        return scores.index_put(cells, term.to(scores.dtype), accumulate=True)
