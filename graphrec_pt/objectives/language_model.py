"""The language model: the next word, or the next node, of an answer after its prompt."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import changed
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.pointer_head import PointerHead
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.generation import LONGEST, Generation
from graphrec_pt.objectives.joint_vocabulary import JointVocabulary
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.text_readout import TextReadout
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.answer_text import Answers, AnswerText
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.words import TokenizerField, Words


@objective("language_model")
class LanguageModel(Objective):
    """The autoregressive language model of answers, or of whole sequences.

    ``L = −1/n Σ_t log p(x_t | prompt, x_1 … x_{t−1})`` over the n tokens of all answers of a batch,
    the end of each included (P5, Geng et al., RecSys 2022; PEPLER, Li et al., TOIS 2023). The
    sequence of the linearizer is the prompt; after it stand BOS, the answer and EOS. The answer is
    the text of the edge hidden from the root, of the root itself, or of the target, and never
    stands in its own prompt. Roots without such a text teach nothing.

    With `nodes` one softmax goes over words and the nodes of some types: texts that name items by
    tokens of their own (RecInDial, Wang et al., AACL 2022; LLaRA, Liao et al., SIGIR 2024).

    Args:
        answer: What is to be written. None where the linearizer writes the answers itself: what
            stands after the last BOS of a sequence, the whole sequence without one.
        nodes: Names of the node types that may be written.
        gate: Choose between words and nodes by a copy gate, then within them.
        smoothing: Label smoothing ε (Szegedy et al., CVPR 2016).
        mode: ``"causal"`` for decoders; ``"prefix"`` lets the prompt be seen both ways: the
            encoder of an encoder–decoder reads it.
        generation: How the trained model writes.
        tokenizer: Of the answers; that of the model by default.
    """

    answer: AnswerText | None = None
    nodes: tuple[str, ...] = ()
    gate: bool = False
    smoothing: float = Field(0.0, ge=0, lt=1)
    mode: Literal["causal", "prefix"] = "causal"
    generation: Generation = Generation()
    tokenizer: TokenizerField | None = None

    def __post_init__(self) -> None:
        if self.gate and not self.nodes:
            hint = "nodes: [item]"
            raise GraphRecError("language_model", "nodes that a gate may choose", "none", hint)
        if self.answer is not None and self.answer.has_nodes and not self.nodes:
            hint = "nodes: [item], or answer: {of: target, column: title}"
            raise GraphRecError("language_model", "nodes to answer with", "none", hint)

    @property
    def needs(self) -> RequiredFields:
        """Text where sequences hold their answers."""
        kinds = {Kind.TEXT} if self.answer is None else set()
        return RequiredFields(frozenset(kinds), frozenset({"type"}))

    def check(self, spec: GraphSpec) -> None:
        """Raise unless the answer's column and the node types are there."""
        if self.answer is not None:
            self.answer.check(spec, "language_model")
        for name in self.nodes:
            spec.node_index(name)

    def with_words(self, words: Words | None, size: int) -> Self:
        """Return the same with the model's tokenizer, unless it names one."""
        if self.tokenizer is not None or words is None:
            return self
        return changed(self, tokenizer=words.tokenizer)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return prompts with their answers, and what comes after each of their tokens."""
        graph, tokens, readout = examples.graph, examples.tokens, self.readout()
        root = examples.root()
        if self.answer is None:
            made = readout.continued(graph, tokens)
            view = replace(made.view, root=root)
            return TrainingExamples((view,), made.targets, len(made.targets["token"]))
        rows, answers = self._answers(examples)
        some = (answers.ptr.diff() > 0).nonzero().squeeze(1)
        answers = answers._replace(ptr=torch.cat([answers.ptr[some], answers.ptr[-1:]]))
        made = readout.written(graph, tokens.select(some), answers, rows[some])
        view = replace(made.view, root=None if root is None else root[some])
        return TrainingExamples((view,), made.targets, len(made.targets["token"]))

    def lengths(self, examples: Examples) -> Tensor:
        """Return the tokens of prompts with their answers: int64 ``[B]``."""
        length = examples.tokens.lengths()
        if self.answer is None:
            return length
        _, answers = self._answers(examples)
        return length + answers.ptr.diff() + 2  # BOS and EOS

    def _answers(self, examples: Examples) -> tuple[Tensor, Answers]:
        """Return what names the answer of each sequence, and the answers."""
        assert self.answer is not None
        if isinstance(examples.roots, Sets):
            raise GraphRecError("language_model", "roots that are nodes or pairs", "sets")
        edges = None if examples.exclude is None else examples.exclude[examples.owner]
        rows = self.answer.rows(examples.graph, examples.roots[examples.owner], edges)
        return rows, self.answer.packed(examples.graph, rows, self.readout().words())

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return the scores of nodes and the gate; words are scored by the model's own table."""
        return PointerHead(width, self.gate) if self.nodes else nn.Identity()

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: nn.Module,
    ) -> Tensor:
        """Return the mean over the tokens of the answers."""
        at = corrupted.targets
        vocabulary = JointVocabulary(model, head, self.nodes)
        hidden = encoded[0].hidden.index_select(0, at["token"])  # [n, D]
        number = vocabulary.numbers(at["kind"], at["id"])
        return vocabulary.loss(hidden, number, self.smoothing)

    def readout(self) -> TextReadout:
        """Return a readout that writes."""
        longest = LONGEST if self.answer is None else self.answer.longest
        generation = self.generation.bounded(longest)
        return TextReadout(generation, self.answer, self.nodes, self.mode, self.tokenizer)
