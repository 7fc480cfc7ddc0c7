"""Likelihood: how probable a language model finds names after a prompt.

Sileo et al., "Zero-shot recommendation as language modeling", ECIR 2022, rank movies by
``log p(title | prompt of the history)``. A long name is less probable than a short one whatever
the prompt says, and a frequent one more; so the mean over its tokens, and the difference to a
prompt without a history, can be taken instead (contextual calibration, Zhao et al., ICML 2021;
``log p(title | history) − α log p(title | no history)`` as in LMRecSys, Zhang et al., 2021).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.schema import Strict
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.models.writing import begin, write
from graphrec_pt.predict.reading import Reading
from graphrec_pt.predict.scorer import Scorer
from graphrec_pt.predict.seen import seen_pairs
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Words

BLOCK = 8192
"""Tokens of prompts and names, with padding, whose states are kept at once."""


class Likelihood(Strict):
    """How the log-probability of a name becomes a score.

    Args:
        average: Divide by the number of tokens of the name.
        prior: α of the log-probability after a prompt without a history, which is subtracted; 0
            for none.
        before: Text between the prompt and the name, as the tokenizer reads it with the name.
    """

    average: bool = True
    prior: float = Field(0.0, ge=0)
    before: str = " "


class Names(NamedTuple):
    """Names as packed text tokens.

    Args:
        ptr: int64 ``[N+1]``.
        id: int64 ``[M]``.
    """

    ptr: Tensor
    id: Tensor

    @classmethod
    def of(cls, texts: Sequence[str], words: Words, before: str = " ") -> "Names":
        """Return texts as names.

        Args:
            texts: The names.
            words: The tokenizer.
            before: Text before each.

        Raises:
            GraphRecError: For a name without a token, which would be as probable as can be.
        """
        ids = words.encode_all([before + text for text in texts])
        for text, each in zip(texts, ids, strict=True):
            if not each or not text.strip():
                raise GraphRecError("likelihood", "names of at least one token", repr(text))
        count = torch.tensor([0, *map(len, ids)], dtype=torch.int64)
        return cls(count.cumsum(0), torch.tensor([id for each in ids for id in each]))


def log_likelihoods(
    model: Model, prompts: Tokens, names: Names, row: Tensor, name: Tensor
) -> Tensor:
    """Return log p(name | prompt), the sum over the tokens of the name: float64 ``[n]``.

    A prompt is read once for all its names, or once for a block of them where they are many.

    Args:
        model: A language model; left in the mode that it is in.
        prompts: B sequences of at least one token.
        names: The names.
        row: int64 ``[n]``, prompt of each question.
        name: int64 ``[n]``, name of each question.

    Raises:
        GraphRecError: For a model without words, and an empty prompt.
    """
    total = torch.zeros(len(row), dtype=torch.float64)
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), model.cached_embeddings():
            for questions in _blocks(prompts, names, row, name):
                total[questions] = _of_block(model, prompts, names, row[questions], name[questions])
    finally:
        model.train(training)
    return total


def _blocks(prompts: Tokens, names: Names, row: Tensor, name: Tensor) -> Iterator[Tensor]:
    """Yield the questions, those of one prompt together, prompts of like length together."""
    length, size = prompts.lengths()[row].tolist(), names.ptr.diff()[name].tolist()
    places = list(zip(length, row.tolist(), strict=True))
    block: list[int] = []
    longest = 0
    for at in sorted(range(len(row)), key=places.__getitem__):
        longest = max(longest, size[at])
        # The states of a prompt are kept once for each of its names.
        if block and (len(block) + 1) * (length[at] + longest) > BLOCK:
            yield torch.tensor(block)
            block, longest = [], size[at]
        block.append(at)
    if block:
        yield torch.tensor(block)


def _of_block(model: Model, prompts: Tokens, names: Names, row: Tensor, name: Tensor) -> Tensor:
    device = model.words.device
    chosen, row = torch.unique(row, return_inverse=True)
    tokens = prompts.select(chosen).to(device)
    hidden, cache = begin(model, View(tokens, mode="causal"))
    position = tokens.position[tokens.ptr[1:] - 1]
    count = names.ptr.diff()[name]
    order = torch.argsort(count, descending=True, stable=True)  # the last ones end first
    row, name, count = row[order], name[order], count[order]
    total = torch.zeros(len(row), dtype=torch.float64)
    at = row.to(device)
    hidden, cache, position = hidden.index_select(0, at), cache.select(at), position[at]
    for step in range(int(count[0])):
        live = int((count > step).sum())
        if live < len(hidden):
            rows = torch.arange(live, device=device)
            hidden, cache, position = hidden[:live], cache.select(rows), position[:live]
        id = names.id[names.ptr[name[:live]] + step].to(device)
        scores = model.word_sides(hidden).logits().float().log_softmax(1)  # [live, V]
        total[:live] += scores.gather(1, id.unsqueeze(1)).squeeze(1).double().cpu()
        if step + 1 < int(count[0]):
            position = position + 1
            ptr = torch.arange(live + 1, device=device)
            one = Tokens.of(id, Kind.TEXT, ptr, position=position)
            hidden, cache = write(model, one, cache)
    return torch.empty_like(total).index_copy(0, order, total)


@dataclass(frozen=True, eq=False)
class LikelihoodScorer:
    """Scores of items by the likelihood of their names after a prompt of a history.

    Args:
        reading: The language model; its linearizer writes the prompts.
        column: Text column of the candidates.
        chosen: How likelihoods become scores.
    """

    reading: Reading
    column: str
    chosen: Likelihood = field(default_factory=Likelihood)

    def of_histories(self, histories: Sequence[Tensor], row: Tensor, item: Tensor) -> Tensor:
        """Return the score of each question: float64 ``[n]``.

        Args:
            histories: int64 global ids of items each, oldest first.
            row: int64 ``[n]``, the history of each question.
            item: int64 ``[n]``, a candidate, counted from the first one.
        """
        return self._scores(self.reading.tokens_of_events(histories), row, item)

    def of_sources(self, nodes: Tensor, row: Tensor, item: Tensor) -> Tensor:
        """Return the score of each question: float64 ``[n]``.

        Args:
            nodes: int64 ``[B]``, sources whose prompts are sampled.
            row: int64 ``[n]``, the source of each question.
            item: int64 ``[n]``, a candidate, counted from the first one.
        """
        return self._scores(self.reading.tokens(nodes), row, item)

    def _scores(self, prompts: Tokens, row: Tensor, item: Tensor) -> Tensor:
        model = self.reading.model
        items, name = torch.unique(item, return_inverse=True)
        table = self.reading.graph.tables[self.reading.relation.target]
        texts = table[self.column].gather(items.numpy()).fill_null("").to_list()
        words = Words.given("likelihood", model.tokenizer and model.tokenizer.tokenizer)
        names = Names.of(texts, words, self.chosen.before)
        total = log_likelihoods(model, prompts, names, row, name)
        if self.chosen.prior:
            nothing = [torch.empty(0, dtype=torch.int64)]
            neutral = self.reading.tokens_of_events(nothing)
            each = torch.arange(len(items))
            prior = log_likelihoods(model, neutral, names, torch.zeros_like(each), each)
            total = total - self.chosen.prior * prior[name]
        return total / names.ptr.diff()[name] if self.chosen.average else total


@dataclass(frozen=True, eq=False)
class Reranked:
    """The best items of another scorer, ordered by likelihood; the others follow as they were.

    Args:
        first: Scores the catalogue.
        second: Orders its best items.
        k: How many.
    """

    first: Scorer
    second: LikelihoodScorer
    k: int = 20

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]``."""
        scores = self.first.scores(nodes).double().cpu()
        reading = self.second.reading
        ptr, seen = seen_pairs(reading.graph, reading.relation.name, nodes)
        owner = ranges(ptr[:-1], ptr.diff())[1]
        unseen = scores.index_put((owner, seen), scores.new_tensor(-torch.inf))
        best = unseen.topk(min(self.k, scores.shape[1]), dim=1)  # [B, k]
        row, column = (best.values > -torch.inf).nonzero(as_tuple=True)
        item = best.indices[row, column]
        if not len(row):
            return scores
        local = self.second.of_sources(nodes, row, item)
        above = scores.amax(1)[row] + 1 + (local - local.min())
        return scores.index_put((row, item), above)
