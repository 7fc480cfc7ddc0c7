"""A trained model as a scorer: one vector per source, one per candidate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.evidence_scorer import EvidenceScorer
from graphrec_pt.evaluation.scorer import Factorised, Scorer
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.attention import Mode
from graphrec_pt.models.evidence_head import EvidenceHead
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.answer import masks
from graphrec_pt.objectives.evidence import EvidenceTerm
from graphrec_pt.objectives.gap_filling import with_decoder
from graphrec_pt.objectives.masking import last_of
from graphrec_pt.objectives.permuted import asked_last
from graphrec_pt.objectives.pooling import pooled
from graphrec_pt.sampling.sampler import kind_of_roots
from graphrec_pt.tokens.join import side_by_side, specials
from graphrec_pt.tokens.kind import Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.stage import Stage, Term

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
            token, or the ``"roots"``; off the last ``"mask"`` of the candidates' type, which the
            linearizer puts; off the ``"vector"`` of the source itself, without a sequence.
        mode: What a token sees; the backbone's own mode for None.
        head: The sides to be compared, for objectives that have no weights of their own.
        part: Name of the head among several of the objective.
        shown: What is encoded of the tokens, MASK included, where more than a mode tells it; read
            off its last token, off the query stream where there are two.
    """

    where: Literal["end", "last", "first", "mean", "roots", "mask", "vector"]
    mode: Mode | None = None
    head: ItemHead | None = None
    part: str | None = None
    shown: Callable[[Tokens], View] | None = None


def _of_pairs(objective: Any) -> Reading:
    pairs = objective.pairs
    return Reading("vector" if pairs.user == "vector" else pairs.pool)


def _of_contrast(objective: Any) -> Reading:
    return Reading(
        objective.pool, None, ItemHead(0, cosine=True, temperature=objective.temperature)
    )


def _of_fusion(objective: Any) -> Reading:
    return Reading("vector", None, ItemHead(0, temperature=objective.temperature))


def _without_gaps(tokens: Tokens) -> View:
    return with_decoder(tokens, tokens)


def _of_generator(objective: Any) -> Reading | None:
    return Reading("end", part="generator") if objective.source == "model" else None


READINGS: Mapping[str, Callable[[Any], Reading | None]] = {
    "next_item": lambda objective: Reading("last", "causal"),
    "masked_item": lambda objective: Reading("end"),
    "masked_node": lambda objective: Reading("end"),
    "permuted": lambda objective: Reading("end", shown=asked_last),
    "replaced_token": _of_generator,
    "gap_filling": lambda objective: Reading("end", shown=_without_gaps),
    "target_item": lambda objective: Reading(objective.pool),
    "answer": lambda objective: Reading("mask"),
    "pairwise": _of_pairs,
    "pointwise": _of_pairs,
    "root_set": lambda objective: Reading(objective.pool),
    "sequence_item": _of_contrast,
    "fusion": _of_fusion,
    "neighbor_coding": lambda objective: Reading("roots"),
}
"""Objectives whose models rank a catalogue, by name; None for options that teach no ranking."""
PAIRED = "link"
"""The one that ranks by subgraphs of pairs."""
ASKED = "answer"
"""The one that asks in a template, on roots of one node or on pairs."""
DECODED = "path_autoregression"
"""The one that ranks by the paths that a model says."""
FUSED = "fusion"
"""The one that ranks by two towers and a subgraph of the source."""


def ranking_term(stage: Stage) -> Term | None:
    """Return the first objective of a stage that teaches to rank a catalogue, if any."""
    kind = kind_of_roots(stage.sampler)
    if kind == "pairs":
        return next((t for t in stage.objectives if name_of(t) in (PAIRED, ASKED)), None)
    known = (t for t in stage.objectives if _reading(t) or name_of(t) == DECODED)
    return next(known, None) if kind == "nodes" else None


def model_scorer(
    model: Model,
    stage: Stage,
    history: Graph,
    relation: str,
    nodes: Tensor,
    *,
    sample: Sample | None = None,
) -> Scorer:
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
    otherwise = term is not None and (
        name_of(term) == DECODED or kind_of_roots(stage.sampler) == "pairs"
    )
    if otherwise and sample is not None:
        raise GraphRecError("model", "sources that it knows", "new ones", READS_SEQUENCES)
    if term is None or otherwise:
        got = ", ".join(name_of(term) for term in stage.objectives)
        hint = "one of " + ", ".join(sorted(READINGS)) + " on roots of one node each"
        raise GraphRecError(f"stage {stage.name!r}", "an objective that ranks", got, hint)
    reading = _reading(term)
    assert reading is not None  # the term ranks
    head: Any = reading.head or trained_head(model, term)
    head = head if reading.part is None else head[reading.part]
    device = next(model.parameters()).device

    target = history.schema.node_index(_candidates(history, relation))

    def tokens_of(asked: Tensor) -> Tokens:
        return _tokens(stage, reading, history, relation, asked, sample)

    evidence, known = getattr(term.objective, "evidence", None), model.graph or history
    found, told = [], []
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), model.held():
            table = model.table(_candidates(history, relation))  # first: blocks look it up
            for block in torch.split(nodes, BLOCK):
                tokens = None if reading.where == "vector" else tokens_of(block.contiguous())
                found.append(_vectors(model, reading, block.contiguous(), tokens, sample, target))
                if evidence is not None and tokens is not None:
                    told.append(_told(evidence, head.evidence, known, tokens))
            queries = torch.cat(found) if found else torch.empty(0, model.width, device=device)
            left, right = head.sides(queries, table)
    finally:
        model.train(training)
    bias = None if head.bias is None else head.bias.detach()
    plain = Factorised(nodes, left / head.temperature, right, bias)
    if not told:
        return plain
    count, item, value = (torch.cat(part) for part in zip(*told, strict=True))
    return EvidenceScorer(plain, torch.cat([count.new_zeros(1), count.cumsum(0)]), item, value)


def _told(
    term: EvidenceTerm, head: EvidenceHead, known: Graph, tokens: Tokens
) -> tuple[Tensor, Tensor, Tensor]:
    """Return how many items the term speaks for after each sequence, which, and what it adds."""
    some = (tokens.lengths() > 0).nonzero().squeeze(1)
    last = tokens.ptr[1:][some] - 1
    found = term.at(known, tokens, last, torch.full_like(last, -1), own=False)
    count = torch.zeros_like(tokens.ptr[1:]).index_copy(0, some, found.ptr.diff())
    return count, found.item, head(found.value.to(head.direct.device))


def _vectors(
    model: Model,
    reading: Reading,
    nodes: Tensor,
    tokens: Tokens | None,
    sample: Sample | None,
    target: int,
) -> Tensor:
    """Return one vector per source, of its sequence if it is read off one: ``[B, D]``."""
    device = next(model.parameters()).device
    if tokens is None or reading.where == "vector":
        if sample is not None:
            raise GraphRecError("model", "sources that it knows", "new ones", READS_SEQUENCES)
        return model.nodes(nodes.to(device))
    root = nodes if sample is None else torch.full_like(nodes, -1)
    view = View(tokens, reading.mode) if reading.shown is None else reading.shown(tokens)
    encoded = model.encode(replace(view, root=root).to(device))
    if encoded.query is not None:
        encoded = replace(encoded, hidden=encoded.query)
    if reading.where == "mask":
        return encoded.hidden.index_select(0, last_masks(tokens, target).to(device))
    return pooled(encoded, "last" if reading.where == "end" else reading.where)


def _tokens(
    stage: Stage,
    reading: Reading,
    history: Graph,
    relation: str,
    nodes: Tensor,
    sample: Sample | None,
) -> Tokens:
    """Return the sequence of each source, with what asks for the next item."""
    key, asks = Key(0), reading.where == "end"
    chosen, linearizer = stage.sampler, stage.linearizer
    if asks:
        chosen, linearizer = _with_room(chosen), _with_room(linearizer)
    if sample is None:
        drawn = chosen.sample(history, nodes, key)
    else:
        _check_anonymous(stage)
        drawn = sample(nodes, getattr(chosen, "window", None))
    tokens: Tokens = linearizer.linearize(history, drawn, key)
    if len(tokens) != len(nodes):
        got = f"{len(tokens)} of {len(nodes)}"
        raise GraphRecError("model_scorer", "one sequence for each source", got, "join: true")
    if asks:
        tokens = with_mask(tokens, history.schema.node_index(_candidates(history, relation)))
    return tokens


def with_mask(tokens: Tokens, node_type: int) -> Tokens:
    """Return sequences with one more node at the end, of which only the type is known."""
    asked = specials(Special.MASK, len(tokens))
    types = torch.full_like(asked.id, node_type)
    ones = torch.ones_like(asked.id)
    return side_by_side([tokens, replace(asked, type=types, hop=ones, slot=ones)])


def last_masks(tokens: Tokens, node_type: int) -> Tensor:
    """Return the last mask of a type in each sequence: int64 ``[B]`` tokens.

    Raises:
        GraphRecError: When a sequence asks for none.
    """
    at = last_of(tokens, masks(tokens) & (tokens.type == node_type))
    if bool((at < 0).any()):
        got = f"{int((at < 0).sum())} of {len(at)} without one"
        hint = "a pattern that ends with a masked candidate"
        raise GraphRecError("model_scorer", "a mask of the candidates' type", got, hint)
    return at


def _with_room(part: Any) -> Any:
    """Return a sampler or linearizer that leaves a place of its window free."""
    windowed = is_dataclass(part) and any(field.name == "window" for field in fields(part))
    window = getattr(part, "window", None)
    if not windowed or window is None or window < 2:
        return part
    return replace(part, window=window - 1)


def _check_anonymous(stage: Stage) -> None:
    """Raise when sequences begin with their source, which nobody knows."""
    if _names_source(stage.linearizer):
        got, hint = "new ones, whom its sequences name", "a linearizer such as {root: false}"
        raise GraphRecError("model", "sources that it knows", got, hint)


def _names_source(chosen: Any) -> bool:
    """Say whether sequences hold their source: as a root, or in a template."""
    pattern = getattr(chosen, "parsed", None)
    inner = (getattr(chosen, "inner", None), getattr(chosen, "before", None))
    return (
        bool(getattr(chosen, "root", False))
        or (pattern is not None and not all(pattern.masked))
        or any(_names_source(each) for each in inner if each is not None)
    )


def trained_head(model: Model, term: Term) -> Any:
    """Return the head of an objective with the weights that the model keeps.

    Raises:
        GraphRecError: When the model has no such head.
    """
    kept = model.labelled_heads()
    if term.label in kept:
        return kept[term.label]
    head = term.objective.head(model.outline, model.width)
    if head.state_dict():
        got = ", ".join(sorted(kept)) or "none"
        raise GraphRecError("model", f"the trained head of {term.label!r}", got, "training it")
    return head


def _candidates(history: Graph, relation: str) -> str:
    return history.schema.relation(relation).target


def _reading(term: Term) -> Reading | None:
    known = READINGS.get(name_of(term))
    return None if known is None else known(term.objective)


def name_of(term: Term) -> str:
    """Return what the objective of a term is registered as."""
    return str(getattr(type(term.objective), "registered_name", type(term.objective).__name__))
