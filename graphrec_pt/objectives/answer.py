"""Answers to prompts: which node stands behind the mask of a template."""

import torch
from torch import Tensor

from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.view import View
from graphrec_pt.objectives.catalogue import NodePrediction
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


@objective("answer")
class Answer(NodePrediction):
    """What a template asks for, as P5 (Geng et al., RecSys 2022) is trained on its prompts.

    ``L = −1/|M| Σ_{m ∈ M} log p(v_m | prompt)`` over the nodes of the type of each mask that the
    linearizer ``template`` wrote. The answer is what the sample knew of the masked node (a path
    knows all its nodes); where it knew nothing, the other end of the edge that was hidden from the
    root, if it is of that type. Masks without an answer teach nothing. Nothing else is hidden.

    Such a model ranks items when it reads the same or another template: the candidates for the
    last mask of their type.

    Args:
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types whose masks are predicted; all by default.
    """

    @property
    def needs(self) -> Needs:
        """Masks with their type and what is known of them."""
        return Needs(frozenset({Kind.SPECIAL}), frozenset({"type", "labels"}))

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return the prompts as they are, and the answers."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("answer")
        wanted = masks(tokens)
        if self.types is not None:
            types = torch.tensor([graph.schema.node_index(name) for name in self.types])
            wanted &= torch.isin(tokens.type, types)
        token = wanted.nonzero().squeeze(1)
        node, types = tokens.labels[token], tokens.type[token]
        hidden = _other_ends(examples)[examples.owner][tokens.sequence_of()[token]]
        fits = graph.csr.node_type(hidden.clamp(min=0)) == types
        node = torch.where((node < 0) & (hidden >= 0) & fits, hidden, node)
        known = node >= 0
        token, node, types = token[known], node[known], types[known]
        words = draws.of_tokens(tokens)[token]
        drawn = self.candidates.draw(graph, types, words, draws)
        targets = {"token": token, "node": node, "type": types}
        return Corrupted((View(tokens),), targets | drawn, len(token))


def masks(tokens: Tokens) -> Tensor:
    """Return which tokens are the MASK of a node to be predicted: bool ``[T]``."""
    return (tokens.kind == Kind.SPECIAL) & (tokens.id == Special.MASK) & (tokens.type >= 0)


def _other_ends(examples: Examples) -> Tensor:
    """Return where the edge hidden from each root leads, −1 where there is none: int64 ``[R]``."""
    graph, roots, exclude = examples.graph, examples.roots, examples.exclude
    if not isinstance(roots, Tensor) or exclude is None or graph.csr.edge is None:
        return torch.full((len(roots),), -1)
    first = roots if roots.ndim == 1 else roots[:, 0]
    low, high = graph.csr.bounds(first)
    position, row = ranges(low, high - low)
    same = (graph.csr.edge[position] == exclude[row]) & (exclude[row] >= 0)
    found = torch.full_like(first, -1)
    found[row[same]] = graph.csr.indices[position[same]].long()
    return found
