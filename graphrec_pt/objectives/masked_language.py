"""Masked language modelling of node text, alone or together with masked nodes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Self

import polars as pl
import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.core.registry import changed
from graphrec_pt.features.columns import columns_of, read_column
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Strict
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.softmax_loss import softmax_loss
from graphrec_pt.models.heads import TextHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import NodePrediction
from graphrec_pt.objectives.masking import Masking, choose, masked_out
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.sequence_rng import SequenceRNG, one_of, unit
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import TokenizerField, Words, texts_of

_ids: Memo[Tensor] = Memo()  # of a node table


class OpinionWords(Strict):
    """Text tokens whose nodes differ in a mean number (such as the rating) from all nodes.

    ``z_w = (mean_w − mean) √n_w / sd`` over the nodes that have a text and a number, n_w of which
    hold the token w; those with ``|z_w| ≥ least`` are opinion words, unless they are too rare.
    Held-out nodes of a train graph have no text, so nothing is learned from them.

    Args:
        node_type: Node type of the texts and numbers.
        text: Its text column.
        number: Its number column.
        tokenizer: Tokenizer of the text, as in the linearizer; by default that of the model.
        least: Smallest ``|z|``.
        occurs: Smallest n_w.
    """

    node_type: str
    text: str
    number: str
    tokenizer: TokenizerField | None = None
    least: float = Field(3.0, ge=0)
    occurs: int = Field(5, ge=1)

    def check(self, spec: GraphSpec, who: str) -> None:
        """Raise unless the columns are there."""
        columns_of(spec, self.node_type, ["text"], [self.text], who)
        columns_of(spec, self.node_type, ["number"], [self.number], who)

    def with_words(self, words: Words) -> Self:
        """Return the same with the model's tokenizer, unless it names one."""
        if self.tokenizer is not None:
            return self
        return self.model_copy(update={"tokenizer": words.tokenizer})

    def ids(self, graph: Graph) -> Tensor:
        """Return the opinion words, ascending: int64 ``[n]``; kept with the node table."""
        table = graph.tables[self.node_type]
        words = Words.given("among", self.tokenizer)
        key, given = self.model_dump_json(), (words.tokenizer,)
        return _ids(table, key, lambda: self._opinion_ids(graph, words), given)

    def _opinion_ids(self, graph: Graph, words: Words) -> Tensor:
        start, token = texts_of(graph, self.node_type, self.text, words)
        owner = torch.arange(len(start) - 1, device="cpu").repeat_interleave(start.diff())
        numbers = read_column(graph, self.node_type, self.number, "among")
        rows = pl.DataFrame({"node": owner.numpy(), "token": token.numpy()}).unique()
        rows = rows.with_columns(number=numbers.cast(pl.Float64).gather(rows["node"])).drop_nulls()
        nodes = rows.unique("node")["number"]
        mean, sd = nodes.mean(), nodes.std(ddof=0)
        if not sd:  # no numbers, or all equal
            return token[:0].long()
        z = (pl.col("number").mean() - mean) * pl.len().sqrt() / sd
        words_found = (
            rows.group_by("token")
            .agg(z=z, held=pl.len())
            .filter((pl.col("z").abs() >= self.least) & (pl.col("held") >= self.occurs))
        )
        return torch.from_numpy(words_found["token"].cast(pl.Int64).sort().to_numpy().copy())


@objective("masked_language")
class MaskedLanguage(Objective):
    """The masked language model (MLM) of BERT (Devlin et al., NAACL 2019) over text tokens.

    ``L = −1/|M| Σ_{m ∈ M} log p(w_m | sequence without M)`` over the text vocabulary. Of the
    chosen tokens .8 become MASK, .1 another token of the vocabulary, .1 stay. A backbone that
    brings the head of its own masked language model predicts by that one.

    Args:
        vocabulary: V, tokens of the text vocabulary; by default that of the model.
        masking: How many text tokens, and what is put in their place.
        whole: Choose nodes instead of tokens and hide their whole text, by the whole-word index
            `word` of P5 (Geng et al., RecSys 2022).
        among: Choose only among words that go with a number: the masked opinion tokens of U-BERT
            (Qiu et al., AAAI 2021), re-derived. Not with `whole`.
    """

    vocabulary: int | None = Field(None, ge=2)
    masking: Masking = Masking(mask=0.8, random=0.1, everywhere=False)
    whole: bool = False
    among: OpinionWords | None = None

    def __post_init__(self) -> None:
        if self.whole and self.among is not None:
            raise GraphRecError("masked_language", "whole or among", "both")

    @property
    def needs(self) -> RequiredFields:
        """Text."""
        return RequiredFields(frozenset({Kind.TEXT}), frozenset({"word"} if self.whole else ()))

    def with_words(self, words: Words | None, size: int) -> "MaskedLanguage":
        """Return the same over the words of a model."""
        among = self.among
        if among is not None and words is not None:
            among = among.with_words(words)
        return changed(self, vocabulary=self.vocabulary or size, among=among)

    @property
    def size(self) -> int:
        """V.

        Raises:
            GraphRecError: Before the words of a model are known.
        """
        if self.vocabulary is None:
            hint = "model.text: trained:8000, or vocabulary: V"
            raise GraphRecError("masked_language", "a model with words", "none", hint)
        return self.vocabulary

    def check(self, spec: GraphSpec) -> None:
        """Raise unless the columns of ``among`` exist."""
        if self.among is not None:
            self.among.check(spec, "masked_language")

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view, and the hidden text tokens."""
        tokens, draws = examples.tokens, examples.draws.named("masked_language")
        text = tokens.kind == Kind.TEXT
        if self.among is not None:
            text &= torch.isin(tokens.id, self.among.ids(examples.graph).to(tokens.id.device))
        if self.whole:
            chosen = text & _of_chosen_words(tokens, text, draws, self.masking)
        else:
            chosen = choose(tokens, text, draws, self.masking)
        words = draws.of_tokens(tokens)
        fate = unit(words[:, 1])
        masked = chosen & (fate < self.masking.mask)
        swapped = chosen & ~masked & (fate < self.masking.mask + self.masking.random)
        step = 1 + one_of(words[:, 2], self.size - 1)  # never lands on the token itself
        ids = torch.where(swapped, (tokens.id + step) % self.size, tokens.id)
        seen = masked_out(replace(tokens, id=ids), masked)
        token = chosen.nonzero().squeeze(1)
        targets = {"token": token, "text": tokens.id[token]}
        return TrainingExamples((View(seen),), targets, len(token))

    def head(self, spec: GraphSpec, width: int) -> TextHead:
        """Return transform and bias; the words are the model's own embeddings."""
        return TextHead(width, self.size)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: TextHead
    ) -> Tensor:
        """Return the mean over the hidden text tokens."""
        if model.num_words != self.size:
            expected, hint = f"a model with text: {self.size}", "no vocabulary: that of the model"
            raise GraphRecError("masked_language", expected, model.num_words, hint)
        hidden = encoded[0].hidden.index_select(0, corrupted.targets["token"])  # [n, D]
        targets = corrupted.targets["text"]
        if not model.transforms_words:
            return head.loss(hidden, model.words, targets)
        sides = model.word_sides(hidden)
        return softmax_loss(sides.query, sides.table, targets, bias=sides.bias)


@objective("masked_token")
class MaskedToken(NodePrediction):
    """Masked news and user tokens (MTP) of PREC (Liu et al., COLING 2022).

    A news is a row of columns (title, subcategory, abstract), a user a sequence of news. Of the
    tokens of each column .15 are chosen, .8 of these become MASK, .1 another token of the same
    column's vocabulary, .1 stay; each column is predicted over its own vocabulary: node types over
    their nodes, text over the text vocabulary. MASK keeps the type of its node, so that structure
    ``type`` makes a MASK of each column. The paper adds up the columns' means; here all hidden
    tokens weigh the same. Without a `vocabulary` text is left alone (users as sequences of news).

    Args:
        vocabulary: Tokens of the text vocabulary; 0 for none, None for that of the model.
        masking: How many tokens of each column, and what is put in their place.
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types that may be hidden; all by default, roots never.
    """

    vocabulary: int | None = Field(0, ge=0)
    masking: Masking = Masking(mask=0.8, random=0.1)

    def __post_init__(self) -> None:
        if self.vocabulary == 1:
            raise GraphRecError("masked_token", "a vocabulary of 0, or of 2 and more", 1)

    def with_words(self, words: Words | None, size: int) -> "MaskedToken":
        """Return the same over the words of a model, where it is to hide text."""
        return changed(self, vocabulary=size) if self.vocabulary is None else self

    @cached_property
    def nodes(self) -> Objective:
        """The objective for the node tokens."""
        given = {"masking": self.masking, "candidates": self.candidates, "types": self.types}
        return objective.build({"name": "masked_node", **given})

    @cached_property
    def language(self) -> Objective | None:
        """The objective for the text tokens."""
        if self.vocabulary == 0:
            return None
        alone = self.masking.model_copy(update={"everywhere": False})
        given = {"vocabulary": self.vocabulary, "masking": alone}
        return objective.build({"name": "masked_language", **given})

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots; text if there is a vocabulary."""
        kinds = {Kind.NODE} if self.vocabulary == 0 else {Kind.NODE, Kind.TEXT}
        return RequiredFields(frozenset(kinds), self.nodes.needs.fields)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view, and the nodes and text tokens hidden in it."""
        nodes = self.nodes.corrupt(examples)
        targets = {f"nodes.{name}": value for name, value in nodes.targets.items()}
        if self.language is None:
            return replace(nodes, targets=targets)
        # The text of a hidden node is hidden by now, and is not predicted.
        hidden = replace(examples, tokens=nodes.views[0].tokens)
        text = self.language.corrupt(hidden)
        targets |= {f"text.{name}": value for name, value in text.targets.items()}
        return TrainingExamples(text.views, targets, nodes.count + text.count)

    def head(self, spec: GraphSpec, width: int) -> nn.ModuleDict:
        """Return the heads of nodes and of text."""
        heads: dict[str, nn.Module] = {"nodes": self.nodes.head(spec, width)}
        if self.language is not None:
            heads["text"] = self.language.head(spec, width)
        return nn.ModuleDict(heads)

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: nn.ModuleDict,
    ) -> Tensor:
        """Return the mean over the hidden tokens."""
        parts = {"nodes": self.nodes, "text": self.language}
        total = encoded[0].hidden.new_zeros(())
        for name, part in parts.items():
            if part is None:
                continue
            at = {
                key.removeprefix(f"{name}."): value
                for key, value in corrupted.targets.items()
                if key.startswith(f"{name}.")
            }
            count = len(at["token"])
            if count:
                of_part = TrainingExamples(corrupted.views, at, count)
                total = total + count * part.loss(encoded, of_part, model, head[name])
        return total / max(corrupted.count, 1)


def _of_chosen_words(tokens: Tokens, text: Tensor, draws: SequenceRNG, policy: Masking) -> Tensor:
    """Return the tokens whose word is chosen, words drawn by their first text token: ``[T]``."""
    if tokens.word is None:
        raise GraphRecError("masked_language", "tokens with 'word'", "none", "linearizer: text")
    name = (tokens.sequence_of() << 32) | (tokens.word + 1)
    begins = text.clone()
    begins[1:] &= ~(text[:-1] & (name[1:] == name[:-1]))
    chosen = choose(tokens, begins, draws, policy)
    return torch.isin(name, name[chosen])
