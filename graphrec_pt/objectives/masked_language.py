"""Masked language: which word was hidden in the text of the nodes."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import TextHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.draws import Draws, one_of, unit
from graphrec_pt.objectives.masking import Masking, choose
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.telling_words import TellingWords
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


@objective("masked_language")
class MaskedLanguage(Objective):
    """The masked language model (MLM) of BERT (Devlin et al., NAACL 2019) over text tokens.

    ``L = −1/|M| Σ_{m ∈ M} log p(w_m | sequence without M)`` over the text vocabulary. Of the
    chosen tokens .8 become MASK, .1 another token of the vocabulary, .1 stay.

    Args:
        vocabulary: V, tokens of the text vocabulary: the `text` of the model.
        masking: How many text tokens, and what is put in their place.
        whole: Choose nodes instead of tokens and hide their whole text, by the whole-word index
            `word` of P5 (Geng et al., RecSys 2022).
        among: Choose only among words that tell of a number: the masked opinion tokens of U-BERT
            (Qiu et al., AAAI 2021), re-derived. Not with `whole`.
    """

    vocabulary: int = Field(ge=2)
    masking: Masking = Masking(mask=0.8, random=0.1, everywhere=False)
    whole: bool = False
    among: TellingWords | None = None

    def __post_init__(self) -> None:
        if self.whole and self.among is not None:
            raise GraphRecError("masked_language", "whole or among", "both")

    @property
    def needs(self) -> Needs:
        """Text."""
        return Needs(frozenset({Kind.TEXT}), frozenset({"word"} if self.whole else ()))

    def check(self, outline: Outline) -> None:
        """Raise unless there is what words could tell of."""
        if self.among is not None:
            self.among.check(outline, "masked_language")

    def corrupt(self, examples: Examples) -> Corrupted:
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
        step = 1 + one_of(words[:, 2], self.vocabulary - 1)  # never lands on the token itself
        ids = torch.where(swapped, (tokens.id + step) % self.vocabulary, tokens.id)
        seen = replace(
            tokens,
            id=torch.where(masked, int(Special.MASK), ids),
            kind=torch.where(masked, int(Kind.SPECIAL), tokens.kind),
        )
        token = chosen.nonzero().squeeze(1)
        targets = {"token": token, "text": tokens.id[token]}
        return Corrupted((View(seen),), targets, len(token))

    def head(self, outline: Outline, width: int) -> TextHead:
        """Return transform and bias; the words are the model's own embeddings."""
        return TextHead(width, self.vocabulary)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: TextHead
    ) -> Tensor:
        """Return the mean over the hidden text tokens."""
        text = model.embedding.text
        if text is None or len(text.weight) != self.vocabulary:
            got = 0 if text is None else len(text.weight)
            expected = f"a model with text: {self.vocabulary}"
            raise GraphRecError("masked_language", expected, got, "vocabulary: that of the model")
        hidden = encoded[0].hidden.index_select(0, corrupted.targets["token"])  # [n, D]
        return head.loss(hidden, text.weight, corrupted.targets["text"])


def _of_chosen_words(tokens: Tokens, text: Tensor, draws: Draws, policy: Masking) -> Tensor:
    """Return the tokens whose word is chosen, words drawn by their first text token: ``[T]``."""
    if tokens.word is None:
        raise GraphRecError("masked_language", "tokens with 'word'", "none", "linearizer: text")
    name = (tokens.sequence_of() << 32) | (tokens.word + 1)
    begins = text.clone()
    begins[1:] &= ~(text[:-1] & (name[1:] == name[:-1]))
    chosen = choose(tokens, begins, draws, policy)
    return torch.isin(name, name[chosen])
