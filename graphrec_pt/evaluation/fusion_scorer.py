"""Two towers and one subgraph a source as a scorer: no subgraph for each candidate."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.model_scorer import ranking_term, trained_head
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.fusion import Fusion, items_inside
from graphrec_pt.training.stage import Stage

BLOCK = 256
"""Subgraphs encoded at once."""


@dataclass(frozen=True, eq=False)
class FusionScorer:
    """Scores of an objective :class:`~graphrec_pt.objectives.fusion.Fusion`.

    The vectors of the nodes score the whole catalogue; one subgraph around the source, sampled from
    what may be seen, corrects the scores of the items inside.

    Args:
        model: Trained, with the head of its objective.
        stage: The last one it was trained by.
        history: What may be seen.
        relation: Leads from sources to candidates.
    """

    model: Model
    stage: Stage
    history: Graph
    relation: str

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]``."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), self.model.held():
                return torch.cat([self._block(block) for block in torch.split(nodes, BLOCK)])
        finally:
            self.model.train(training)

    def _block(self, nodes: Tensor) -> Tensor:
        term = ranking_term(self.stage)
        assert term is not None
        objective = term.objective
        assert isinstance(objective, Fusion)
        device = next(self.model.parameters()).device
        relation = self.history.schema.relation(self.relation)
        sample: Any = self.stage.sampler.sample(self.history, nodes.contiguous(), Key(0))
        tokens = self.stage.linearizer.linearize(self.history, sample, Key(0))
        if len(tokens) != len(nodes):
            got = f"{len(tokens)} of {len(nodes)}"
            raise GraphRecError("fusion", "one sequence for each source", got, "join: true")
        inside = items_inside(self.history, tokens, relation)
        encoded = self.model.encode(View(tokens, root=nodes).to(device))
        head = trained_head(self.model, term)
        root, token = inside.root.to(device), inside.token.to(device)
        source = nodes.to(device)
        return objective.scores(encoded, source, root, token, relation.target, self.model, head)
