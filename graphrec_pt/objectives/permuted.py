"""Permuted language: nodes predicted in a drawn order, each from those before it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.masking import Masking, choose, first_occurrence, occurrences, of_types
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("permuted")
class Permuted(Objective):
    """The permuted language model (PerLM) of XLNet (Yang et al., NeurIPS 2019).

    ``L = −1/|M| Σ_{m ∈ M} log p(v_m | context, {v_j : j ∈ M before m in a drawn order})``. The
    last share M of the order is predicted, by the query stream, which knows the place of a node
    and not its content; the context before it is seen by all. The text of a node comes with it,
    and all occurrences of a node at once, so that neither tells of it.

    Args:
        masking: How many nodes stand at the end of the order; `mask` and `random` do nothing.
        candidates: What they are told from.
        types: Names of the node types that are predicted; all by default.
        roots: Whether roots (hop 0) are predicted too.
    """

    masking: Masking = Masking(share=0.3, spare=1)
    candidates: Candidates = Candidates()
    types: tuple[str, ...] | None = None
    roots: bool = False

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return Needs(frozenset({Kind.NODE}), frozenset({"type", "hop"}))

    def check(self, outline: Outline) -> None:
        """Raise for node types that the graph does not have."""
        for name in self.types or ():
            outline.node_index(name)

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return one view in two streams, and the nodes at the end of the order."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("permuted")
        eligible = of_types(graph, tokens, self.types)
        if not self.roots:
            eligible &= ~occurrences(tokens, tokens.hop == 0)
        chosen = choose(tokens, eligible, draws, self.masking)
        if self.masking.everywhere:
            chosen = occurrences(tokens, chosen) & eligible
        bits = draws.named("order").of_tokens(tokens)[:, 0]
        group = first_occurrence(tokens) if self.masking.everywhere else torch.arange(len(bits))
        order = order_of(tokens, chosen, bits[group])
        token = chosen.nonzero().squeeze(1)
        words = draws.named("candidates").of_tokens(tokens)[token]
        drawn = self.candidates.draw(graph, tokens.type[token], words, draws)
        targets = {"token": token, "node": tokens.id[token], "type": tokens.type[token]}
        view = View(tokens, order=order, two_stream=True)
        return Corrupted((view,), targets | drawn, len(token))

    def head(self, outline: Outline, width: int) -> ItemHead:
        """Return the head of the candidates."""
        return self.candidates.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over the predicted nodes."""
        at, query = corrupted.targets, encoded[0].query
        assert query is not None  # the view asks for it
        hidden = query.index_select(0, at["token"])  # [n, D]
        return self.candidates.loss(hidden, at["node"], at["type"], at, model, head)


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
    told = (tokens.kind == Kind.TEXT) & (tokens.word >= 0) & (named[at] == name)
    return torch.where(told, order[chosen][place[at]], order)


def asked_last(tokens: Tokens) -> View:
    """Return the view in which the last token of every sequence comes last in the order.

    What a model of permuted language is asked when it recommends: the query stream of that token
    sees all before it, and nothing sees its content.
    """
    end = tokens.ptr[1:] - 1
    last = torch.zeros_like(tokens.id).index_fill(0, end[tokens.lengths() > 0], 1)
    return View(tokens, order=last, two_stream=True)
