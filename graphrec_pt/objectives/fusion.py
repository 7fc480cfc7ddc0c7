"""Fusion: catalogue scores from node vectors, plus a term for items in the user's subgraph."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import ItemHead, PairHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import Examples, TrainingExamples, objective
from graphrec_pt.objectives.pairs import OfRelation, checked_relation, positives, relation_of
from graphrec_pt.objectives.readout import CatalogueReadout, QueryReadout, Sequences
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("fusion")
class Fusion(OfRelation):
    """The item that a user takes, from two towers and one subgraph around the user.

    ``L = −1/n Σ_u log softmax_i(s(u, ·))[i_u]`` over the whole catalogue, with
    ``s(u, i) = e_u · e_i / τ + Σ_{t in G_u, t is i} f(h_u, h_t)``: the vectors of the nodes score
    everything, and what the subgraph makes of an item is added where the item stands in it. Both
    learn in one softmax, so local scores are on the scale of the global ones, and a whole catalogue
    is ranked with one subgraph a user, none for each candidate.

    The item is where the edge leads that is hidden from the subgraph; without one it is the last
    event, which is then taken out.

    Args:
        relation: Leads from users to items; by default the first interaction relation.
        temperature: τ.
        scoring: What ranks at inference: both, or the vectors of the nodes (``"towers"``) alone.
    """

    temperature: float = Field(1.0, gt=0)
    scoring: Literal["fusion", "towers"] = "fusion"

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the subgraphs, the users and the items that they take."""
        relation = relation_of(examples.graph, self.relation)
        pairs = positives(examples, relation)
        inside = items_inside(examples.graph, pairs.tokens, relation)
        targets = {"source": pairs.source, "target": pairs.target, **inside._asdict()}
        return TrainingExamples((View(pairs.tokens),), targets, len(pairs.row))

    def head(self, spec: GraphSpec, width: int) -> PairHead:
        """Return the network for the subgraph's term of an item's score."""
        return PairHead(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: PairHead
    ) -> Tensor:
        """Return the mean over users."""
        at, name = corrupted.targets, checked_relation(model.spec, self.relation)
        kind = model.spec.relations[model.spec.relation_index(name)].target
        scores = self.scores(encoded[0], at["source"], at["root"], at["token"], kind, model, head)
        target = at["target"] - model.spec.ids(kind).start
        return cross_entropy(scores, target, reduction="sum") / max(len(target), 1)

    def scores(
        self,
        encoded: Encoded,
        source: Tensor,
        root: Tensor,
        token: Tensor,
        kind: str,
        model: Model,
        head: PairHead,
    ) -> Tensor:
        """Return the scores of the whole catalogue: ``[n, V]``.

        Args:
            encoded: Hidden states of n subgraphs.
            source: int64 ``[n]`` global ids of the users.
            root: int64 ``[n]``, tokens of the users.
            token: int64 ``[m]``, tokens of items.
            kind: Node type of the items.
            model: Has the vectors of the nodes.
            head: The result of :meth:`head`.
        """
        scores = model.nodes(source) @ model.table(kind).T / self.temperature  # [n, V]
        row = encoded.view.tokens.sequence_of()[token]
        user = encoded.hidden.index_select(0, root[row])
        local = head(user, encoded.hidden.index_select(0, token))  # [m]
        item = encoded.view.tokens.id[token] - model.spec.ids(kind).start
        return scores.index_put((row, item), local.to(scores.dtype), accumulate=True)

    def readout(self) -> CatalogueReadout | QueryReadout:
        """Return scores of vectors and subgraph together, or of the vectors alone."""
        if self.scoring == "towers":
            return QueryReadout("vector", head=ItemHead(0, temperature=self.temperature))
        return CatalogueReadout(self._catalogue)

    def _catalogue(self, given: Sequences) -> Tensor:
        assert isinstance(given.head, PairHead)
        inside = items_inside(given.graph, given.tokens, given.relation)
        device = given.encoded.hidden.device
        source, root, token = (part.to(device) for part in (given.source, *inside))
        kind = given.relation.target
        return self.scores(given.encoded, source, root, token, kind, given.model, given.head)


class Inside(NamedTuple):
    """Which tokens of the sequences are roots, and which are items.

    Args:
        root: int64 ``[B]`` tokens.
        token: int64 ``[m]`` tokens, ascending.
    """

    root: Tensor
    token: Tensor


def items_inside(graph: Graph, tokens: Tokens, relation: Relation) -> Inside:
    """Return the root of each sequence and the tokens of items.

    Raises:
        GraphRecError: For sequences that do not begin with their root.
    """
    root = tokens.ptr[:-1].clone()
    if len(tokens) and bool((tokens.hop[root] != 0).any()):
        hint = "linearizer: subgraph, or history with root: true"
        raise GraphRecError("fusion", "sequences that begin with their root", "others", hint)
    index = graph.schema.node_index(relation.target)
    item = (tokens.kind == Kind.NODE) & (tokens.type == index) & (tokens.hop > 0)
    return Inside(root, item.nonzero().squeeze(1))
