"""Pairs of users and items: positives, negatives, and the two losses over their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation, Strict
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.negative import negative, popularity
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.masking import events, last_of, with_text
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.pooling import SequencePool
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.sampling.edges import segment_edges
from graphrec_pt.tokens.tokens import Tokens

_popularities: Memo[Tensor] = Memo()  # of a graph


class Positives(NamedTuple):
    """The positive node of each sequence.

    Args:
        row: int64 ``[n]``, sequences of the batch that have something, ascending.
        source: int64 ``[n]``, their roots.
        target: int64 ``[n]``, the nodes to find.
        tokens: The n sequences, without the target where it was taken from them.
    """

    row: Tensor
    source: Tensor
    target: Tensor
    tokens: Tokens


class Pairs(Strict):
    """Which pairs are scored, and how: ``s(u, i) = h_u · e_i / τ``.

    The positive of a root is the target of the edge hidden from it (``exclude``); a root without
    one has its last event, which is then taken out of the sequence. Negatives are never the target
    of a true edge of the root.

    Args:
        relation: Leads from roots to items; by default the first interaction relation.
        user: The ``"state"`` of the sequence, or the ``"vector"`` of the root as features make it
            (two towers, or a graph neural network: nothing is encoded then).
        pool: Pooling of the hidden states.
        negatives: K, for each positive.
        popularity: Power of the number of edges by which negatives are drawn; 0 is uniform.
        cosine: Whether both sides are put on the unit sphere.
        temperature: τ.
    """

    relation: str | None = None
    user: Literal["state", "vector"] = "state"
    pool: SequencePool = "last"
    negatives: int = Field(1, ge=1)
    popularity: float = Field(0.0, ge=0)
    cosine: bool = False
    temperature: float = Field(1.0, gt=0)

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots, where sequences are read."""
        return RequiredFields(fields=frozenset({"type", "hop"} if self.user == "state" else ()))

    def corrupt(self, examples: Examples, purpose: str) -> TrainingExamples:
        """Return sequences, positives and negatives.

        Args:
            examples: Roots of the type that the relation leaves.
            purpose: Names the draws.
        """
        graph = examples.graph
        relation = relation_of(graph, self.relation)
        pairs = positives(examples, relation, needs_tokens=self.user == "state")
        draws = examples.draws.named(purpose).select(pairs.row)
        negatives = drawn_negatives(
            graph, relation, pairs.source, draws, self.negatives, self.popularity
        )
        some = (negatives >= 0).all(1)  # keep a row only if all its negatives exist
        kept = some.nonzero().squeeze(1)
        targets = {
            "source": pairs.source[kept],
            "positive": pairs.target[kept],
            "negative": negatives[kept],
        }
        views: tuple[View, ...] = ()
        if self.user == "state":
            views = (View(pairs.tokens.select(kept), root=pairs.source[kept]),)
        return TrainingExamples(views, targets, len(kept))

    def head(self, width: int) -> ItemHead:
        """Return the scorer of pairs."""
        return ItemHead(width, cosine=self.cosine, temperature=self.temperature)

    def scores(
        self, encoded: Sequence[Encoded], at: Mapping[str, Tensor], model: Model, head: ItemHead
    ) -> tuple[Tensor, Tensor]:
        """Return scores of positives ``[n]`` and negatives ``[n, K]``."""
        state = self.user == "state"
        users = encoded[0].pooled(self.pool) if state else model.nodes(at["source"])  # [n, D]
        items = torch.cat([at["positive"].unsqueeze(1), at["negative"]], dim=1)  # [n, 1+K]
        left, right = head.sides(users, model.nodes(items.flatten()))
        right = right.view(*items.shape, -1)  # [n, 1+K, D]
        scores = torch.einsum("nd,nkd->nk", left, right) / self.temperature
        return scores[:, 0], scores[:, 1:]

    def readout(self, chance: Literal["pair"] | None = None) -> QueryReadout:
        """Return a readout of user vectors whose inner products with item vectors are scores.

        Args:
            chance: Whether the scores are logits of the chance of a pair.
        """
        return QueryReadout("vector" if self.user == "vector" else self.pool, chance=chance)


@dataclass(frozen=True)
class OfRelation(Objective):
    """An objective over one relation.

    Args:
        relation: Leads from roots to items; by default the first interaction relation.
    """

    relation: str | None = None

    def check(self, spec: GraphSpec) -> None:
        """Raise when the graph does not have the relation, or has none to choose."""
        checked_relation(spec, self.relation)


@dataclass(frozen=True)
class OfPairs(Objective):
    """An objective over scores of pairs.

    Args:
        pairs: Which pairs are scored, and how.
    """

    pairs: Pairs = Pairs()  # noqa: RUF009 - frozen

    @property
    def reads_sequences(self) -> bool:
        """Whether the user is the state of a sequence."""
        return self.pairs.user == "state"

    purpose: ClassVar[str]

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots, where sequences are read."""
        return self.pairs.needs

    def check(self, spec: GraphSpec) -> None:
        """Raise when the graph does not have the relation."""
        checked_relation(spec, self.pairs.relation)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the sequences, with a positive item and negatives for each."""
        return self.pairs.corrupt(examples, self.purpose)

    def head(self, spec: GraphSpec, width: int) -> ItemHead:
        """Return the scorer of pairs, which has no weights."""
        return self.pairs.head(width)


@objective("pairwise")
class Pairwise(OfPairs):
    """Bayesian personalised ranking (BPR) over pairs of user and item.

    ``L = −1/nK Σ_n Σ_k log σ(s(u_n, i_n) − s(u_n, j_nk))`` (Rendle et al., UAI 2009), as in
    pre-training by side information (COM-P, Liu et al., TOIS 2023) and graph recommenders.

    Args:
        pairs: Which pairs are scored, and how.
    """

    purpose = "pairwise"

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over positives and their negatives."""
        return bpr(*self.pairs.scores(encoded, corrupted.targets, model, head))

    def readout(self) -> QueryReadout:
        """Return a readout of vectors whose inner products are the scores."""
        return self.pairs.readout()


@objective("pointwise")
class Pointwise(OfPairs):
    """Binary cross-entropy (BCE) over pairs of user and item.

    ``L = −1/n(1+K) Σ_n [log σ(s(u_n, i_n)) + Σ_k log σ(−s(u_n, j_nk))]``, as in SASRec (Kang &
    McAuley, ICDM 2018) and in pre-training by side information (COM-P, Liu et al., TOIS 2023).

    Args:
        pairs: Which pairs are scored, and how.
    """

    purpose = "pointwise"

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over positives and negatives alike."""
        return bce(*self.pairs.scores(encoded, corrupted.targets, model, head))

    def readout(self) -> QueryReadout:
        """Return a readout of vectors whose inner products are logits of a probability."""
        return self.pairs.readout(chance="pair")


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean of ``−log σ(s_n − s_nk)``: Bayesian personalised ranking.

    Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009.

    Args:
        positive: ``[n]``, scores.
        negative: ``[n, K]``, scores.

    Returns:
        A scalar; 0 for no rows.
    """
    terms = softplus(negative - positive.unsqueeze(1))
    return terms.sum() / max(terms.numel(), 1)


def bce(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean of ``−(log σ(s_n) + Σ_k log σ(−s_nk)) / (1 + K)``.

    Args:
        positive: ``[n]``, logits: nothing went through a sigmoid yet.
        negative: ``[n, K]``, logits.

    Returns:
        A scalar; 0 for no rows.
    """
    terms = softplus(-positive).sum() + softplus(negative).sum()
    return terms / max(positive.numel() + negative.numel(), 1)


def checked_relation(spec: GraphSpec, name: str | None) -> str:
    """Return a relation's name, that of the first interaction relation for None."""
    if name is not None:
        spec.relation_index(name)
        return name
    names = [each.name for each in spec.relations if each.interaction and not each.backward]
    if not names:
        raise GraphRecError("pairs", "an interaction relation", "none", "relation: NAME")
    return names[0]


def relation_of(graph: Graph, name: str | None) -> Relation:
    """Return a relation, the first interaction relation for None."""
    return graph.schema.interaction() if name is None else graph.schema.relation(name)


def drawn_negatives(
    graph: Graph,
    relation: Relation,
    source: Tensor,
    draws: SequenceRNG,
    count: int,
    power: float = 0.0,
) -> Tensor:
    """Return nodes that a relation does not lead to from some sources, −1 where it leads to all.

    Args:
        graph: The graph that may be seen, without held-out edges.
        relation: The relation.
        source: int64 ``[n]`` of the type that it leaves.
        draws: Draws of n sequences, named for the purpose.
        count: K.
        power: Power of the number of edges by which they are drawn; 0 is uniform.

    Returns:
        int64 ``[n, K]``.
    """
    items = graph.nodes(relation.target)
    return negative(
        graph.csr,
        source,
        graph.schema.slot(relation.name),
        count,
        draws.key,
        low=items.start,
        high=items.stop,
        cumulative=_popularity(graph, relation.name, power) if power else None,
        item=draws.row,
    )


def positives(examples: Examples, relation: Relation, *, needs_tokens: bool = True) -> Positives:
    """Return the positive node of each sequence: the hidden edge's target or the last event.

    Args:
        examples: Roots of the type that the relation leaves.
        relation: Leads from roots to what is to be found.
        needs_tokens: Leave out sequences of which no token remains.

    Raises:
        GraphRecError: For roots that are no nodes of that type.
    """
    graph, tokens = examples.graph, examples.tokens
    roots = _checked_roots(examples, relation)
    target = _hidden_targets(examples, roots, relation)[examples.owner]  # [B], −1 for none
    latest = last_of(tokens, events(tokens, graph.schema.node_index(relation.target)))
    latest = torch.where(target < 0, latest, -1)
    taken = latest[latest >= 0]
    target[latest >= 0] = tokens.id[taken]
    seen = _without(tokens, taken) if needs_tokens else tokens
    has_target = target >= 0
    if needs_tokens:
        has_target &= seen.lengths() > 0
    row = has_target.nonzero().squeeze(1)
    return Positives(row, roots[examples.owner[row]], target[row], seen.select(row))


def _checked_roots(examples: Examples, relation: Relation) -> Tensor:
    roots = examples.roots
    if not isinstance(roots, Tensor) or roots.ndim != 1:
        raise GraphRecError("pairs", f"roots of type {relation.source!r}", "pairs or sets")
    ids = examples.graph.nodes(relation.source)
    wrong = (roots < ids.start) | (roots >= ids.stop)
    if bool(wrong.any()):
        got = repr(examples.graph.type_of(int(roots[wrong][0])))
        hint = "relation: one that leaves it"
        raise GraphRecError("pairs", f"roots of type {relation.source!r}", got, hint)
    return roots


def _hidden_targets(examples: Examples, roots: Tensor, relation: Relation) -> Tensor:
    """Return where the edge hidden from each root leads, −1 where there is none: int64 ``[R]``."""
    graph, hidden = examples.graph, torch.full_like(roots, -1)
    if examples.exclude is None or graph.csr.edge is None:
        return hidden
    position, row = segment_edges(graph, roots, relation.name)
    same = graph.csr.edge[position] == examples.exclude[row]
    hidden[row[same]] = graph.csr.indices[position[same]].long()
    return hidden


def _without(tokens: Tokens, taken: Tensor) -> Tokens:
    """Remove at most one token per sequence with its text; later positions move up by one."""
    gone = torch.zeros_like(tokens.kind, dtype=torch.bool)
    gone[taken] = True
    gone = with_text(tokens, gone)
    before = gone.long().cumsum(0)
    before = (
        before - torch.cat([before.new_zeros(1), before])[tokens.ptr[:-1]][tokens.sequence_of()]
    )
    moved = replace(tokens, position=(tokens.position - before).clamp(min=0))
    return moved.take((~gone).nonzero().squeeze(1))


def _popularity(graph: Graph, relation: str, power: float) -> Tensor:
    """Return the relative frequency of each target of a relation: int64 ``[V]``."""

    def made() -> Tensor:
        among = graph.nodes(graph.schema.relation(relation).target)
        degree = torch.bincount(graph.edges(relation).target - among.start, minlength=len(among))
        return popularity(degree, power)

    return _popularities(graph, (relation, power), made)
