"""A trained model as a scorer: one vector per source, one per candidate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.scorer import Factorised
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.attention import Mode
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.pooling import pooled
from graphrec_pt.sampling.sampler import kind_of_roots
from graphrec_pt.tokens.join import side_by_side, specials
from graphrec_pt.tokens.kind import Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.term import Term

BLOCK = 256
"""Sources encoded at once."""
READS_SEQUENCES = "a model that reads sequences"
Sample = Callable[[Tensor, int | None], Any]
"""From numbers of sources ``[B]``, and events at most, to what a sampler returns for them."""


@dataclass(frozen=True)
class Reading:
    """How what comes next is read off a sequence.

    Args:
        where: Off a MASK put at the ``"end"``; off the ``"last"``, ``"first"`` or the ``"mean"``
            token, or the ``"roots"``; off the ``"vector"`` of the source itself, without a
            sequence.
        mode: What a token sees; the backbone's own mode for None.
        head: The sides to be compared, for objectives that have no weights of their own.
    """

    where: Literal["end", "last", "first", "mean", "roots", "vector"]
    mode: Mode | None = None
    head: ItemHead | None = None


def _of_pairs(objective: Any) -> Reading:
    pairs = objective.pairs
    return Reading("vector" if pairs.user == "vector" else pairs.pool)


def _of_contrast(objective: Any) -> Reading:
    return Reading(
        objective.pool, None, ItemHead(0, cosine=True, temperature=objective.temperature)
    )


READINGS: Mapping[str, Callable[[Any], Reading]] = {
    "next_item": lambda objective: Reading("last", "causal"),
    "masked_item": lambda objective: Reading("end"),
    "masked_node": lambda objective: Reading("end"),
    "pairwise": _of_pairs,
    "pointwise": _of_pairs,
    "sequence_item": _of_contrast,
    "neighbor_coding": lambda objective: Reading("roots"),
}
"""Objectives whose models rank a catalogue, by name."""
PAIRED = "link"
"""The one that ranks by subgraphs of pairs."""
DECODED = "path_autoregression"
"""The one that ranks by the paths that a model says."""


def ranking_term(stage: Stage) -> Term | None:
    """Return the first objective of a stage that teaches to rank a catalogue, if any."""
    ranking = {"nodes": {*READINGS, DECODED}, "pairs": {PAIRED}}.get(
        kind_of_roots(stage.sampler), ()
    )
    return next((term for term in stage.objectives if name_of(term) in ranking), None)


def model_scorer(
    model: Model,
    stage: Stage,
    history: Graph,
    relation: str,
    nodes: Tensor,
    *,
    sample: Sample | None = None,
) -> Factorised:
    """Return the scores that a trained model gives the whole catalogue.

    A source is sampled and linearized as in training, from what `history` shows, and its vector is
    read off as its objective was taught: SASRec's off the last event, BERT4Rec's off a MASK that is
    put after it (the oldest event of a full window makes room for it).

    Args:
        model: Trained by the stage, with its heads.
        stage: Says how sources are sampled and what was learnt.
        history: What may be seen of them.
        relation: Leads from sources to candidates.
        nodes: int64 ``[Q]``, global ids of the sources, ascending.
        sample: Takes the place of the stage's sampler, for sources that the graph does not know;
            `nodes` then number them from 0.

    Raises:
        GraphRecError: For a stage that teaches no ranking, and a model without its heads.
    """
    term = ranking_term(stage)
    told_otherwise = term is not None and name_of(term) in (PAIRED, DECODED)
    if told_otherwise and sample is not None:
        raise GraphRecError("model", "sources that it knows", "new ones", READS_SEQUENCES)
    if term is None or told_otherwise:
        got = ", ".join(name_of(term) for term in stage.objectives)
        hint = "one of " + ", ".join(sorted(READINGS)) + " on roots of one node each"
        raise GraphRecError(f"stage {stage.name!r}", "an objective that ranks", got, hint)
    reading = READINGS[name_of(term)](term.objective)
    head = reading.head or trained_head(model, term)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), model.held():
            found = [
                _vectors(model, stage, reading, history, relation, block.contiguous(), sample)
                for block in torch.split(nodes, BLOCK)
            ]
            queries = torch.cat(found) if found else torch.empty(0, model.width, device=device)
            left, right = head.sides(queries, model.table(_candidates(history, relation)))
    finally:
        model.train(training)
    bias = None if head.bias is None else head.bias.detach()
    return Factorised(nodes, left / head.temperature, right, bias)


def _vectors(
    model: Model,
    stage: Stage,
    reading: Reading,
    history: Graph,
    relation: str,
    nodes: Tensor,
    sample: Sample | None,
) -> Tensor:
    """Return one vector per source: ``[B, D]``."""
    device = next(model.parameters()).device
    if reading.where == "vector":
        if sample is not None:
            raise GraphRecError("model", "sources that it knows", "new ones", READS_SEQUENCES)
        return model.nodes(nodes.to(device))
    key = Key(0)
    asks = reading.where == "end"
    chosen, linearizer = (
        _with_room(part) if asks else part for part in (stage.sampler, stage.linearizer)
    )
    root = nodes if sample is None else torch.full_like(nodes, -1)
    if sample is None:
        drawn = chosen.sample(history, nodes, key)
    else:
        _check_anonymous(stage)
        drawn = sample(nodes, getattr(chosen, "window", None))
    tokens = linearizer.linearize(history, drawn, key)
    if len(tokens) != len(nodes):
        got = f"{len(tokens)} of {len(nodes)}"
        raise GraphRecError("model_scorer", "one sequence for each source", got, "join: true")
    if asks:
        target = history.schema.node_index(_candidates(history, relation))
        tokens = with_mask(tokens, target)
    encoded = model.encode(View(tokens, reading.mode, root=root).to(device))
    return pooled(encoded, "last" if reading.where == "end" else reading.where)


def with_mask(tokens: Tokens, node_type: int) -> Tokens:
    """Return sequences with one more node at the end, of which only the type is known."""
    asked = specials(Special.MASK, len(tokens))
    types = torch.full_like(asked.id, node_type)
    ones = torch.ones_like(asked.id)
    return side_by_side([tokens, replace(asked, type=types, hop=ones, slot=ones)])


def _with_room(part: Any) -> Any:
    """Return a sampler or linearizer that leaves a place of its window free."""
    windowed = is_dataclass(part) and any(field.name == "window" for field in fields(part))
    window = getattr(part, "window", None)
    if not windowed or window is None or window < 2:
        return part
    return replace(part, window=window - 1)


def _check_anonymous(stage: Stage) -> None:
    """Raise when sequences begin with their source, which nobody knows."""
    if getattr(stage.linearizer, "root", False):
        got = "new ones, whom its sequences begin with"
        raise GraphRecError("model", "sources that it knows", got, "linearizer: {root: false}")


def trained_head(model: Model, term: Term) -> Any:
    """Return the head of an objective with the weights that the model keeps.

    Raises:
        GraphRecError: When the model has no such head.
    """
    head: Any = term.objective.head(model.outline, model.width)
    prefix = f"of_{term.label}."
    kept = {n.removeprefix(prefix): w for n, w in model.heads.items() if n.startswith(prefix)}
    if kept.keys() != head.state_dict().keys():
        got = ", ".join(sorted({name.split(".")[0] for name in model.heads})) or "none"
        raise GraphRecError("model", f"the trained head of {term.label!r}", got, "training it")
    head.load_state_dict(kept)
    return head.to(next(model.parameters()).device).eval()


def _candidates(history: Graph, relation: str) -> str:
    return history.schema.relation(relation).target


def name_of(term: Term) -> str:
    """Return the registered name of the objective of a term."""
    return str(getattr(type(term.objective), "registered_name", type(term.objective).__name__))
