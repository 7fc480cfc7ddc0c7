"""Masked edge prediction: do two nodes of a sequence have an edge, and of which relation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import RelationHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.edge_masking import (
    links,
    pair_of_link,
    same_nodes,
    structured_negatives,
    without_edges,
    without_slots,
)
from graphrec_pt.objectives.masking import Masking, choose, first_occurrence, masked_out, with_text
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.pairs import bce, bpr
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.sampling.tree_batch import first_of
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("masked_edge")
class MaskedEdge(Objective):
    """Masked edge prediction (MEP) of CHEST (Wang et al., TOIS 2023), re-derived.

    Some edges (a, r, b) between a token and its parent are hidden, with every other edge between
    their two nodes; ``s_r(a, b)`` is that of
    :class:`~graphrec_pt.models.heads.RelationHead` on the hidden states.

    ``exists``: ``−log σ(s_r(a, b) − s_r(a, b'))`` where b' is a node of the type of b that a has
    no such edge to, or the binary cross-entropy of both (``compare: bce``). The sequence is shown
    twice, with b and with b' in its place and all else equal, so nothing but the nodes themselves
    separates them; which of the two views has the true end is drawn edge by edge. KGRec (Yang
    et al., KDD 2023) rebuilds masked edges likewise.

    ``relation``: ``−log softmax_r s_r(a, b)``. All slots are hidden, because they show the
    relations that led to a node. The types of the two nodes stay visible.

    Args:
        how: ``"exists"`` or ``"relation"``.
        compare: How ``exists`` compares the two scores.
        share: Share of the edges of a sequence that are hidden.
        most: Edges hidden at most in a sequence.
        relations: Names of the relations that may be hidden; all by default.
    """

    how: Literal["exists", "relation"] = "exists"
    compare: Literal["pairwise", "bce"] = "pairwise"
    share: float = Field(0.15, gt=0, le=1)
    most: int | None = Field(None, ge=1)
    relations: tuple[str, ...] | None = None

    @property
    def needs(self) -> RequiredFields:
        """Return nodes with their parent and the relation from it."""
        fields = frozenset({"type", "hop", "parent", "relation"})
        return RequiredFields(frozenset({Kind.NODE}), fields)

    def check(self, spec: GraphSpec) -> None:
        """Raise for relations that the graph does not have."""
        for name in self.relations or ():
            spec.relation_index(name)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view for ``relation`` and two for ``exists``, and the hidden edges."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_edge")
        eligible = links(tokens)
        if self.relations is not None:
            wanted = torch.tensor([graph.schema.relation_index(name) for name in self.relations])
            eligible &= torch.isin(tokens.relation, wanted)
        policy = Masking(share=self.share, most=self.most)
        if self.how == "exists":
            return self._existing(graph, tokens, eligible, draws, policy)
        eligible &= first_of(torch.where(eligible, pair_of_link(tokens), -1))  # once per pair
        chosen = choose(tokens, eligible, draws, policy)
        view = View(without_slots(without_edges(tokens, chosen)))
        token = chosen.nonzero().squeeze(1)
        return TrainingExamples((view,), _targets(tokens, token), len(token))

    def _existing(
        self, graph: Graph, tokens: Tokens, eligible: Tensor, draws: SequenceRNG, policy: Masking
    ) -> TrainingExamples:
        first = first_occurrence(tokens)
        eligible &= first_of(torch.where(eligible, first, -1))  # once per node that may change
        eligible &= ~same_nodes(first, tokens.hop == 0)
        chosen = choose(tokens, eligible, draws, policy)
        # A replaced end cannot serve as the fixed end of another edge.
        at = chosen.nonzero().squeeze(1)
        chosen[at] = ~same_nodes(first, chosen)[tokens.parents()[at]]
        words = draws.named("ends").of_tokens(tokens)
        token = chosen.nonzero().squeeze(1)
        source, relation = tokens.id[tokens.parents()[token]], tokens.relation[token]
        key = draws.key.named("no neighbors")
        other = structured_negatives(graph, source, relation, 1, key, words[token, 0]).squeeze(1)
        row = tokens.sequence_of()
        here = ((row << 32) | tokens.id)[tokens.kind == Kind.NODE]
        kept = (other >= 0) & ~torch.isin((row[token] << 32) | other, here)
        token, other = token[kept], other[kept]
        true = words[token, 1] & 1  # the view that has the true end
        chosen = torch.zeros_like(chosen).index_fill(0, token, True)
        seen = without_edges(tokens, chosen)
        if tokens.word is not None:
            seen = _without_text(seen, same_nodes(first, chosen))
        views = []
        for side in (0, 1):
            new = torch.full_like(tokens.id, -1)
            new[first[token[true != side]]] = other[true != side]
            views.append(View(replace(seen, id=torch.where(new[first] >= 0, new[first], seen.id))))
        return TrainingExamples(tuple(views), _targets(tokens, token) | {"true": true}, len(token))

    def head(self, spec: GraphSpec, width: int) -> RelationHead:
        """Return the scores of relations between two tokens."""
        return RelationHead(width, len(spec.relations))

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: RelationHead,
    ) -> Tensor:
        """Return the mean over the hidden edges."""
        at = corrupted.targets
        scores = [
            head(one.hidden.index_select(0, at["parent"]), one.hidden.index_select(0, at["token"]))
            for one in encoded
        ]  # [n, R] each
        if self.how == "relation":
            total = cross_entropy(scores[0], at["relation"], reduction="sum")
            return total / max(len(at["relation"]), 1)
        relation = at["relation"].unsqueeze(1)
        left, right = (score.gather(1, relation).squeeze(1) for score in scores)  # [n]
        first = at["true"] == 0
        true, false = torch.where(first, left, right), torch.where(first, right, left)
        compare = bpr if self.compare == "pairwise" else bce
        return compare(true, false.unsqueeze(1))


def _targets(tokens: Tokens, token: Tensor) -> dict[str, Tensor]:
    return {
        "token": token,
        "parent": tokens.parents()[token],
        "relation": tokens.relation[token],
    }


def _without_text(tokens: Tokens, nodes: Tensor) -> Tokens:
    """Return tokens with the text of some nodes hidden."""
    return masked_out(tokens, with_text(tokens, nodes) & (tokens.kind == Kind.TEXT))
