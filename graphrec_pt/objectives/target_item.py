"""Target items: what a history of one kind leads to, among the whole catalogue."""

from collections.abc import Sequence

from torch import Tensor

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.pairs import Pool, checked_relation, positives, relation_of


@objective("target_item")
class TargetItem(Objective):
    """One item for a whole history, which may be of other behaviour than leads to the item.

    ``L = −1/n Σ log p(v⁺ | history)``: v⁺ is the target of the edge hidden from the root, else the
    last event, which is taken out. So views tell of a purchase, and what was read in one place of
    what will be clicked in another: the target task of PeterRec (Yuan et al., SIGIR 2020), where
    the state after the last event goes to the items of the target through a new layer.

    Args:
        relation: Leads from roots to items; by default the first interaction relation.
        pool: Where the state is read off.
        candidates: What the item is told from.
    """

    relation: str | None = None
    pool: Pool = "last"
    candidates: Candidates = Candidates()

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return Needs(fields=frozenset({"type", "hop"}))

    def check(self, outline: Outline) -> None:
        """Raise when the graph does not have the relation."""
        checked_relation(outline, self.relation)

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return histories, and the item that each leads to."""
        graph, draws = examples.graph, examples.draws.named("target_item")
        relation = relation_of(graph, self.relation)
        found = positives(examples, relation)
        types = found.target.new_full(found.target.shape, graph.schema.node_index(relation.target))
        words = draws.select(found.row).of_sequences()[:, 0]  # [n, 4]
        drawn = self.candidates.draw(graph, types, words, draws)
        targets = {"node": found.target, "type": types}
        return Corrupted((View(found.tokens, root=found.source),), targets | drawn, len(found.row))

    def head(self, outline: Outline, width: int) -> ItemHead:
        """Return the head of the candidates."""
        return self.candidates.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over histories."""
        at, state = corrupted.targets, encoded[0].pooled(self.pool)  # [n, D]
        return self.candidates.loss(state, at["node"], at["type"], at, model, head)
