"""A trained model as a predictor of values: what it tells of pairs of user and item."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.model_scorer import model_scorer, name_of, trained_head
from graphrec_pt.evaluation.scorer import Factorised, Scorer
from graphrec_pt.evaluation.values import Values
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.valued import Told, Valued
from graphrec_pt.sampling.sampler import kind_of_roots
from graphrec_pt.training.stage import Stage, Term

BLOCK = 2048
"""Pairs encoded at once."""
PRODUCT = "pointwise"
"""The objective whose products of vectors are logits of a chance."""


def value_term(stage: Stage, tells: Told) -> Term | None:
    """Return the first objective of a stage that tells such values of pairs, if any."""
    kind = kind_of_roots(stage.sampler)
    for term in stage.objectives:
        told = term.objective.tells if isinstance(term.objective, Valued) else None
        product = name_of(term) == PRODUCT and tells == "chance"
        if (kind == "pairs" and told == tells) or (kind == "nodes" and product):
            return term
    return None


def values_of(
    model: Model, stage: Stage, history: Graph, relation: str, source: Tensor, tells: Told
) -> Values:
    """Return what a trained model predicts of pairs.

    Args:
        model: Trained by the stage, with its heads.
        stage: Says how pairs are sampled and what was learnt.
        history: What may be seen.
        relation: Leads from sources to targets.
        source: int64 ``[n]`` global ids that will be asked for.
        tells: Numbers or chances.

    Raises:
        GraphRecError: For a stage that teaches no such values.
    """
    term = value_term(stage, tells)
    if term is None:
        raise no_values(stage, tells)
    if name_of(term) != PRODUCT:
        return PairValues(model, stage, history, term)
    scorer = model_scorer(model, stage, history, relation, torch.unique(source))
    return Chances(scorer, history.nodes(history.schema.relation(relation).target).start)


def no_values(stage: Stage, tells: Told) -> GraphRecError:
    """Return what to say of a stage that teaches no such values."""
    got = ", ".join(term.label for term in stage.objectives)
    hint = "regress on pairs, which has the weights of edges"
    if tells == "chance":
        hint = "link of form bce or regress with above: on pairs, or pointwise on nodes"
    return GraphRecError(f"stage {stage.name!r}", f"an objective that tells a {tells}", got, hint)


@dataclass(frozen=True, eq=False)
class PairValues:
    """Values read off the sequence of each pair.

    Args:
        model: Trained, with the head of the objective.
        stage: Its sampler takes pairs.
        history: What may be seen.
        term: The objective that tells the values.
    """

    model: Model
    stage: Stage
    history: Graph
    term: Term

    def values(self, source: Tensor, target: Tensor) -> Tensor:
        """Return one value per pair: float64 ``[n]``."""
        objective: Any = self.term.objective
        head = trained_head(self.model, self.term)
        device, training = next(self.model.parameters()).device, self.model.training
        self.model.eval()
        found = []
        try:
            with torch.no_grad(), self.model.held():
                for pairs in torch.split(torch.stack([source, target], dim=1), BLOCK):
                    sample: Any = self.stage.sampler.sample(self.history, pairs, Key(0))
                    tokens = self.stage.linearizer.linearize(self.history, sample, Key(0))
                    _check_whole(len(tokens), len(pairs))
                    view = View(objective.shown(tokens), root=pairs[:, 0].contiguous()).to(device)
                    encoded = self.model.encode(view)
                    found.append(objective.values(encoded, self.model, head).double().cpu())
        finally:
            self.model.train(training)
        return torch.cat(found) if found else torch.empty(0, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Chances:
    """Chances from products of vectors: ``σ(s(u, i))``.

    Args:
        scorer: Of the sources that will be asked for.
        start: Global id of the first candidate.
    """

    scorer: Scorer
    start: int

    def values(self, source: Tensor, target: Tensor) -> Tensor:
        """Return one chance per pair: float64 ``[n]``."""
        column = target - self.start
        if isinstance(self.scorer, Factorised):
            return self.scorer.pairs(source, column).double().sigmoid().cpu()
        parts = zip(torch.split(source, BLOCK), torch.split(column, BLOCK), strict=True)
        found = [
            (scores := self.scorer.scores(asked)).gather(1, at.to(scores.device).unsqueeze(1))
            for asked, at in parts
        ]
        return torch.cat(found).squeeze(1).double().sigmoid().cpu()


def _check_whole(made: int, asked: int) -> None:
    if made != asked:
        got = f"{made} of {asked}"
        raise GraphRecError("values_of", "one sequence for each pair", got, "join: true")
