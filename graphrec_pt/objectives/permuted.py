"""Permuted language models: nodes predicted in a random order, singly or span by span."""

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import NodePrediction
from graphrec_pt.objectives.masking import (
    Masking,
    choose,
    choose_nodes,
    first_occurrence,
    hide,
    occurrences,
    of_types,
)
from graphrec_pt.objectives.objective import Examples, TrainingExamples, objective
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.objectives.sequence_rng import SequenceRNG, one_of, unit
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("permuted")
class Permuted(NodePrediction):
    """The permuted language model (PerLM) of XLNet (Yang et al., NeurIPS 2019).

    ``L = −1/|M| Σ_{m ∈ M} log p(v_m | context, {v_j : j ∈ M before m in a drawn order})``. The
    last share M of the order is predicted, by the query stream, which knows the place of a node
    and not its content; the context before it is seen by all. The text of a node comes with it,
    and all occurrences of a node at once, so that neither gives it away.

    Args:
        masking: How many nodes stand at the end of the order; `mask` and `random` do nothing.
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types that are predicted; all by default.
        roots: Whether roots (hop 0) are predicted too.
    """

    masking: Masking = Masking(share=0.3, spare=1)
    roots: bool = False

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view in two streams, and the nodes at the end of the order."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("permuted")
        chosen = choose_nodes(graph, tokens, draws, self.masking, self.types, roots=self.roots)
        bits = draws.named("order").of_tokens(tokens)[:, 0]
        group = first_occurrence(tokens) if self.masking.everywhere else torch.arange(len(bits))
        order = order_of(tokens, chosen, bits[group])
        token = chosen.nonzero().squeeze(1)
        words = draws.named("candidates").of_tokens(tokens)[token]
        targets = self.candidates.targets(graph, tokens, token, words, draws)
        return TrainingExamples((View(tokens, order=order, two_stream=True),), targets, len(token))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: Any
    ) -> Tensor:
        """Return the mean over the predicted nodes, each from the query stream."""
        query = encoded[0].query
        assert query is not None  # the view asks for it
        hidden = query.index_select(0, corrupted.targets["token"])  # [n, D]
        return self.candidates.loss(hidden, corrupted.targets, model, head)

    def readout(self) -> QueryReadout:
        """Return a readout from the query stream of a MASK appended to the sequence."""
        return QueryReadout("end", shown=asked_last)


@objective("pseudo_masked")
class PseudoMasked(NodePrediction):
    """The pseudo-masked language model (PAM) of UniLMv2 (Bao et al., ICML 2020), re-derived.

    ``L = L_AE + w L_PAR`` over the same hidden nodes M, spans of neighbours:

    * auto-encoding: ``L_AE = −1/|M| Σ log p(v_m | sequence without M)``, all at once from MASK;
    * partially auto-regressive: ``L_PAR = −1/|M| Σ_s Σ_{m ∈ s} log p(v_m | context, spans before s
      in a drawn order)``, the nodes of one span at once. The pseudo-masks of the paper are the
      query stream of two, whose order of factorisation is that of the spans.

    The paper packs both into one pass; here they are two, with the same weights.

    Args:
        share: Share of the nodes that are hidden, about.
        spans: Share of the blocks that are spans; the others are single nodes. .4 in the paper.
        longest: Nodes of a span at most; its length is uniform from 2. 6 in the paper.
        partial: w.
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types that may be hidden; all by default.
    """

    share: float = Field(0.15, gt=0, le=1)
    spans: float = Field(0.4, ge=0, le=1)
    longest: int = Field(6, ge=2)
    partial: float = Field(1.0, ge=0)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return a view with all hidden nodes masked, one in two streams, and the nodes."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("pseudo_masked")
        eligible = of_types(graph, tokens, self.types)
        eligible &= ~occurrences(tokens, tokens.hop == 0)
        start = self._starts(tokens, eligible, draws)  # [T], −1 outside of blocks
        chosen = start >= 0
        seen = hide(graph, tokens, chosen, draws, Masking(everywhere=False))
        bits = draws.named("order").of_tokens(tokens)[:, 0]
        order = order_of(tokens, chosen, bits[start.clamp(min=0)])
        token = chosen.nonzero().squeeze(1)
        words = draws.named("candidates").of_tokens(tokens)[token]
        targets = self.candidates.targets(graph, tokens, token, words, draws)
        views = View(seen, "bidirectional"), View(tokens, order=order, two_stream=True)
        return TrainingExamples(views, targets, len(token))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: Any
    ) -> Tensor:
        """Return the mean over the hidden nodes of the sum of both losses."""
        masked, ordered = encoded
        assert ordered.query is not None  # the view asks for it
        all_at_once = super().loss([masked], corrupted, model, head)
        hidden = ordered.query.index_select(0, corrupted.targets["token"])  # [n, D]
        span_by_span = self.candidates.loss(hidden, corrupted.targets, model, head)
        return all_at_once + self.partial * span_by_span

    def _starts(self, tokens: Tokens, eligible: Tensor, draws: SequenceRNG) -> Tensor:
        """Return for every token the first token of its block, −1 for none: int64 ``[T]``."""
        mean = 1 - self.spans + self.spans * (2 + self.longest) / 2
        blocks = Masking(share=min(self.share / mean, 1.0), spare=1, everywhere=False)
        begins = choose(tokens, eligible, draws, blocks)
        words = draws.named("spans").of_tokens(tokens)
        long = unit(words[:, 0]) < self.spans
        length = torch.where(long, 2 + one_of(words[:, 1], self.longest - 1), 1)
        node = eligible.nonzero().squeeze(1)  # blocks are of neighbours among these
        row, start = tokens.sequence_of()[node], torch.full_like(node, -1)
        for step in range(min(self.longest, len(node)) - 1, -1, -1):  # nearer blocks win
            first, after = node[: len(node) - step], slice(step, None)
            inside = begins[first] & (length[first] > step) & (row[after] == row[: len(first)])
            start[after] = torch.where(inside, first, start[after])
        # One node of every sequence stays: the first of those without a block, or the first.
        whole = torch.zeros(len(tokens), dtype=torch.bool).index_fill(0, row[start < 0], True)
        first = torch.ones_like(row, dtype=torch.bool)
        first[1:] = row[1:] != row[:-1]
        start[first & ~whole[row]] = -1
        return torch.full_like(tokens.id, -1).index_copy(0, node, start)


def order_of(tokens: Tokens, chosen: Tensor, bits: Tensor) -> Tensor:
    """Return the order of factorisation: 0 for the context, above it by bits.

    Args:
        tokens: B sequences.
        chosen: bool ``[T]``, the nodes that are predicted; their text goes with them.
        bits: int64 ``[T]``, not below 0; nodes with the same bits come at once.

    Returns:
        int64 ``[T]``.
    """
    order = torch.where(chosen, 1 + bits, 0)
    if tokens.word is None:
        return order
    name = (tokens.sequence_of() << 32) | tokens.word.clamp(min=0)
    named, place = torch.sort(name[chosen])
    if not len(named):
        return order
    at = torch.searchsorted(named, name).clamp(max=len(named) - 1)
    described = (tokens.kind == Kind.TEXT) & (tokens.word >= 0) & (named[at] == name)
    return torch.where(described, order[chosen][place[at]], order)


def asked_last(tokens: Tokens) -> View:
    """Return the view in which the last token of every sequence comes last in the order.

    How a model of permuted language recommends: the query stream of that token
    sees all before it, and nothing sees its content.
    """
    end = tokens.ptr[1:] - 1
    last = torch.zeros_like(tokens.id).index_fill(0, end[tokens.lengths() > 0], 1)
    return View(tokens, order=last, two_stream=True)
