"""Texts of a trained model about roots, and how probable it finds given texts."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.philox import draw32
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.view import View
from graphrec_pt.objectives.generation import LONGEST, Generation
from graphrec_pt.objectives.text_readout import TextReadout
from graphrec_pt.predict.generator import Generated, generate
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.reading import Reading
from graphrec_pt.tokens.answer_text import AnswerText
from graphrec_pt.tokens.trie import Trie
from graphrec_pt.tokens.words import Words

SAMPLED, BATCH = 1024, 64
"""Roots whose prompts are made at once, and those that are written about at once."""


class _Writer(NamedTuple):
    reading: Reading
    readout: TextReadout
    head: nn.Module


def write(
    predictor: Predictor,
    roots: Tensor,
    key: Key = Key(0),  # noqa: B008 - a constant
    *,
    generation: Generation | None = None,
) -> list[str]:
    """Return the text that a model writes about each root.

    Args:
        predictor: Of a model that was taught to write.
        roots: int64 ``[n]`` or ``[n, 2]`` global ids, as the sampler takes them.
        key: Names the draws of sampling; a root gets the same text in every batch.
        generation: How; as the objective says by default.

    Raises:
        GraphRecError: For a model that writes nothing, and a tokenizer that only reads.

    Example:
        >>> write(Predictor.load("runs/pepler"), torch.tensor([[3, 1204]]))
        ['great strings for the price']
    """
    made = written(predictor, roots, key, generation=generation)
    return made.texts(predictor.model, predictor.graph)


def written(
    predictor: Predictor,
    roots: Tensor,
    key: Key = Key(0),  # noqa: B008 - a constant
    *,
    generation: Generation | None = None,
    best: int = 1,
) -> Generated:
    """Return what a model writes about each root as tokens; ``row`` counts the roots.

    Args:
        predictor: Of a model that was taught to write.
        roots: int64 ``[n]`` or ``[n, 2]`` global ids.
        key: Names the draws of sampling.
        generation: How; as the objective says by default.
        best: Texts for each root, the best of a beam search.

    Raises:
        GraphRecError: As :func:`write`.
    """
    reading, readout, head = writer = _writer(predictor)
    longest = readout.generation.bounded().longest
    wanted = readout.generation if generation is None else generation.bounded(longest or LONGEST)
    graph, trie = predictor.graph, None
    if wanted.within == "names":
        trie = trie_of(graph, readout.answer, readout.words(predictor.model))
    parts: list[tuple[Tensor, Generated]] = []
    with reading.at_rest():
        for rows, view in _prompts(writer, roots):
            made = generate(
                predictor.model,
                view,
                wanted,
                key,
                head=head,
                nodes=readout.nodes,
                trie=trie,
                graph=graph,
                draws=_draws(roots[rows]),
                best=best,
            )
            parts.append((rows, made))
    return _in_order(parts)


def nll(
    predictor: Predictor, roots: Tensor, edges: Tensor | None, graph: Graph
) -> tuple[Tensor, Tensor]:
    """Return how improbable the model finds the true answer of each root.

    Perplexity is ``exp(Σ sum / Σ tokens)``.

    Args:
        predictor: Of a model that was taught to write.
        roots: int64 ``[n]`` or ``[n, 2]`` global ids.
        edges: int64 ``[n]``, the edges that the answers are about; None where roots have them.
        graph: The whole graph, which has the answers.

    Returns:
        float64 ``[n]``, the negative log-likelihood of each answer with its end, and int64 ``[n]``,
        its tokens; 0 where there is no answer.

    Raises:
        GraphRecError: For a model that writes nothing.
    """
    reading, readout, head = _writer(predictor)
    model, history = predictor.model, predictor.graph
    total = torch.zeros(len(roots), dtype=torch.float64)
    count = torch.zeros(len(roots), dtype=torch.int64)
    with reading.at_rest():
        vocabulary = readout.vocabulary(model, head)
        for rows in torch.split(torch.arange(len(roots)), BATCH):
            tokens = reading.tokens(roots[rows])
            if readout.answer is None:
                made = readout.continued(history, tokens)
            else:
                given = None if edges is None else edges[rows]
                names = readout.answer.rows(graph, roots[rows], given)
                answers = readout.answer.packed(graph, names, readout.words(model))
                some = (answers.ptr.diff() > 0).nonzero().squeeze(1)
                answers = answers._replace(ptr=torch.cat([answers.ptr[some], answers.ptr[-1:]]))
                rows, tokens = rows[some], tokens.select(some)
                made = readout.written(history, tokens, answers, names[some])
            if not len(rows):
                continue
            hidden = reading.encode(made.view, _first(roots[rows])).hidden
            at = {name: column.to(hidden.device) for name, column in made.targets.items()}
            number = vocabulary.numbers(at["kind"], at["id"])
            losses = vocabulary.losses(hidden.index_select(0, at["token"]), number)
            owner = rows[made.view.tokens.sequence_of()[made.targets["token"]]]
            total.index_add_(0, owner, losses.double().cpu())
            count.index_add_(0, owner, torch.ones_like(owner))
    return total, count


def trie_of(graph: Graph, answer: AnswerText | None, words: Words | None) -> Trie:
    """Return the trie of everything that an answer may be: the texts of its column.

    Raises:
        GraphRecError: For an answer that is no name of a target, and for names that are equal.
    """
    if answer is None or answer.of != "target" or answer.column is None:
        hint = "answer: {of: target, column: title}"
        raise GraphRecError("generate", "names to write within", "none", hint)
    owned = [
        graph.nodes(name)
        for name in graph.schema.node_names
        if answer.column in graph.tables[name].columns[1:]
    ]
    nodes = torch.cat([torch.arange(ids.start, ids.stop) for ids in owned])
    texts = answer.texts(graph, nodes)
    found = answer.packed(graph, nodes, words)
    starts, ids = found.ptr.tolist(), found.id.tolist()
    names = [ids[low:high] for low, high in pairwise(starts)]
    kept = [number for number, name in enumerate(names) if name]
    return Trie.of([names[number] for number in kept], [texts[number] for number in kept])


def _writer(predictor: Predictor) -> _Writer:
    reading = predictor.reading
    found = reading.taught.first(TextReadout, "an objective that writes")
    assert isinstance(found.readout, TextReadout)
    return _Writer(reading, found.readout, reading.head(found))


def _prompts(writer: _Writer, roots: Tensor) -> Iterator[tuple[Tensor, View]]:
    """Yield prompts of like length together, with the numbers of their roots."""
    reading, readout, _ = writer
    for chunk in torch.split(torch.arange(len(roots)), SAMPLED):
        given = roots[chunk]
        tokens = reading.tokens(given)
        known = None
        if readout.answer is not None and readout.answer.of == "root":
            known = readout.answer.rows(reading.graph, given, None)
        order = torch.argsort(tokens.lengths(), stable=True)
        for rows in torch.split(order, BATCH):
            own = None if known is None else known[rows]
            answers = None
            if own is not None and readout.answer is not None:
                answers = readout.answer.packed(reading.graph, own, readout.words(reading.model))
            view = readout.prompt(reading.graph, tokens.select(rows), own, answers)
            yield chunk[rows], replace(view, root=_first(given[rows]).contiguous())


def _first(roots: Tensor) -> Tensor:
    return roots if roots.ndim == 1 else roots[:, 0]


def _draws(roots: Tensor) -> Tensor:
    """Return the names of the draws of roots: int64 ``[n]`` below 2**32, whatever the batch."""
    if roots.ndim == 1:
        return roots
    return draw32(Key(0).named("pair"), roots[:, 0]) ^ roots[:, 1]


def _in_order(parts: list[tuple[Tensor, Generated]]) -> Generated:
    """Return texts in the order of their roots."""
    none = torch.zeros(0, dtype=torch.int64)
    parts = parts or [(none, Generated(none.new_zeros(1), none, none, none.double(), none))]
    row = torch.cat([rows[made.row] for rows, made in parts])
    count = torch.cat([made.ptr.diff() for _, made in parts])
    start = count.cumsum(0) - count
    order = torch.argsort(row, stable=True)
    place, _ = ranges(start[order], count[order])
    id = torch.cat([made.id for _, made in parts])[place]
    kind = torch.cat([made.kind for _, made in parts])[place]
    score = torch.cat([made.score for _, made in parts])[order]
    ptr = torch.cat([count.new_zeros(1), count[order].cumsum(0)])
    return Generated(ptr, id, kind, score, row[order])
