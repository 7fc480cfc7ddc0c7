"""Next behaviours: several events to come, from the state after the first ones."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.draws import one_of
from graphrec_pt.objectives.masking import of_types
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.tokens.kind import Kind


@objective("next_behaviors")
class NextBehaviors(Objective):
    """Next K behaviours prediction (NBP) of PTUM (Wu et al., Findings of EMNLP 2020), re-derived.

    ``L = −1/n Σ_b Σ_{k ≤ K} log p(v_{N+k} | mean of h_1 … h_N)`` where only the first N events of
    a sequence are shown, N drawn anew in every epoch such that K events follow where possible.
    ``candidates: {how: choice}`` tells each from 4 others, as the paper does. A learned
    vector added to the state says which of the K is asked for.

    Args:
        steps: K.
        candidates: What the events are told from.
        types: Names of the node types that count as events; all by default. Roots never do.
    """

    steps: int = Field(2, ge=1)
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
        """Return the beginnings of the sequences with two events or more, and what follows."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("next_behaviors")
        event = of_types(graph, tokens, self.types) & (tokens.hop != 0)
        row = tokens.sequence_of()
        count = torch.bincount(row[event], minlength=len(tokens))
        met = event.long().cumsum(0) - (count.cumsum(0) - count)[row]  # events with this one
        room = (count - self.steps).clamp(min=1)
        shown = 1 + one_of(draws.of_sequences()[:, 0, 0], room)  # N, [B]
        asked = event & (met > shown[row]) & (met <= (shown + self.steps)[row])
        rows = (count > 1).nonzero().squeeze(1)
        place = torch.full_like(count, -1).index_copy(0, rows, torch.arange(len(rows)))
        token = asked.nonzero().squeeze(1)
        # Up to event N and its text; a relation token after it would tell of the next one.
        told = (met < shown[row]) | ((met == shown[row]) & (event | (tokens.kind == Kind.TEXT)))
        before = tokens.take(told.nonzero().squeeze(1)).select(rows)
        words = draws.of_tokens(tokens)[token]
        types = tokens.type[token]
        targets = {
            "sequence": place[row[token]],
            "ahead": met[token] - shown[row[token]] - 1,
            "node": tokens.id[token],
            "type": types,
        } | self.candidates.draw(graph, types, words, draws)
        return Corrupted((View(before),), targets, len(token))

    def head(self, outline: Outline, width: int) -> nn.ModuleDict:
        """Return the head of the candidates, and a vector for each step."""
        step = nn.Embedding(self.steps, width)
        return nn.ModuleDict({"item": self.candidates.head(width), "step": step})

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: nn.ModuleDict
    ) -> Tensor:
        """Return the mean over the events to come."""
        at = corrupted.targets
        state = encoded[0].pooled().index_select(0, at["sequence"])  # [n, D]
        hidden = state + head["step"](at["ahead"])
        return self.candidates.loss(hidden, at["node"], at["type"], at, model, head["item"])  # type: ignore[arg-type]
