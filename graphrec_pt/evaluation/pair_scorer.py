"""Subgraphs between user and item as a scorer: towers for the catalogue, subgraphs for its best."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.fusion_scorer import FusionScorer
from graphrec_pt.evaluation.model_scorer import (
    ASKED,
    DECODED,
    FUSED,
    Sample,
    last_masks,
    model_scorer,
    name_of,
    ranking_term,
    trained_head,
)
from graphrec_pt.evaluation.path_scorer import PathScorer
from graphrec_pt.evaluation.scorer import Scorer
from graphrec_pt.evaluation.seen import seen_pairs
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.heads import ItemHead, LinkHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.link import pair_roots, unlinked
from graphrec_pt.sampling.sampler import kind_of_roots
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.stage import Stage

RERANK = 50
"""Items of each source whose subgraphs are looked at."""
BLOCK = 2048
"""Subgraphs encoded at once."""


@dataclass(frozen=True, eq=False)
class PairScorer:
    """Global scores of the whole catalogue, local ones of what stands at its top.

    A subgraph for every pair of a catalogue is out of reach. So every item is scored by the vectors
    of the two nodes, ``e_u · e_i``, and the best `rerank` items that the source has not met are
    put in the order of the objective on their subgraphs, above all others: by the logit of ``link``
    or, where a template asks for the item, by the log-probability of that ``answer``, told from
    the subgraph without the item. With `rerank` at the size of the catalogue and ``link`` this is
    CHEST (Wang et al., TOIS 2023) to the letter.

    Args:
        model: Trained, with the head of its objective.
        stage: The last one it was trained by; its sampler takes pairs.
        history: What may be seen.
        relation: Leads from sources to candidates.
        rerank: Items of each source that are put in order by their subgraphs.
    """

    model: Model
    stage: Stage
    history: Graph
    relation: str
    rerank: int = RERANK

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]``."""
        found = self.history.schema.relation(self.relation)
        catalogue, device = self.history.nodes(found.target), next(self.model.parameters()).device
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), self.model.held():
                table = self.model.table(found.target)
                scores = self.model.nodes(nodes.to(device)) @ table.T  # [B, V]
                ptr, met = seen_pairs(self.history, self.relation, nodes)
                owner = ranges(ptr[:-1], ptr.diff())[1]
                place = owner.to(device), met.to(device)
                unseen = scores.index_put(place, scores.new_tensor(-torch.inf))
                best = unseen.topk(min(self.rerank, len(catalogue)), dim=1)  # [B, N]
                row, column = (best.values > -torch.inf).nonzero(as_tuple=True)
                item = best.indices[row, column]
                pairs = torch.stack([nodes[row.cpu()], item.cpu() + catalogue.start], dim=1)
                local = self._local(pairs)
        finally:
            self.model.train(training)
        if not len(local):
            return scores
        above = scores.amax(1)[row] + 1 - local.min() + local
        return scores.index_put((row, item), above)

    def _local(self, pairs: Tensor) -> Tensor:
        """Return the score of each pair by its subgraph: ``[P]``."""
        term = ranking_term(self.stage)
        assert term is not None
        head: Any = trained_head(self.model, term)
        scored = self._answered if name_of(term) == ASKED else self._linked
        parts = [scored(head, block.contiguous()) for block in torch.split(pairs, BLOCK)]
        device = next(self.model.parameters()).device
        return torch.cat(parts) if parts else torch.empty(0, device=device)

    def _linked(self, head: LinkHead, pairs: Tensor) -> Tensor:
        tokens = unlinked(self._tokens(pairs))
        encoded = self._encoded(tokens, pairs)
        logits: Tensor = head(encoded, pair_roots(tokens).to(encoded.hidden.device))
        return logits

    def _answered(self, head: ItemHead, pairs: Tensor) -> Tensor:
        tokens = self._tokens(pairs)
        encoded = self._encoded(tokens, pairs)
        target = self.history.schema.relation(self.relation).target
        device = encoded.hidden.device
        asked = last_masks(tokens, self.history.schema.node_index(target)).to(device)
        items = (pairs[:, 1] - self.history.nodes(target).start).to(device)
        hidden = encoded.hidden.index_select(0, asked)
        return -head.loss(hidden, self.model.table(target), items, reduction="none")

    def _tokens(self, pairs: Tensor) -> Tokens:
        sample: Any = self.stage.sampler.sample(self.history, pairs, Key(0))
        tokens: Tokens = self.stage.linearizer.linearize(self.history, sample, Key(0))
        return tokens

    def _encoded(self, tokens: Tokens, pairs: Tensor) -> Encoded:
        view = View(tokens, root=pairs[:, 0].contiguous())
        return self.model.encode(view.to(next(self.model.parameters()).device))


Scoring = Literal["towers", "fusion", "rerank"]
"""Vectors of the nodes alone; with one subgraph a source; with a subgraph for each item on top."""


def scorings(stage: Stage) -> tuple[Scoring, ...]:
    """Return how a stage's model can score a catalogue, the default first; none: in one way."""
    term = ranking_term(stage)
    if term is not None and kind_of_roots(stage.sampler) == "pairs":
        return ("rerank", "towers")
    return ("fusion", "towers") if term is not None and name_of(term) == FUSED else ()


def check_scoring(stage: Stage, scoring: Scoring | None) -> None:
    """Raise for a scoring that a stage does not teach."""
    if scoring is not None and scoring not in scorings(stage):
        known = ", ".join(scorings(stage)) or "no scoring: its model scores in one way"
        hint = "the objective fusion on nodes, or link or answer on pairs"
        raise GraphRecError("scoring", known, scoring, hint)


def scorer_of(
    model: Model,
    stage: Stage,
    history: Graph,
    relation: str,
    nodes: Tensor,
    *,
    sample: Sample | None = None,
    rerank: int = RERANK,
    scoring: Scoring | None = None,
) -> Scorer:
    """Return the scorer of a trained model, whatever its last stage reads.

    Args:
        model: Trained by the stage, with its heads.
        stage: Its sampler takes nodes or pairs.
        history: What may be seen.
        relation: Leads from sources to candidates.
        nodes: int64 ``[Q]``, global ids of the sources, ascending.
        sample: As for :func:`~graphrec_pt.evaluation.model_scorer.model_scorer`; no subgraph joins
            a source that the graph does not know to an item.
        rerank: As for :class:`PairScorer`.
        scoring: One of :func:`scorings`; the first by default.

    Raises:
        GraphRecError: As for :func:`~graphrec_pt.evaluation.model_scorer.model_scorer`, and for
            a scoring that the stage does not teach.
    """
    check_scoring(stage, scoring)
    chosen = scoring or next(iter(scorings(stage)), None)
    if sample is None and kind_of_roots(stage.sampler) == "pairs" and chosen is not None:
        return PairScorer(model, stage, history, relation, rerank if chosen == "rerank" else 0)
    if sample is None and chosen == "fusion":
        return FusionScorer(model, stage, history, relation)
    term = ranking_term(stage)
    if sample is None and term is not None and name_of(term) == DECODED:
        return PathScorer(model, stage, term, history, relation)
    return model_scorer(model, stage, history, relation, nodes, sample=sample)
