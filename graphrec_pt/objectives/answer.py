"""Prompted prediction: a model predicts the node at the mask of a template."""

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import NodePrediction
from graphrec_pt.objectives.objective import Examples, RequiredFields, TrainingExamples, objective
from graphrec_pt.objectives.readout import (
    RERANK,
    Either,
    PairReadout,
    QueryReadout,
    last_masks,
    masks,
)
from graphrec_pt.tokens.kind import Kind


@objective("answer")
class Answer(NodePrediction):
    """Prediction of the masked node of a template, as P5 (Geng et al., RecSys 2022) is trained.

    ``L = −1/|M| Σ_{m ∈ M} log p(v_m | prompt)`` over the nodes of the type of each mask that the
    linearizer ``template`` wrote. The answer is what the sample knew of the masked node (a path
    knows all its nodes); where it knew nothing, the other end of the edge that was hidden from the
    root, if it is of that type. Masks without an answer teach nothing. Nothing else is hidden.

    Such a model ranks items when it reads the same or another template: the candidates for the
    last mask of their type.

    Args:
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types whose masks are predicted; all by default.
        rerank: For prompts about pairs: how many candidates of each source are ordered by
            their answers, the best by the vectors of the nodes; 0 for none.
    """

    rerank: int = Field(RERANK, ge=0)

    @property
    def needs(self) -> RequiredFields:
        """Return masks with their node type and the node that the sample knew there."""
        return RequiredFields(frozenset({Kind.SPECIAL}), frozenset({"type", "labels"}))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the prompts unchanged, and the answers."""
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
        return TrainingExamples((View(tokens),), targets | drawn, len(token))

    def readout(self) -> Either:
        """Return a ranking from the last mask; for pairs, the second node's log-probability."""
        return Either(QueryReadout("mask"), PairReadout(_fit_of_answers, rerank=self.rerank))


def _fit_of_answers(encoded: Encoded, pairs: Tensor, model: Model, head: nn.Module) -> Tensor:
    """Return the log-probability of each pair's second node at the last mask: ``[n]``."""
    assert isinstance(head, ItemHead)
    spec = model.spec
    name = next(each for each in spec.node_names if int(pairs[0, 1]) in spec.ids(each))
    at = last_masks(encoded.view.tokens, spec.node_index(name))
    items = (pairs[:, 1] - spec.ids(name).start).to(encoded.hidden.device)
    hidden = encoded.hidden.index_select(0, at)
    return -head.loss(hidden, model.table(name), items, reduction="none")


def _other_ends(examples: Examples) -> Tensor:
    """Return where the edge hidden from each root leads, −1 where there is none: int64 ``[R]``."""
    position, row = examples.hidden_edges()
    ends = torch.full((len(examples.roots),), -1)
    return ends.index_copy(0, row, examples.graph.csr.indices[position].long())
