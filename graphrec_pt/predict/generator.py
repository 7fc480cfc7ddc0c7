"""Generation: texts of words and nodes, token by token, after prompts.

Everything runs in one batch with a cache of what was read; texts that have ended leave the batch.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.philox import draw32
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.models.writing import begin, write
from graphrec_pt.objectives.generation import Generation
from graphrec_pt.objectives.joint_vocabulary import JointVocabulary
from graphrec_pt.predict.restrictions import NONE, Restrictions, Texts
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.trie import Trie

STAYS = 0.75
"""Share of a batch below which the texts that have ended are taken out of it."""


@dataclass(frozen=True, eq=False)
class Generated:
    """The texts that were generated, end to end, on the CPU.

    Args:
        ptr: int64 ``[m+1]``, where each text starts.
        id: int64 ``[M]``, text ids, and global ids of nodes.
        kind: int64 ``[M]``, TEXT or NODE.
        score: float64 ``[m]``: the log-probability, the end included; of beam search the score
            that it ranks by.
        row: int64 ``[m]``, the prompt of each, ascending, best texts first.
    """

    ptr: Tensor
    id: Tensor
    kind: Tensor
    score: Tensor
    row: Tensor

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Return the nodes that are written, and the text of each: two int64 ``[k]``."""
        owner = torch.arange(len(self.row)).repeat_interleave(self.ptr.diff())
        there = self.kind == Kind.NODE
        return self.id[there], owner[there]

    def texts(self, model: Model, graph: Graph | None = None) -> list[str]:
        """Return the texts for a person; nodes are called by their titles.

        Raises:
            GraphRecError: For a model whose tokenizer only reads, and nodes without a graph.
        """
        words, graph = model.tokenizer, graph or model.graph
        found = []
        for low, high in zip(self.ptr[:-1].tolist(), self.ptr[1:].tolist(), strict=True):
            ids, kinds = self.id[low:high], self.kind[low:high]
            pieces: list[str] = []
            runs = torch.cat([kinds.new_ones(1), (kinds.diff() != 0).long()]).cumsum(0)
            for run in torch.unique(runs).tolist() if high > low else []:
                part = ids[runs[: high - low] == run].tolist()
                if int(kinds[runs[: high - low] == run][0]) == Kind.NODE:
                    if graph is None:
                        raise GraphRecError("generate", "a graph that names nodes", "none")
                    pieces.extend(graph.title(node) for node in part)
                elif words is None:
                    hint = "model.text: trained:8000"
                    raise GraphRecError("generate", "a model with a tokenizer", "none", hint)
                else:
                    pieces.append(words.decode(part))
            found.append(_joined(pieces))
        return found


@torch.no_grad()
def generate(
    model: Model,
    view: View,
    generation: Generation,
    key: Key,
    *,
    head: nn.Module,
    nodes: tuple[str, ...] = (),
    trie: Trie | None = None,
    graph: Graph | None = None,
    draws: Tensor | None = None,
    best: int = 1,
    cached: bool = True,
) -> Generated:
    """Return one text or more after each prompt.

    Args:
        model: Trained; its training mode is restored.
        view: B prompts, as :meth:`TextReadout.prompt` makes them.
        generation: How, and within what.
        key: Names the draws of sampling.
        head: Head of the objective.
        nodes: Names of the node types that may be written.
        trie: The names that may be written, by text ids.
        graph: The graph whose edges restrict nodes.
        draws: int64 ``[B]`` below 2**32, names the draws of each prompt whatever the batch; its
            place in the batch by default.
        best: Texts per prompt, for beam search.
        cached: Keep keys and values of what was read; the texts are the same without.

    Raises:
        GraphRecError: For prompts that are too long for the backbone, or empty; for restrictions
            without what they need.

    Example:
        >>> readout = LanguageModel(answer=…).readout()
        >>> view = readout.prompt(graph, tokens)
        >>> generated = generate(model, view, Generation(), Key(0), head=head)
        >>> generated.texts(model)
        ['a red ball']
    """
    if best > 1 and (generation.how != "beam" or best > generation.beams):
        raise GraphRecError("generate", "how: beam and as many beams as texts", f"{best} texts")
    generation = generation.bounded()
    _check_room(model, view, _longest(generation))
    training = model.training
    model.eval()
    try:
        with model.cached_embeddings():
            vocabulary = JointVocabulary(model, head, nodes)
            run = _Run(vocabulary, generation, view, trie, graph, cached)
            if generation.how == "beam":
                return run.searched(best)
            return run.drawn(key.named("generate"), draws)
    finally:
        model.train(training)


class _Run:
    """One batch of prompts on their way to texts."""

    def __init__(
        self,
        vocabulary: JointVocabulary,
        generation: Generation,
        view: View,
        trie: Trie | None,
        graph: Graph | None,
        cached: bool,
    ) -> None:
        device = next(vocabulary.model.parameters()).device
        view = view.to(device)
        trie = None if trie is None else trie.to(device)
        self.vocabulary, self.generation, self.trie = vocabulary, generation, trie
        self.model = vocabulary.model
        self.restrictions = Restrictions(generation, vocabulary, view, trie, graph)
        self.size = len(view.tokens)
        self.types = torch.tensor(
            [self.model.spec.node_index(name) for name in vocabulary.nodes], device=device
        )
        # A name is as long as it is; its end comes after it.
        self.steps = _longest(generation) if trie is None else trie.depth + 1
        hidden, self.cache = begin(self.model, view, cached=cached)
        self.position = view.tokens.position[view.tokens.ptr[1:] - 1] + 1 if self.size else hidden
        row = torch.arange(self.size, device=device)
        self.texts = Texts(row, row.new_zeros(self.size, 0), torch.zeros_like(row))
        self.logp = self._scored(hidden)

    def drawn(self, key: Key, draws: Tensor | None) -> Generated:
        """Return greedy or sampled texts."""
        end = self.vocabulary.end
        score = torch.zeros(self.size, dtype=torch.float64, device=self.texts.row.device)
        names = torch.arange(self.size) if draws is None else draws
        names = names.to(score.device)
        done: list[tuple[Texts, Tensor]] = []
        open_ = torch.ones(self.size, dtype=torch.bool, device=score.device)
        for step in range(self.steps):
            if not len(open_):
                break
            if self.generation.how == "greedy":
                number = self.logp.argmax(1)
            else:
                bits = draw32(key, names[self.texts.row], step)
                number = sampled(self.logp, bits, self.generation)
            gained = self.logp.gather(1, number.unsqueeze(1)).squeeze(1)
            score = torch.where(open_, score + gained, score)
            number = torch.where(open_, number, end)
            self.texts = self.texts.followed(number, self.trie, end)
            open_ = open_ & (number != end)
            last = step + 1 == self.steps
            if last or int(open_.sum()) < STAYS * len(open_):
                over = (~open_ | last).nonzero().squeeze(1)
                done.append((_padded(self.texts.select(over), self.steps, end), score[over]))
                stays = (open_ & (not last)).nonzero().squeeze(1)
                score, open_ = score[stays], open_[stays]
                self._keep(stays)
            if len(open_) and not last:
                self._advance()
        return self._packed(done)

    def searched(self, best: int) -> Generated:
        """Return the best texts of a beam search, which stops when none can become better.

        Of twice as many continuations as beams, those that end are kept if they are among the
        first half, and the best others go on.
        """
        wanted, end, beams = self.generation, self.vocabulary.end, self.generation.beams
        device = self.texts.row.device
        size, width = self.size, 1
        score = torch.zeros(size, 1, dtype=torch.float64, device=device)  # [B, k]
        ended = torch.full((size, beams), NONE, dtype=torch.float64, device=device)
        kept = torch.full((size, beams, self.steps), end, device=device)
        rows = torch.arange(size, device=device)  # prompts that still go on
        for step in range(self.steps):
            if not len(rows):
                break
            total = score.unsqueeze(2) + self.logp.double().view(len(rows), width, -1)
            many = min(2 * beams, total.shape[1] * total.shape[2])
            top = total.flatten(1).topk(many, dim=1)  # [b, 2k]
            beam, number = top.indices // total.shape[2], top.indices % total.shape[2]
            last = step + 1 == self.steps
            ends = (number == end) | last
            value = top.values.masked_fill(~ends, NONE)
            value[:, beams:] = NONE
            # Texts so far with their continuations, where they end.
            at = torch.arange(len(rows), device=device).unsqueeze(1) * width + beam
            texts = self.texts.select(at.flatten()).number.view(len(rows), many, step)
            whole = torch.full((len(rows), many, self.steps), end, device=device)
            whole[:, :, :step], whole[:, :, step] = texts, number
            value = value / (step + 1) ** wanted.length_penalty
            pool = torch.cat([ended[rows], value], dim=1).topk(beams, dim=1)
            ended[rows] = pool.values
            kept[rows] = torch.cat([kept[rows], whole], dim=1).gather(
                1, pool.indices.unsqueeze(2).expand(-1, -1, self.steps)
            )
            if last:
                break
            going = top.values.masked_fill(ends, NONE).topk(min(beams, many), dim=1)
            score, width = going.values, going.values.shape[1]
            length = self.steps if wanted.length_penalty > 0 else step + 1
            bound = score[:, 0] / length**wanted.length_penalty
            stays = (bound > ended[rows].amin(1)).nonzero().squeeze(1)
            rows, score = rows[stays], score[stays]
            chosen = at.gather(1, going.indices)[stays].flatten()
            number = number.gather(1, going.indices)[stays].flatten()
            self._keep(chosen)
            self.texts = self.texts.followed(number, self.trie, end)
            if len(rows):
                self._advance()
        texts = kept[:, :best].flatten(0, 1)
        row = torch.arange(size, device=device).repeat_interleave(best)
        found = ended[:, :best].flatten()
        there = (found > NONE).nonzero().squeeze(1)
        state = torch.zeros_like(row)
        return self._packed([(Texts(row, texts, state).select(there), found[there])])

    def _keep(self, rows: Tensor) -> None:
        """Go on with some of the texts."""
        self.texts, self.cache = self.texts.select(rows), self.cache.select(rows)

    def _advance(self) -> None:
        """Read the last number of each text, and score what comes next."""
        number = self.texts.number[:, -1]
        kind, id = self.vocabulary.tokens(number)
        type_ = torch.full_like(id, -1)
        for index, (first, ids) in zip(self.types, self.vocabulary.starts, strict=True):
            mine = (number >= first) & (number < first + len(ids))
            type_ = torch.where(mine, index, type_)
        ptr = torch.arange(len(id) + 1, device=id.device)
        position = self.position[self.texts.row] + self.texts.number.shape[1] - 1
        word = torch.full_like(id, -1)
        tokens = Tokens.of(id, kind, ptr, type=type_, position=position, word=word)
        hidden, self.cache = write(self.model, tokens, self.cache)
        self.logp = self._scored(hidden)

    def _scored(self, hidden: Tensor) -> Tensor:
        return self.restrictions.apply(self.vocabulary.logp(hidden), self.texts)

    def _packed(self, parts: list[tuple[Texts, Tensor]]) -> Generated:
        """Return texts without their ends, in the order of the prompts."""
        if not parts:
            none = torch.zeros(0, dtype=torch.int64)
            return Generated(torch.zeros(1, dtype=torch.int64), none, none, none.double(), none)
        number = torch.cat([texts.number for texts, _ in parts]).cpu()
        row = torch.cat([texts.row for texts, _ in parts]).cpu()
        score = torch.cat([score for _, score in parts]).cpu()
        order = torch.argsort(row, stable=True)
        number, row, score = number[order], row[order], score[order]
        there = (number != self.vocabulary.end).long().cumprod(1).bool()
        count = there.sum(1)
        kind, id = self.vocabulary.tokens(number[there])
        return Generated(torch.cat([count.new_zeros(1), count.cumsum(0)]), id, kind, score, row)


def sampled(logp: Tensor, bits: Tensor, generation: Generation) -> Tensor:
    """Return numbers drawn by their tempered probabilities: int64 ``[n]``.

    Args:
        logp: ``[n, J]``, −∞ for what may not be drawn.
        bits: int64 ``[n]`` below 2**32, random.
        generation: Temperature and nucleus.
    """
    chance = torch.softmax(logp.double() / generation.temperature, dim=1)
    if generation.top_p < 1:
        ordered = chance.sort(dim=1, descending=True, stable=True)
        before = ordered.values.cumsum(1) - ordered.values
        gone = torch.zeros_like(chance, dtype=torch.bool)
        gone.scatter_(1, ordered.indices, before >= generation.top_p)
        chance = chance.masked_fill(gone, 0)
    total = chance.cumsum(1)
    point = (bits.double() + 0.5) / (1 << 32) * total[:, -1]
    return torch.searchsorted(total, point.unsqueeze(1), right=True).squeeze(1)


def _padded(texts: Texts, size: int, end: int) -> Texts:
    missing = size - texts.number.shape[1]
    return replace(texts, number=nn.functional.pad(texts.number, (0, missing), value=end))


def _longest(generation: Generation) -> int:
    assert generation.longest is not None
    return generation.longest


def _check_room(model: Model, view: View, longest: int) -> None:
    """Raise where a prompt and its text have more positions than the backbone."""
    room = getattr(model.backbone, "positions", None)
    position = view.tokens.position
    if room is None or not len(position):
        return
    highest = int(position.max()) + longest
    if highest > room:
        expected = f"a prompt and {longest} more tokens within {room} positions"
        hint = "a shorter prompt, longest of generation, or more positions in the backbone"
        raise GraphRecError("generate", expected, highest, hint)


def _joined(pieces: list[str]) -> str:
    """Return pieces of text and titles with a space between words."""
    whole = ""
    for piece in pieces:
        apart = whole and piece and whole[-1].isalnum() and piece[0].isalnum()
        whole += " " * bool(apart) + piece
    return whole.strip()
