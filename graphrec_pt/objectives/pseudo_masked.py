"""Pseudo-masked spans: all hidden nodes at once, and span by span."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.draws import Draws, one_of, unit
from graphrec_pt.objectives.masking import Masking, choose, hide, occurrences, of_types
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.permuted import order_of
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("pseudo_masked")
class PseudoMasked(Objective):
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
        candidates: What the nodes are told from.
        types: Names of the node types that may be hidden; all by default.
    """

    share: float = Field(0.15, gt=0, le=1)
    spans: float = Field(0.4, ge=0, le=1)
    longest: int = Field(6, ge=2)
    partial: float = Field(1.0, ge=0)
    candidates: Candidates = Candidates()
    types: tuple[str, ...] | None = None

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return Needs(frozenset({Kind.NODE}), frozenset({"type", "hop"}))

    def check(self, outline: Outline) -> None:
        """Raise for node types that the graph does not have."""
        for name in self.types or ():
            outline.node_index(name)

    def corrupt(self, examples: Examples) -> Corrupted:
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
        drawn = self.candidates.draw(graph, tokens.type[token], words, draws)
        targets = {"token": token, "node": tokens.id[token], "type": tokens.type[token]}
        views = View(seen, "bidirectional"), View(tokens, order=order, two_stream=True)
        return Corrupted(views, targets | drawn, len(token))

    def head(self, outline: Outline, width: int) -> ItemHead:
        """Return the head of the candidates, for both parts."""
        return self.candidates.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over the hidden nodes of the sum of both losses."""
        at, (masked, ordered) = corrupted.targets, encoded
        assert ordered.query is not None  # the view asks for it

        def found(hidden: Tensor) -> Tensor:
            hidden = hidden.index_select(0, at["token"])  # [n, D]
            return self.candidates.loss(hidden, at["node"], at["type"], at, model, head)

        return found(masked.hidden) + self.partial * found(ordered.query)

    def _starts(self, tokens: Tokens, eligible: Tensor, draws: Draws) -> Tensor:
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
