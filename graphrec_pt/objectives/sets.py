"""Set prediction: which nodes of a type belong to a root, or complete a set."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import ItemHead, LabelHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.labels import (
    Labels,
    OfAttributes,
    Over,
    linked,
    multi_label_loss,
)
from graphrec_pt.objectives.masking import Masking, choose, hide
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.pooling import SequencePool
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


@objective("root_set")
class RootSet(OfAttributes):
    """The set that a root is linked to, as G-BERT (Shang et al., IJCAI 2019) is fine-tuned.

    ``L = −1/nA Σ_roots Σ_a [y_a log σ(s_a) + (1 − y_a) log σ(−s_a)]`` over all A nodes that the
    relation can lead to; s is read off the sequence of the root: the medication of a visit, the
    next basket, the tags of a post. What the sampler took of the root's own set is left out of the
    sequence, whatever else is in it.

    Args:
        relation: Leads from roots to the members of their sets.
        pool: Where the vector of a sequence is read off; the first token is CLS or the root.
        transform: Whether it goes through dense, GELU and norm.
        over: The mean or the sum over the A nodes.
    """

    pool: SequencePool = "first"
    transform: bool = True

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop and the relation that led to them."""
        return RequiredFields(fields=frozenset({"type", "hop", "relation"}))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the sequences of roots that have a set, without it, and the sets.

        Raises:
            GraphRecError: For roots of another type than the relation leaves.
        """
        graph, root = examples.graph, examples.root()
        source = graph.schema.relation(self.relation).source
        ids = graph.nodes(source)
        if root is None or bool(((root < ids.start) | (root >= ids.stop)).any()):
            raise GraphRecError("root_set", f"roots of type {source!r}", "others")
        labels = linked(graph, self.relation, root)
        tokens = without_own(graph, examples.tokens, self.relation)
        full = torch.bincount(labels.row, minlength=len(tokens)) > 0
        rows = (full & (tokens.lengths() > 0)).nonzero().squeeze(1)
        number = torch.full((len(tokens),), -1)
        number[rows] = torch.arange(len(rows))
        kept = number[labels.row] >= 0
        targets = {"row": number[labels.row[kept]], "label": labels.label[kept]}
        return TrainingExamples((View(tokens.select(rows), root=root[rows]),), targets, len(rows))

    def head(self, spec: GraphSpec, width: int) -> ItemHead:
        """Return the scoring head with a bias per node, since most nodes are in no set."""
        items = len(spec.ids(self.target_type(spec)))
        return ItemHead(width, items=items, transform=self.transform)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over roots."""
        return self.label_loss(encoded[0].pooled(self.pool), corrupted, model, head)

    def readout(self) -> QueryReadout:
        """Return the probability of every member from the state of the root."""
        return QueryReadout(self.pool, chance="set")


@objective("set_prediction")
class SetPrediction(Objective):
    """Self-prediction and dual prediction of G-BERT (Shang et al., IJCAI 2019).

    ``L = −1/nA Σ_visits Σ_a [y_a log σ(s_a) + (1 − y_a) log σ(−s_a)]`` over all A nodes of the
    target type, y being the whole set and not only what was hidden; s_a is read off CLS over the
    nodes of the source type, some of them hidden. Self-prediction has one type for both, dual
    prediction two; G-BERT adds up all four of diagnoses and medications. The released code swaps
    codes for codes of the wrong type, and hides CLS from all tokens; both are mended here.

    Args:
        source: Type of the nodes that are seen; all else but CLS is left out.
        target: Type of the nodes to be found.
        masking: How many are hidden, and what is put in their place.
        over: The mean or the sum over the target type.
    """

    source: str
    target: str
    masking: Masking = Masking(mask=0.8, random=0.1)
    over: Over = "mean"

    @property
    def needs(self) -> RequiredFields:
        """Return nodes, and CLS, whose state is read."""
        return RequiredFields(frozenset({Kind.NODE, Kind.SPECIAL}), frozenset({"type"}))

    def check(self, spec: GraphSpec) -> None:
        """Raise for node types that the graph does not have."""
        spec.node_index(self.source)
        spec.node_index(self.target)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return CLS and the nodes of the source type, and the set of the target type."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("set_prediction")
        node, row = tokens.kind == Kind.NODE, tokens.sequence_of()
        among = graph.nodes(self.target)
        seen = node & (tokens.type == graph.schema.node_index(self.source))
        members = node & (tokens.type == graph.schema.node_index(self.target))
        cls = (tokens.kind == Kind.SPECIAL) & (tokens.id == Special.CLS)
        size = len(tokens)
        if size and not bool(cls.any()):
            raise GraphRecError("set_prediction", "sequences with CLS", "none", "cls: true")
        full = [torch.bincount(row[each], minlength=size) > 0 for each in (seen, members, cls)]
        rows = (full[0] & full[1] & full[2]).nonzero().squeeze(1)
        number = torch.full((size,), -1)
        number[rows] = torch.arange(len(rows))
        chosen = choose(tokens, seen, draws, self.masking)
        hidden = hide(graph, tokens, chosen, draws, self.masking)
        view = hidden.take((seen | cls).nonzero().squeeze(1)).select(rows)
        at = ((view.kind == Kind.SPECIAL) & (view.id == Special.CLS)).nonzero().squeeze(1)
        first = torch.searchsorted(at, view.ptr[:-1])  # the first CLS of each sequence
        labels = Labels.of(
            number[row[members]], tokens.id[members] - among.start, max(len(among), 1)
        )
        kept = labels.row >= 0
        targets = {"token": at[first], "row": labels.row[kept], "label": labels.label[kept]}
        return TrainingExamples((View(view),), targets, len(rows))

    def head(self, spec: GraphSpec, width: int) -> LabelHead:
        """Return the map from CLS to scores."""
        return LabelHead(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: LabelHead
    ) -> Tensor:
        """Return the mean over visits."""
        at = corrupted.targets
        scores = head(encoded[0].hidden.index_select(0, at["token"]), model.table(self.target))
        return multi_label_loss(scores, Labels(at["row"], at["label"]), self.over)


def without_own(graph: Graph, tokens: Tokens, relation: str) -> Tokens:
    """Return sequences without the members that a relation links their roots to."""
    index = graph.schema.relation_index(relation)
    members = (tokens.hop == 1) & (tokens.relation == index)
    if not bool(members.any()):
        return tokens
    in_a_row = torch.equal(tokens.position, tokens.places())
    left = tokens.take((~members).nonzero().squeeze(1))
    return replace(left, position=left.places()) if in_a_row else left
