"""Rankings and ratings by what a language model spells: names within a trie, and values.

A beam search costs about as much as writing one name for each beam, whatever the size of the
catalogue. Items whose names are not found share the lowest score.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.objectives.generation import Generation
from graphrec_pt.objectives.spelled import SpelledReadout
from graphrec_pt.predict.generator import Generated, generate
from graphrec_pt.predict.reading import KEY, Reading
from graphrec_pt.predict.taught import Found
from graphrec_pt.tokens.trie import Trie
from graphrec_pt.tokens.verbalizer import Verbalizer
from graphrec_pt.tokens.words import Words

BLOCK = 64
"""Sources that are written about at once."""


@dataclass(frozen=True, eq=False)
class SpelledScorer:
    """Scores of the catalogue by ``log p(name | prompt)``, and values of pairs.

    Args:
        reading: The model and its graph.
        found: The objective that spells.

    Raises:
        GraphRecError: For a linearizer that spells no names.
    """

    reading: Reading
    found: Found

    @property
    def readout(self) -> SpelledReadout:
        """How the model is asked."""
        readout = self.found.readout
        assert isinstance(readout, SpelledReadout)
        return readout

    @property
    def words(self) -> Words:
        """The tokenizer of the names."""
        return Words.given("spelled", self.verbalizer.tokenizer)

    @property
    def verbalizer(self) -> Verbalizer:
        """The linearizer that spells the names."""
        chosen = self.reading.taught.linearizer
        if not isinstance(chosen, Verbalizer):
            got, hint = type(chosen).__name__, "linearizer: verbalizer"
            raise GraphRecError("spelled", "a linearizer that spells names", got, hint)
        return chosen

    @cached_property
    def names(self) -> Trie:
        """The names of all candidates.

        Raises:
            GraphRecError: For two candidates whose names have the same tokens.
        """
        target = self.reading.relation.target
        names = self.verbalizer.identifier.names(self.reading.graph, target).to_list()
        return Trie.of([self.words.encode(name) for name in names], names)

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]`` on the CPU."""
        blocks = [self._block(block) for block in torch.split(nodes, BLOCK)]
        return torch.cat(blocks) if blocks else torch.empty(0, len(self.reading.items))

    def values(self, pairs: Tensor) -> Tensor:
        """Return the value of each pair: float64 ``[n]``, for int64 ``[n, 2]``."""
        readout = self.readout
        trie = Trie.of([self.words.encode(value) for value in readout.values], readout.values)
        number = torch.tensor([float(value) for value in readout.values], dtype=torch.float64)
        found = [pairs.new_zeros(0).double()]
        for block in torch.split(pairs, BLOCK):
            written = self._written(block, trie, len(trie))
            score = torch.full((len(block), len(trie)), -torch.inf, dtype=torch.float64)
            score[written.row, ends(written, trie)] = written.score
            chance = torch.softmax(score, dim=1)
            best = number[score.argmax(1)]
            found.append((chance * number).sum(1) if readout.expected else best)
        return torch.cat(found)

    def _block(self, nodes: Tensor) -> Tensor:
        written = self._written(nodes, self.names, self.readout.beams)
        scores = torch.full((len(nodes), len(self.reading.items)), torch.nan)
        scores[written.row, ends(written, self.names)] = written.score.float()
        lowest = scores.nan_to_num(torch.inf).amin(1, keepdim=True)
        rest = torch.where(lowest.isfinite(), lowest - 1, 0.0)
        return torch.where(scores.isnan(), rest, scores)

    def _written(self, roots: Tensor, trie: Trie, beams: int) -> Generated:
        reading, readout = self.reading, self.readout
        how = Generation(how="beam", beams=beams, length_penalty=0, longest=trie.depth + 1)
        view = readout.prompt(reading.graph, reading.tokens(roots))
        head = reading.head(self.found)
        return generate(
            reading.model, view, how, KEY, head=head, trie=trie, best=min(beams, len(trie))
        )


def ends(written: Generated, trie: Trie) -> Tensor:
    """Return the name that each text is, by its number in the trie: int64 ``[m]``."""
    size = written.ptr.diff()
    state = torch.zeros_like(size)
    for place in range(int(size.max()) if len(size) else 0):
        going = (size > place).nonzero().squeeze(1)
        token = written.id[written.ptr[going] + place]
        state[going] = trie.step(state[going], token)
    return trie.name[state]
