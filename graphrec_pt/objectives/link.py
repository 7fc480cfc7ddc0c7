"""Link prediction: does a user take an item, judged from the subgraph between the two."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.negative import negative
from graphrec_pt.models.heads import LinkHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.cloze import MaskedNode
from graphrec_pt.objectives.edge_masking import links, without_edges
from graphrec_pt.objectives.masking import occurrences
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.pairs import OfRelation, bce, bpr, relation_of
from graphrec_pt.objectives.readout import RERANK, PairReadout
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("link")
class LinkPrediction(OfRelation):
    """Scores of user–item pairs by their subgraphs, as CHEST is fine-tuned, re-derived.

    ``s(u, i) = f([h_u; h_i; h_u ⊙ h_i; mean_t h_t])`` on the subgraph of (u, i) (Wang et al.,
    TOIS 2023); for each positive pair K items that u has no edge to. ``bpr``:
    ``−1/K Σ_k log σ(s(u, i) − s(u, i_k))``; ``bce``: ``−(log σ(s(u, i)) + Σ_k log σ(−s(u, i_k))) /
    (1 + K)``; ``softmax``: ``−log e^{s(u, i)} / (e^{s(u, i)} + Σ_k e^{s(u, i_k)})``.

    The subgraphs of negatives are sampled and linearized as those of the positives, and edges
    between the two roots are hidden from both, so that only the other
    connections between user and item can separate them.

    Args:
        relation: Leads from users to items; by default the first interaction relation.
        form: One of the three.
        negatives: K.
        rerank: Candidates of each source that are put in the order of their subgraphs, the best by
            the vectors of the nodes; 0 for none.
    """

    form: Literal["bpr", "bce", "softmax"] = "bpr"
    negatives: int = Field(1, ge=1)
    rerank: int = Field(RERANK, ge=0)

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots, and how they were reached."""
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"hop", "parent", "relation"}))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the subgraphs of the pairs, and of K pairs for each that are no edge.

        Raises:
            GraphRecError: For roots that are no pairs of the relation's types, and linearizers
                that make more than one sequence of a pair.
        """
        graph, pairs = examples.graph, examples.roots
        if not isinstance(pairs, Tensor) or pairs.ndim != 2:
            raise GraphRecError("link", "pairs of roots (user, item)", "nodes or sets")
        relation = relation_of(graph, self.relation)
        items = graph.nodes(relation.target)
        draws = examples.draws.named("link")
        if len(examples.owner) != len(pairs):
            got = f"{len(examples.owner)} of {len(pairs)} pairs"
            raise GraphRecError("link", "one sequence for each pair", got, "join: true")
        others = negative(
            graph.csr,
            pairs[:, 0],
            graph.schema.slot(relation.name),
            self.negatives,
            draws.key,
            low=items.start,
            high=items.stop,
            item=draws.of_sequences()[:, 0, 0],
        )  # [R, K]
        kept = (others >= 0).all(1).nonzero().squeeze(1)
        users = pairs[kept, :1].expand(-1, self.negatives)
        wrong = torch.stack([users, others[kept]], dim=2).flatten(0, 1)  # [n · K, 2]
        exclude = None if examples.exclude is None else torch.full_like(wrong[:, 0], -1)
        made, _ = examples.resample(wrong, exclude)
        views = [unlinked(tokens) for tokens in (examples.tokens.select(kept), made)]
        targets = {
            f"{name}.roots": pair_roots(view) for name, view in zip(_SIDES, views, strict=True)
        }
        return TrainingExamples(tuple(View(view) for view in views), targets, len(kept))

    def head(self, spec: GraphSpec, width: int) -> LinkHead:
        """Return the score of a pair."""
        return LinkHead(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: LinkHead
    ) -> Tensor:
        """Return the mean over the positive pairs."""
        true, false = (
            head(one, corrupted.targets[f"{name}.roots"])
            for name, one in zip(_SIDES, encoded, strict=True)
        )
        false = false.view(len(true), self.negatives)
        if self.form == "softmax":
            scores = torch.cat([true.unsqueeze(1), false], dim=1)  # [n, 1 + K]
            first = torch.zeros_like(scores[:, 0], dtype=torch.int64)
            return cross_entropy(scores, first, reduction="sum") / max(len(true), 1)
        return bpr(true, false) if self.form == "bpr" else bce(true, false)

    def with_template(
        self, earlier: Sequence[tuple[str, Objective]]
    ) -> tuple[str | None, Objective]:
        """Return an `answer` that the head of an earlier masked node objective gives, if any."""
        for label, taught in earlier:
            if isinstance(taught, MaskedNode):
                given = {"candidates": taught.candidates, "rerank": self.rerank}
                return label, objective.build({"name": "answer", **given})
        return None, objective.build({"name": "answer", "rerank": self.rerank})

    def readout(self) -> PairReadout:
        """Return the score of a pair; its sigmoid is a probability only with the form ``bce``."""
        chance = self.form == "bce"
        return PairReadout(
            _score_of_pairs,
            shown=unlinked,
            value=torch.sigmoid if chance else None,
            of="chance" if chance else None,
            rerank=self.rerank,
        )


_SIDES = ("positive", "negative")


def _score_of_pairs(encoded: Encoded, pairs: Tensor, model: Model, head: nn.Module) -> Tensor:
    scores: Tensor = head(encoded, pair_roots(encoded.view.tokens))
    return scores


def pair_roots(tokens: Tokens) -> Tensor:
    """Return the tokens of the two roots of each sequence: int64 ``[B, 2]``."""
    at = ((tokens.hop == 0) & (tokens.kind == Kind.NODE)).nonzero().squeeze(1)
    count = torch.bincount(tokens.sequence_of()[at], minlength=len(tokens))
    wrong = count != 2
    if bool(wrong.any()):
        raise GraphRecError("link", "two roots in each sequence", int(count[wrong][0]))
    return at.view(-1, 2)


def unlinked(tokens: Tokens) -> Tokens:
    """Return subgraphs in which every edge between the two roots is removed."""
    root = occurrences(tokens, tokens.hop == 0)
    before = tokens.parents().clamp(min=0)
    direct = links(tokens) & root
    direct &= root[before] if len(before) else root
    tokens = without_edges(tokens, direct)
    edges = tokens.edges
    if edges is None:
        return tokens
    between = root[edges[:, 0]] & root[edges[:, 2]]
    return replace(tokens, edges=edges[~between])
