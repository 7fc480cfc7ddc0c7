"""Next item prediction: after every place, after a prefix, or after the whole sequence."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.head import Steps
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import Candidates, NodePrediction
from graphrec_pt.objectives.cooccurrence import CooccurrencePrior
from graphrec_pt.objectives.masking import of_types
from graphrec_pt.objectives.objective import Examples, RequiredFields, TrainingExamples, objective
from graphrec_pt.objectives.pairs import OfRelation, positives, relation_of
from graphrec_pt.objectives.pooling import SequencePool
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.objectives.sequence_rng import one_of
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("next_item")
class NextItem(NodePrediction):
    """Next item prediction, the causal language model (CLM) of histories.

    ``L = −1/n Σ_t log p(v_t | x_1 … x_{t−1})`` over the nodes of the same type (SASRec, Kang &
    McAuley, ICDM 2018, with the cross-entropy of Klenitskiy & Vasilev, RecSys 2023, by default;
    their binary one is ``candidates: {how: bce}``). Every node but the first token of a sequence
    is predicted once, from the token before it, which sees nothing later.

    Args:
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types that are predicted; all by default.
        only_last: Predict the last node of every sequence alone, as at inference.
        window: With w > 1 a place predicts one of the next w nodes, drawn anew in every epoch (the
            dense all-action loss of PinnerFormer, Pancha et al., KDD 2022, re-derived).
        repeats: Whether nodes that stand earlier in their sequence are predicted too.
        cooccurrence: A co-occurrence prior, a learned term of the score from links between items;
            needs ``softmax``. Only nodes of its catalogue are predicted.
        hide_met: With `cooccurrence`, whether nodes that stand earlier in the sequence are no
            candidates, as in a ranking that leaves out what was met.
    """

    only_last: bool = False
    window: int = Field(1, ge=1)
    repeats: bool = True
    cooccurrence: CooccurrencePrior | None = None
    hide_met: bool = True

    def __post_init__(self) -> None:
        if self.cooccurrence is not None and self.candidates.how != "softmax":
            got = f"candidates: {{how: {self.candidates.how}}}"
            raise GraphRecError("next_item", "softmax beside cooccurrence", got)

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their type."""
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"type"}))

    def check(self, spec: GraphSpec) -> None:
        """Raise for node types that the graph does not have."""
        super().check(spec)
        if self.cooccurrence is not None:
            self.cooccurrence.check(spec)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the sequences unchanged, and the next node of every place."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("next_item")
        only = None if self.cooccurrence is None else (self.cooccurrence.catalogue(graph),)
        eligible = of_types(graph, tokens, only or self.types)
        if not self.repeats:
            eligible &= first_time(tokens)
        node = eligible.nonzero().squeeze(1)  # [n], those that may be predicted, in order
        predicted = tokens.places()[node] > 0
        if self.only_last:
            predicted &= _is_last(tokens.sequence_of()[node])
        words = draws.of_tokens(tokens)[node]
        target = self._drawn_from_window(tokens, node, words) if self.window > 1 else node
        token, target, words = node[predicted] - 1, target[predicted], words[predicted]
        types = tokens.type[target]
        drawn = self.candidates.draw(graph, types, words, draws)
        targets = {"token": token, "node": tokens.id[target], "type": types}
        if self.cooccurrence is not None:
            drawn = self.cooccurrence.pairs(
                graph, tokens, token, targets["node"], hide=self.hide_met
            )
        return TrainingExamples((View(tokens, "causal"),), targets | drawn, len(token))

    def head(self, spec: GraphSpec, width: int) -> ItemHead:
        """Return the head of the candidates, with the co-occurrence prior if there is one."""
        head = super().head(spec, width)
        assert isinstance(head, ItemHead)
        if self.cooccurrence is not None:
            head.cooccurrence = self.cooccurrence.head()
        return head

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over the predicted nodes."""
        if head.cooccurrence is None:
            return super().loss(encoded, corrupted, model, head)
        at = corrupted.targets
        hidden = encoded[0].hidden.index_select(0, at["token"])  # [n, D]
        name = model.spec.node_names[int(at["type"][0])]
        left, right = head.sides(hidden, model.table(name))
        target = at["node"] - model.spec.ids(name).start
        pairs = [at[f"cooccurrence.{part}"] for part in ("ptr", "item", "value", "hidden")]
        return head.cooccurrence.loss(left, right, target, head.temperature, *pairs)

    def _drawn_from_window(self, tokens: Tokens, node: Tensor, words: Tensor) -> Tensor:
        """Return one of each node and the eligible ones after it: int64 ``[n]`` tokens."""
        row = tokens.sequence_of()[node]
        left = torch.searchsorted(row, row, right=True) - torch.arange(len(row))
        step = one_of(words[:, 3], left.clamp(max=self.window))
        return node[torch.arange(len(node)) + step]

    def readout(self) -> QueryReadout:
        """Return a ranking of the next item from the last token."""
        return QueryReadout("last", "causal", prior=self.cooccurrence)


@objective("next_behaviors")
class NextBehaviors(NodePrediction):
    """Next K behaviours prediction (NBP) of PTUM (Wu et al., Findings of EMNLP 2020), re-derived.

    ``L = −1/n Σ_b Σ_{k ≤ K} log p(v_{N+k} | mean of h_1 … h_N)`` where only the first N events of
    a sequence are shown, N drawn anew in every epoch such that K events follow where possible.
    ``candidates: {how: choice}`` sets each against 4 others, as the paper does. A learned
    vector added to the state says which of the K is predicted.

    Args:
        steps: K.
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types that count as events; all by default. Roots never do.
    """

    steps: int = Field(2, ge=1)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return prefixes of the sequences with at least two events, and the following events."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("next_behaviors")
        event = of_types(graph, tokens, self.types) & (tokens.hop != 0)
        row = tokens.sequence_of()
        count = torch.bincount(row[event], minlength=len(tokens))
        number = event.long().cumsum(0) - (count.cumsum(0) - count)[row]  # events with this one
        room = (count - self.steps).clamp(min=1)
        shown = 1 + one_of(draws.of_sequences()[:, 0, 0], room)  # N, [B]
        coming = event & (number > shown[row]) & (number <= (shown + self.steps)[row])
        rows = (count > 1).nonzero().squeeze(1)
        place = torch.full_like(count, -1).index_copy(0, rows, torch.arange(len(rows)))
        token = coming.nonzero().squeeze(1)
        # Keep event N and its text; the relation token after it would reveal the next event.
        before = (number < shown[row]) | (
            (number == shown[row]) & (event | (tokens.kind == Kind.TEXT))
        )
        seen = tokens.take(before.nonzero().squeeze(1)).select(rows)
        words = draws.of_tokens(tokens)[token]
        types = tokens.type[token]
        targets = {
            "sequence": place[row[token]],
            "ahead": number[token] - shown[row[token]] - 1,
            "node": tokens.id[token],
            "type": types,
        } | self.candidates.draw(graph, types, words, draws)
        return TrainingExamples((View(seen),), targets, len(token))

    def head(self, spec: GraphSpec, width: int) -> nn.ModuleDict:
        """Return the head of the candidates, and a vector for each step."""
        step = Steps(self.steps, width)
        return nn.ModuleDict({"item": self.candidates.head(width), "step": step})

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: nn.ModuleDict,
    ) -> Tensor:
        """Return the mean over the events to come."""
        at = corrupted.targets
        state = encoded[0].pooled().index_select(0, at["sequence"])  # [n, D]
        hidden = state + head["step"](at["ahead"])
        item: ItemHead = head["item"]  # type: ignore[assignment]
        return self.candidates.loss(hidden, at, model, item)


@objective("target_item")
class TargetItem(OfRelation):
    """Predict one item from a whole history, whose events may be of another behaviour.

    ``L = −1/n Σ log p(v⁺ | history)``: v⁺ is the target of the edge hidden from the root, else the
    last event, which is taken out. So views predict a purchase, and what was read in one place
    what will be clicked in another: the target task of PeterRec (Yuan et al., SIGIR 2020), where
    the state after the last event goes to the items of the target through a new layer.

    Args:
        relation: Leads from roots to items; by default the first interaction relation.
        pool: Pooling of the hidden states.
        candidates: The loss over the nodes of a type, and its negatives.
    """

    pool: SequencePool = "last"
    candidates: Candidates = Candidates()

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return histories, and the item that each leads to."""
        graph, draws = examples.graph, examples.draws.named("target_item")
        relation = relation_of(graph, self.relation)
        pairs = positives(examples, relation)
        types = pairs.target.new_full(pairs.target.shape, graph.schema.node_index(relation.target))
        words = draws.select(pairs.row).of_sequences()[:, 0]  # [n, 4]
        drawn = self.candidates.draw(graph, types, words, draws)
        targets = {"node": pairs.target, "type": types}
        return TrainingExamples(
            (View(pairs.tokens, root=pairs.source),), targets | drawn, len(pairs.row)
        )

    def head(self, spec: GraphSpec, width: int) -> ItemHead:
        """Return the head of the candidates."""
        return self.candidates.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over histories."""
        at, state = corrupted.targets, encoded[0].pooled(self.pool)  # [n, D]
        return self.candidates.loss(state, at, model, head)

    def readout(self) -> QueryReadout:
        """Return a ranking by the state that training compared with the items."""
        return QueryReadout(self.pool)


def first_time(tokens: Tokens) -> Tensor:
    """Return the first occurrence of each node in its sequence: bool ``[T]``."""
    is_node = tokens.kind == Kind.NODE
    name = (tokens.sequence_of() << 32) | tokens.id
    order = torch.argsort(name[is_node], stable=True)
    ordered = name[is_node][order]
    fresh = torch.ones_like(ordered, dtype=torch.bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    out = torch.zeros_like(is_node)
    out[is_node.nonzero().squeeze(1)[order]] = fresh
    return out


def _is_last(row: Tensor) -> Tensor:
    """Return the last position of each value in an ascending vector: bool, the same shape."""
    last = torch.ones_like(row, dtype=torch.bool)
    last[:-1] = row[1:] != row[:-1]
    return last
