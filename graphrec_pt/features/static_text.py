"""Text as a bag of learned word or subword vectors; needs no download."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from graphrec_pt.features.columns import columns_of
from graphrec_pt.features.featurizer import Feature, Vectors, featurizer
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import ColumnKind
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.tokens.words import HASHED, TokenizerField, Words, texts_of


@featurizer("static_text")
class StaticText:
    """The mean of one learned vector per word, ``1/n Σ_i E[w_i]``, of one or several columns.

    Args:
        columns: Text or category columns to read, as one bag; all text columns by default.
        tokenizer: None for hashed words; else an object with ``encode(text)`` and a length, or
            the folder or name of a Hugging Face tokenizer.
        buckets: Number of different hashed words.
    """

    columns: tuple[str, ...] | None = None
    tokenizer: TokenizerField | None = None
    buckets: int = Field(2**15, ge=1)

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "StaticTextFeature":
        """Return the table of words."""
        kinds: list[ColumnKind] = ["text"] if self.columns is None else ["text", "category"]
        names = columns_of(spec, node_type, kinds, self.columns, "static_text")
        tokenizer = f"{HASHED}{self.buckets}" if self.tokenizer is None else self.tokenizer
        words = Words.of(tokenizer)
        return StaticTextFeature(node_type, names, words, width)


class StaticTextFeature(Feature):
    """A table ``[V, D]`` and the words of every node.

    Args:
        node_type: Type of its nodes.
        columns: Columns to read, as one bag.
        words: V, number of different words.
        width: D.
    """

    start: Tensor
    word: Tensor

    def __init__(self, node_type: str, columns: tuple[str, ...], words: Words, width: int) -> None:
        super().__init__()
        self.node_type, self.columns, self.words = node_type, columns, words
        self.table = nn.Embedding(len(words), width)
        self.register_buffer("start", torch.zeros(1, dtype=torch.int64), persistent=False)
        self.register_buffer("word", torch.zeros(0, dtype=torch.int32), persistent=False)

    def attach_graph(self, graph: Graph) -> None:
        """Read the words of every node, packed."""
        read = [texts_of(graph, self.node_type, name, self.words) for name in self.columns]
        count = sum((start.diff() for start, _ in read), torch.zeros(1, dtype=torch.int64))
        owner = torch.cat([torch.arange(len(count)).repeat_interleave(s.diff()) for s, _ in read])
        word = torch.cat([words for _, words in read])[owner.argsort(stable=True)]
        device = self.table.weight.device
        self.start = torch.cat([count.new_zeros(1), count.cumsum(0)]).to(device)
        self.word = word.to(device)

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return the mean of the vectors of a node's words, 0 where it has none: ``[n, D]``."""
        first, count = self.start[nodes], self.start[nodes + 1] - self.start[nodes]
        words = self.word[ranges(first, count)[0]].long()
        return embedding_bag(words, self.table.weight, count.cumsum(0) - count, mode="mean")
