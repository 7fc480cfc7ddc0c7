"""What a generated text may not contain: repeated n-grams, named nodes, names that do not exist."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.view import View
from graphrec_pt.objectives.generation import Generation
from graphrec_pt.objectives.joint_vocabulary import JointVocabulary
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.trie import Trie

NONE = float("-inf")
UNWRITTEN = ("pad", "unk", "cls", "bos", "mask", "sep", "eos")
"""Special tokens of a tokenizer that no text contains; one of them may be the end."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts in the making.

    Args:
        row: int64 ``[n]``, the prompt of each.
        number: int64 ``[n, t]``, what stands in each so far, by the numbers of the vocabulary.
        state: int64 ``[n]``, state of the trie; zeros without one.
    """

    row: Tensor
    number: Tensor
    state: Tensor

    def select(self, rows: Tensor) -> "Texts":
        """Return some of the texts: int64 ``[m]``."""
        return Texts(self.row[rows], self.number[rows], self.state[rows])

    def followed(self, number: Tensor, trie: Trie | None, end: int) -> "Texts":
        """Return the texts with one more number each: int64 ``[n]``; the end moves no state."""
        state = self.state
        if trie is not None:
            # Beams of no probability may leave the trie; what becomes of them does not matter.
            state = torch.where(number == end, state, trie.step(state, number).clamp(min=0))
        grown = torch.cat([self.number, number.unsqueeze(1)], dim=1)
        return Texts(self.row, grown, state)


class Restrictions:
    """Sets the log-probabilities of what may not come next to −∞.

    A trie overrules the other restrictions on words: a name is written as it is.

    Args:
        generation: The restrictions.
        vocabulary: What may be written at all.
        view: The prompts, on the CPU or where the model is.
        trie: The names that may be written; needed ``within: names``.
        graph: The graph whose edges lead from node to node; needed ``within: edges``.

    Raises:
        GraphRecError: For a restriction without what it needs, and names that are too long.
    """

    def __init__(
        self,
        generation: Generation,
        vocabulary: JointVocabulary,
        view: View,
        trie: Trie | None,
        graph: Graph | None,
    ) -> None:
        self.generation, self.vocabulary, self.trie = generation, vocabulary, trie
        if generation.within == "names" and trie is None:
            hint = "answer: {of: target, column: title}"
            raise GraphRecError("generate", "names to write within", "none", hint)
        if trie is not None and trie.depth > (generation.longest or trie.depth):
            expected = f"longest of at least {trie.depth}, the tokens of the longest name"
            raise GraphRecError("generate", expected, generation.longest)
        if generation.within == "edges" and (graph is None or not vocabulary.nodes):
            hint = "nodes: [item] in language_model"
            raise GraphRecError("generate", "nodes and a graph to write within", "none", hint)
        self.graph = graph
        device = view.tokens.id.device
        words = vocabulary.model.tokenizer
        special = {} if words is None else words.special
        never = {special[name] for name in UNWRITTEN if name in special} - {vocabulary.end}
        if words is not None:  # rows of the table that no token has
            never |= set(range(len(words), vocabulary.words)) - {vocabulary.end}
        known = [number for number in sorted(never) if number < vocabulary.words]
        self.never = torch.tensor(known, dtype=torch.int64, device=device)
        tokens = view.tokens
        nodes = tokens.kind == Kind.NODE
        self.named = (
            tokens.sequence_of()[nodes],
            vocabulary.numbers(tokens.kind[nodes], tokens.id[nodes]),
        )
        self.last = torch.full((len(tokens),), -1, dtype=torch.int64, device=device)
        place = nodes.nonzero().squeeze(1)
        latest = self.last.scatter_reduce(0, tokens.sequence_of()[place], place, "amax")
        some = latest >= 0
        self.last[some] = tokens.id[latest[some]]

    def apply(self, logp: Tensor, texts: Texts) -> Tensor:
        """Return the log-probabilities ``[n, J]`` of what may come next."""
        wanted, end = self.generation, self.vocabulary.end
        if self.trie is not None:
            return self._of_names(logp, texts.state)
        if not self.restricts and not len(self.never) and not wanted.shortest:
            return logp
        free, logp = logp, logp.index_fill(1, self.never, NONE)
        if texts.number.shape[1] < wanted.shortest:
            logp[:, end] = NONE
        if not self.restricts:
            return logp
        if wanted.no_repeat:
            rows, numbers = repeats(texts.number, wanted.no_repeat)
            logp[rows, numbers] = NONE
        if wanted.new_nodes and self.vocabulary.nodes:
            rows, numbers = self._named(texts)
            logp[rows, numbers] = NONE
        if wanted.within == "edges":
            logp = self._of_edges(logp, texts)
        stuck = (logp.amax(1) == NONE).nonzero().squeeze(1)
        logp[stuck, end] = free[stuck, end]  # a text that may not go on ends
        return logp

    @property
    def restricts(self) -> bool:
        """Whether anything depends on what was written."""
        wanted = self.generation
        return bool(wanted.no_repeat or wanted.new_nodes or wanted.within == "edges")

    def _of_names(self, logp: Tensor, state: Tensor) -> Tensor:
        assert self.trie is not None
        ptr, numbers = self.trie.allowed(state)
        rows = torch.arange(len(state), device=state.device).repeat_interleave(ptr.diff())
        out = torch.full_like(logp, NONE)
        out[rows, numbers] = logp[rows, numbers]
        ends = (self.trie.name[state] >= 0).nonzero().squeeze(1)
        out[ends, self.vocabulary.end] = logp[ends, self.vocabulary.end]
        return out

    def _named(self, texts: Texts) -> tuple[Tensor, Tensor]:
        """Return the nodes that stand in the prompt or the text of each: rows and numbers."""
        sequence, number = self.named
        known = number >= 0
        sequence, number = sequence[known], number[known]
        count = torch.bincount(sequence, minlength=len(self.last))
        place, owner = ranges((count.cumsum(0) - count)[texts.row], count[texts.row])
        rows, column = (texts.number >= self.vocabulary.first_node).nonzero(as_tuple=True)
        numbers = torch.cat([number[place], texts.number[rows, column]])
        return torch.cat([owner, rows]), numbers

    def _of_edges(self, logp: Tensor, texts: Texts) -> Tensor:
        """Leave of the nodes those that an edge leads to from the last node of each text."""
        assert self.graph is not None
        first, csr = self.vocabulary.first_node, self.graph.csr
        last = self.last[texts.row]
        if texts.number.shape[1]:
            column = torch.arange(texts.number.shape[1], device=last.device)
            at = torch.where(texts.number >= first, column, -1).amax(1)
            some = at >= 0
            _, id = self.vocabulary.tokens(texts.number[some, at[some]])
            last = last.index_put((some.nonzero().squeeze(1),), id)
        known = (last >= 0).nonzero().squeeze(1)
        low, high = csr.bounds(last[known].to(csr.segment.device))
        position, owner = ranges(low, high - low)
        target = csr.indices[position].long().to(last.device)
        number = self.vocabulary.numbers(torch.full_like(target, Kind.NODE), target)
        there = number >= 0
        rows, number = known[owner.to(last.device)][there], number[there]
        out = logp.clone()
        out[:, first:] = NONE
        out[rows, number] = logp[rows, number]
        return out


def repeats(number: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return what would make n numbers in a row stand twice in a text: rows, and numbers.

    Args:
        number: int64 ``[m, t]``.
        n: Length of what may not repeat.
    """
    length = number.shape[1]
    if length < n:
        none = number.new_zeros(0)
        return none, none
    windows = number.unfold(1, n, 1)  # [m, t − n + 1, n]
    recent = number[:, length - n + 1 :].unsqueeze(1)  # the last n − 1
    rows, at = (windows[:, :, : n - 1] == recent).all(2).nonzero(as_tuple=True)
    return rows, windows[rows, at, n - 1]
