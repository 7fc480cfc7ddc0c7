"""Readouts that write: prompts, and prompts with their answers, of a language model.

After the prompt stand BOS, the answer and EOS. Training, generation and perplexity make their
sequences here, so what a model reads when it writes is what it was taught on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.attention import Mode
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.generation import Generation
from graphrec_pt.objectives.joint_vocabulary import JointVocabulary
from graphrec_pt.objectives.masking import last_of
from graphrec_pt.objectives.readout import Readout
from graphrec_pt.sampling.sampler import RootKind
from graphrec_pt.tokens.answer_text import Answers, AnswerText
from graphrec_pt.tokens.join import side_by_side
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Tokenizer, Words


class Written(NamedTuple):
    """Sequences of prompts with their answers.

    Args:
        view: B sequences.
        targets: ``token`` int64 ``[n]``, tokens of the batch after which something is predicted;
            ``kind`` and ``id`` int64 ``[n]`` of what it is.
    """

    view: View
    targets: Mapping[str, Tensor]


@dataclass(frozen=True)
class TextReadout(Readout):
    """Texts that a language model writes about roots.

    Args:
        generation: How it writes.
        answer: What it was taught to write; None for sequences that hold their answers.
        nodes: Names of the node types that it may write beside words.
        mode: ``"causal"``, or ``"prefix"``: the prompt is seen both ways, by the encoder of an
            encoder–decoder.
        tokenizer: Of the answers; that of the model by default.
    """

    generation: Generation = field(default_factory=Generation)
    answer: AnswerText | None = None
    nodes: tuple[str, ...] = ()
    mode: Mode = "causal"
    tokenizer: str | Tokenizer | None = None

    def on(self, roots: RootKind) -> "TextReadout | None":
        """Return the readout for samplers of nodes and of pairs."""
        return None if roots == "sets" else self

    def words(self, model: Model | None = None) -> Words | None:
        """Return the tokenizer of the answers; None where they need none.

        Raises:
            GraphRecError: For answers that are texts, when neither readout nor model has one.
        """
        if self.answer is None or self.answer.column is None:
            return None
        if self.tokenizer is None and model is not None and model.tokenizer is not None:
            return model.tokenizer
        return Words.given("language_model", self.tokenizer)

    def vocabulary(self, model: Model, head: nn.Module) -> JointVocabulary:
        """Return what the model may write, with its probabilities."""
        return JointVocabulary(model, head, self.nodes)

    def prompt(
        self, graph: Graph, tokens: Tokens, rows: Tensor | None = None, known: Answers | None = None
    ) -> View:
        """Return prompts, each with BOS at its end, where writing begins.

        Where no answer is known, BOS stands before a sequence that holds none, which is continued.

        Args:
            graph: The graph that was sampled.
            tokens: B linearized sequences.
            rows: int64 ``[B]`` of :meth:`AnswerText.rows`, −1 where unknown.
            known: The answers, where they may stand in the prompt.
        """
        begin = last_of(tokens, _is(tokens, Special.BOS))
        front = (begin < 0) & (self.answer is None)
        hidden = self._hidden_nodes(graph, tokens, rows, known)
        tokens = without_answer(_before(tokens, begin), *hidden, of_root=self._of_root)
        ends = [_special(Special.BOS, which.long()) for which in (front, ~front)]
        whole = side_by_side([ends[0], tokens, ends[1]])
        return self._view(whole, torch.where(front, 0, tokens.lengths()))

    def written(self, graph: Graph, tokens: Tokens, answers: Answers, rows: Tensor) -> Written:
        """Return prompts with their answers, and what is predicted where.

        Args:
            graph: The graph that was sampled.
            tokens: B linearized sequences.
            answers: B of them.
            rows: int64 ``[B]`` of :meth:`AnswerText.rows`.
        """
        prompt = _before(tokens, last_of(tokens, _is(tokens, Special.BOS)))
        hidden = self._hidden_nodes(graph, tokens, rows, answers)
        prompt = without_answer(prompt, *hidden, of_root=self._of_root)
        one = torch.ones_like(tokens.ptr[1:])
        types = torch.full_like(answers.id, -1)
        nodes = answers.kind == Kind.NODE
        types[nodes] = graph.csr.node_type(answers.id[nodes])
        answer = Tokens.of(answers.id, answers.kind, answers.ptr, type=types)
        parts = [prompt, _special(Special.BOS, one), answer, _special(Special.EOS, one)]
        whole = side_by_side(parts)
        return self._targets(graph, whole, prompt.lengths())

    def continued(self, graph: Graph, tokens: Tokens) -> Written:
        """Return sequences that hold their answers, and what is predicted where.

        The answer is what stands after the last BOS; a sequence without BOS is one as a whole.
        """
        begin = last_of(tokens, _is(tokens, Special.BOS))
        lacks, some = begin < 0, tokens.lengths() > 0
        last = tokens.ptr[1:][some] - 1
        open_ = some.clone()
        open_[some] = ~_is(tokens, Special.EOS)[last]
        parts = [_special(Special.BOS, (lacks & some).long()), tokens]
        whole = side_by_side([*parts, _special(Special.EOS, open_.long())])
        return self._targets(graph, whole, torch.where(lacks, 0, begin - tokens.ptr[:-1]))

    @property
    def _of_root(self) -> bool:
        return self.answer is not None and self.answer.of == "root"

    def _hidden_nodes(
        self, graph: Graph, tokens: Tokens, rows: Tensor | None, answers: Answers | None
    ) -> tuple[Tensor, Answers | None]:
        """Return the node whose text may not stand in each prompt, −1 for none; the answers."""
        none = torch.full_like(tokens.ptr[1:], -1)
        if self.answer is None or rows is None or self.answer.of == "target":
            return none, None
        return self.answer.nodes(graph, rows), answers

    def _view(self, tokens: Tokens, prefix: Tensor) -> View:
        seen = prefix if self.mode == "prefix" else None
        return View(tokens, self.mode, prefix=seen, readable=prefix)

    def _targets(self, graph: Graph, tokens: Tokens, prefix: Tensor) -> Written:
        """Return the view of whole sequences, whose answers begin after the prefix and BOS."""
        after = tokens.places() > prefix[tokens.sequence_of()]
        learned = (tokens.kind == Kind.TEXT) | _is(tokens, Special.EOS)
        if self.nodes:
            types = torch.tensor([graph.schema.node_index(name) for name in self.nodes])
            learned |= (tokens.kind == Kind.NODE) & torch.isin(tokens.type, types.to(tokens.id))
        at = (after & learned).nonzero().squeeze(1)
        targets = {"token": at - 1, "kind": tokens.kind[at], "id": tokens.id[at]}
        return Written(self._view(tokens, prefix), targets)


def without_answer(
    tokens: Tokens, node: Tensor, answers: Answers | None = None, *, of_root: bool = False
) -> Tokens:
    """Return sequences without the text of one node each: the answer cannot be read off them.

    Left out are text tokens of that node wherever it stands, and texts whose node is not named
    (linearizers may leave node tokens out) that begin as the answer does. Later tokens move up.

    Args:
        tokens: B sequences.
        node: int64 ``[B]`` global ids, −1 for none.
        answers: B of them, where they are known.
        of_root: Whether the node is the root, whose texts have hop 0.
    """
    row, text = tokens.sequence_of(), tokens.kind == Kind.TEXT
    hidden = text & (tokens.hop == 0) & (node[row] >= 0) & of_root
    if tokens.word is not None:
        name = (row << 32) | tokens.word.clamp(min=0)
        known = tokens.word >= 0
        named = (tokens.kind == Kind.NODE) & known
        own = named & (tokens.id == node[row])
        hidden |= text & known & torch.isin(name, name[own])
        if answers is not None:
            nameless = text & known & ~torch.isin(name, name[named])
            hidden |= nameless & _begins_as(tokens, name, nameless, answers)
    if not bool(hidden.any()):
        return tokens
    before = hidden.long().cumsum(0) - hidden.long()
    shift = before - torch.cat([before, before[-1:]])[tokens.ptr[:-1]][row]
    moved = replace(tokens, position=(tokens.position - shift).clamp(min=0))
    return moved.take((~hidden).nonzero().squeeze(1))


def _begins_as(tokens: Tokens, name: Tensor, chosen: Tensor, answers: Answers) -> Tensor:
    """Return the chosen text tokens whose whole text agrees with the answer as far as both go."""
    at = chosen.nonzero().squeeze(1)
    _, group, count = torch.unique_consecutive(name[at], return_inverse=True, return_counts=True)
    rank = ranges(torch.zeros_like(count), count)[0]
    row = tokens.sequence_of()[at]
    length = answers.ptr.diff()[row]
    place = (answers.ptr[:-1][row] + rank).clamp(max=max(len(answers.id) - 1, 0))
    other = torch.zeros_like(at)
    if len(answers.id):
        other = (answers.id[place] != tokens.id[at]) & (rank < length)
    differs = torch.bincount(group, weights=other.double()) > 0
    same = torch.zeros_like(chosen)
    same[at] = ~differs[group] & (length > 0)
    return same


def _before(tokens: Tokens, begin: Tensor) -> Tokens:
    """Return what stands before a token of each sequence (int64 ``[B]``), all of it for −1."""
    end = torch.where(begin < 0, tokens.ptr[1:], begin)
    place = torch.arange(len(tokens.id), device=tokens.id.device)
    kept = place < end[tokens.sequence_of()]
    return tokens if bool(kept.all()) else tokens.take(kept.nonzero().squeeze(1))


def _is(tokens: Tokens, which: Special) -> Tensor:
    return (tokens.kind == Kind.SPECIAL) & (tokens.id == which)


def _special(which: Special, count: Tensor) -> Tokens:
    """Return sequences of one special token where the count is 1, empty ones where it is 0."""
    ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
    size = int(ptr[-1])
    return Tokens.of(torch.full((size,), which, dtype=torch.int64), Kind.SPECIAL, ptr)
