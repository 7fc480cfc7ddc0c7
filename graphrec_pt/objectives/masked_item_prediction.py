"""Masked items of a history: which item was hidden here, told from one that was not there."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.draws import one_of
from graphrec_pt.objectives.event_masking import choose_events, events
from graphrec_pt.objectives.masking import Masking, hide
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("masked_item_prediction")
class MaskedItemPrediction(Objective):
    """Masked item prediction (MIP) of S3-Rec (Zhou et al., CIKM 2020).

    ``L = −1/|M| Σ_{t ∈ M} log σ(s_t(i_t) − s_t(j_t))`` with one item j_t that is not in the
    history. The released code puts a second sigmoid around each score, which flattens the
    gradient; here there is one. Other `candidates` make it the cloze task of BERT4Rec.

    Args:
        masking: How many items, and what is put in their place; S3-Rec hides .2.
        last: Hide the last item always.
        candidates: What the hidden items are told from.
    """

    masking: Masking = Masking(share=0.2)
    last: bool = True
    candidates: Candidates = Candidates(how="pairwise")

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return Needs(frozenset({Kind.NODE}), frozenset({"type", "hop"}))

    def check(self, outline: Outline) -> None:
        """Accept any graph."""

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return one view, and the hidden items."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_item_prediction")
        chosen = choose_events(tokens, events(tokens), draws, self.masking, last=self.last)
        token = chosen.nonzero().squeeze(1)
        words = draws.named("candidates").of_tokens(tokens)[token]
        drawn = self.candidates.draw(graph, tokens.type[token], words, draws)
        if self.candidates.how == "pairwise":
            drawn["step"] = _steps_outside(graph, tokens, token, words)
        seen = hide(graph, tokens, chosen, draws, self.masking)
        targets = {"token": token, "node": tokens.id[token], "type": tokens.type[token]}
        return Corrupted((View(seen),), targets | drawn, len(token))

    def head(self, outline: Outline, width: int) -> ItemHead:
        """Return the head of the candidates."""
        return self.candidates.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over the hidden items."""
        at = corrupted.targets
        hidden = encoded[0].hidden.index_select(0, at["token"])
        return self.candidates.loss(hidden, at["node"], at["type"], at, model, head)


def _steps_outside(graph: Graph, tokens: Tokens, token: Tensor, words: Tensor) -> Tensor:
    """Return steps from each target to a node of its type outside its sequence: int64 ``[n]``.

    The first of four draws that is outside; the last one when none is.
    """
    kind = tokens.type[token]
    low = graph.csr.offset[kind]
    size = graph.csr.offset[kind + 1] - low
    step = 1 + one_of(words, (size - 1).clamp(min=1)[:, None])  # [n, 4]
    other = low[:, None] + (tokens.id[token] - low)[:, None].add(step) % size[:, None]
    row = tokens.sequence_of()
    there = (row << 32)[tokens.kind == Kind.NODE] | tokens.id[tokens.kind == Kind.NODE]
    inside = torch.isin((row[token] << 32)[:, None] | other, there)
    inside[:, -1] = False
    return step.gather(1, inside.long().argmin(1, keepdim=True)).squeeze(1)
