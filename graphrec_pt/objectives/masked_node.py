"""Masked nodes: which node was hidden here."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.masking import Masking, choose, hide, occurrences, of_types
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.sampling.forest import first_of
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("masked_node")
class MaskedNode(Objective):
    """Masked node prediction (MNP) of CHEST (Wang et al., TOIS 2023), re-derived.

    ``L = −1/|M| Σ_{m ∈ M} log p(v_m | sequence without M)`` over the nodes of the same type; with
    ``candidates: {how: pairwise}`` the "masked node against an irrelevant node" of the paper.
    Hidden nodes are hidden wherever they stand in the sequence, with their text; roots are left
    alone unless asked for, and never all of them.

    Args:
        masking: How many nodes, and what is put in their place.
        candidates: What they are told from.
        roots: Whether roots (hop 0) may be hidden too; one root of a sequence always stays.
        types: Names of the node types that may be hidden; all by default.
    """

    masking: Masking = Masking()
    candidates: Candidates = Candidates()
    roots: bool = False
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
        """Return one view, and the hidden nodes."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_node")
        eligible = of_types(graph, tokens, self.types)
        if not self.roots:  # nor nodes that are a root elsewhere in the sequence
            eligible &= ~occurrences(tokens, tokens.hop == 0)
        chosen = choose(tokens, eligible, draws, self.masking)
        if self.masking.everywhere:
            chosen = occurrences(tokens, chosen) & eligible
        if self.roots:
            spared = _spared(tokens, chosen)
            chosen &= ~(occurrences(tokens, spared) if self.masking.everywhere else spared)
        seen = hide(graph, tokens, chosen, draws, self.masking)
        token = chosen.nonzero().squeeze(1)
        words = draws.named("candidates").of_tokens(tokens)[token]
        drawn = self.candidates.draw(graph, tokens.type[token], words, draws)
        targets = {"token": token, "node": tokens.id[token], "type": tokens.type[token]}
        return Corrupted((View(seen),), targets | drawn, len(token))

    def head(self, outline: Outline, width: int) -> ItemHead:
        """Return the head of the candidates."""
        return self.candidates.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over the hidden nodes."""
        at = corrupted.targets
        hidden = encoded[0].hidden.index_select(0, at["token"])
        return self.candidates.loss(hidden, at["node"], at["type"], at, model, head)


def _spared(tokens: Tokens, chosen: Tensor) -> Tensor:
    """Return, where all roots of a sequence are chosen, the first of them: bool ``[T]``."""
    row, root = tokens.sequence_of(), (tokens.hop == 0) & (tokens.kind == Kind.NODE)
    seen = torch.bincount(row[root & ~chosen], minlength=len(tokens)) > 0  # [B]
    first = first_of(torch.where(root, row, -1)) & root
    return first & ~seen[row]
