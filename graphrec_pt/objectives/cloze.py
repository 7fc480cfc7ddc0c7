"""Cloze tasks: hide nodes of a sequence and predict them from the remaining tokens."""

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.view import View
from graphrec_pt.objectives.catalogue import Candidates, NodePrediction
from graphrec_pt.objectives.masking import (
    Masking,
    choose_events,
    choose_nodes,
    events,
    hide,
    occurrences,
    of_types,
)
from graphrec_pt.objectives.objective import Examples, TrainingExamples, objective
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.objectives.sequence_rng import SequenceRNG, one_of
from graphrec_pt.sampling.tree_batch import first_of
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


class Cloze(NodePrediction):
    """Base of objectives that hide nodes and predict them at their own places."""

    def hidden(
        self, graph: Graph, tokens: Tokens, chosen: Tensor, draws: SequenceRNG, policy: Masking
    ) -> TrainingExamples:
        """Return one view without some nodes, and the nodes.

        Args:
            graph: The graph that may be seen, without held-out edges.
            tokens: B sequences.
            chosen: bool ``[T]``.
            draws: Draws of the sequences, named for the purpose.
            policy: What is put in their place.
        """
        token = chosen.nonzero().squeeze(1)
        words = draws.named("candidates").of_tokens(tokens)[token]
        targets = self.candidates.targets(graph, tokens, token, words, draws)
        seen = hide(graph, tokens, chosen, draws, policy)
        return TrainingExamples((View(seen),), targets, len(token))


@objective("masked_node")
class MaskedNode(Cloze):
    """Masked node prediction (MNP) of CHEST (Wang et al., TOIS 2023), re-derived.

    ``L = −1/|M| Σ_{m ∈ M} log p(v_m | sequence without M)`` over the nodes of the same type; with
    ``candidates: {how: pairwise}`` the "masked node against an irrelevant node" of the paper.
    Hidden nodes are hidden wherever they stand in the sequence, with their text; roots are
    hidden only with ``roots``, and never all of them.

    Args:
        masking: How many nodes, and what is put in their place.
        candidates: The loss over the nodes of a type, and its negatives.
        roots: Whether roots (hop 0) may be hidden too; one root of a sequence always stays.
        types: Names of the node types that may be hidden; all by default.
    """

    masking: Masking = Masking()
    roots: bool = False

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view, and the hidden nodes."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_node")
        chosen = choose_nodes(graph, tokens, draws, self.masking, self.types, roots=self.roots)
        if self.roots:
            kept = _kept_root(tokens, chosen)
            chosen &= ~(occurrences(tokens, kept) if self.masking.everywhere else kept)
        return self.hidden(graph, tokens, chosen, draws, self.masking)

    def readout(self) -> QueryReadout:
        """Return a ranking from a MASK appended to the sequence."""
        return QueryReadout("end")


@objective("masked_item")
class MaskedItem(Cloze):
    """The masked language model of histories (BERT4Rec, Sun et al., CIKM 2019).

    ``L = −1/|M| Σ_{m ∈ M} log p(v_m | sequence without M)``: ``masked_node`` as BERT4Rec has
    it. Always MASK, each event by itself although its item may stand elsewhere in the history,
    ``max(1, round(ρ n))`` of n events and at most `most`; one event stays visible
    (Transformers4Rec, de Souza Pereira Moreira et al., RecSys 2021), so that a history of one
    event teaches nothing.

    Args:
        share: ρ; .2 to .6 in the paper, higher for shorter histories.
        most: Events hidden at most.
        last: Share of histories in which the last event alone is hidden, as at inference.
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types that may be hidden; all by default.
    """

    share: float = Field(0.2, gt=0, le=1)
    most: int | None = Field(None, ge=1)
    last: float = Field(0.0, ge=0, le=1)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view, and the hidden items."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_node")  # the same draws as that objective
        policy = Masking(
            share=self.share, most=self.most, last=self.last, spare=1, everywhere=False
        )
        chosen = choose_nodes(graph, tokens, draws, policy, self.types)
        return self.hidden(graph, tokens, chosen, draws, policy)

    def readout(self) -> QueryReadout:
        """Return a ranking from a MASK appended to the history."""
        return QueryReadout("end")


@objective("masked_item_prediction")
class MaskedItemPrediction(Cloze):
    """Masked item prediction (MIP) of S3-Rec (Zhou et al., CIKM 2020).

    ``L = −1/|M| Σ_{t ∈ M} log σ(s_t(i_t) − s_t(j_t))`` with one item j_t that is not in the
    history. The released code puts a second sigmoid around each score, which flattens the
    gradient; here there is one. Other `candidates` make it the cloze task of BERT4Rec.

    Args:
        masking: How many items, and what is put in their place; S3-Rec hides .2.
        last: Hide the last item always.
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types that may be hidden; all by default.
    """

    candidates: Candidates = Candidates(how="pairwise")
    masking: Masking = Masking(share=0.2)
    last: bool = True

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view, and the hidden items."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_item_prediction")
        eligible = events(tokens)
        if self.types is not None:
            eligible &= of_types(graph, tokens, self.types)
        chosen = choose_events(tokens, eligible, draws, self.masking, last=self.last)
        corrupted = self.hidden(graph, tokens, chosen, draws, self.masking)
        if self.candidates.how != "pairwise":
            return corrupted
        token = corrupted.targets["token"]
        words = draws.named("candidates").of_tokens(tokens)[token]
        step = _steps_outside(graph, tokens, token, words)
        return replace(corrupted, targets={**corrupted.targets, "step": step})


def _kept_root(tokens: Tokens, chosen: Tensor) -> Tensor:
    """Return, where all roots of a sequence are chosen, the first of them: bool ``[T]``."""
    row, root = tokens.sequence_of(), (tokens.hop == 0) & (tokens.kind == Kind.NODE)
    seen = torch.bincount(row[root & ~chosen], minlength=len(tokens)) > 0  # [B]
    first = first_of(torch.where(root, row, -1)) & root
    return first & ~seen[row]


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
