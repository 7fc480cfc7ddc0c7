"""``trained:V``: a byte-level BPE vocabulary fitted on the texts of a training graph."""

from collections.abc import Iterator
from functools import partial

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.tokens.stored import StoredTokenizer
from graphrec_pt.tokens.words import TRAINED, Words

SPECIAL = {"pad": 0, "bos": 1, "eos": 2}
"""Special tokens of a trained vocabulary, ``<pad>`` and so on, and their ids."""
LEAST = 256 + len(SPECIAL)
"""Every byte is a token, so that any text can be read and written."""

_trained: Memo[StoredTokenizer] = Memo()  # of a graph


def size_of(name: str) -> int:
    """Return V of ``trained:V``.

    Raises:
        GraphRecError: For a V that has no room for the bytes.
    """
    size = name.removeprefix(TRAINED)
    if not size.isdecimal() or int(size) <= LEAST:
        expected = f"{TRAINED} and more than {LEAST} tokens"
        raise GraphRecError("tokenizer", expected, repr(name), f"{TRAINED}8000")
    return int(size)


def train_words(graph: Graph, size: int) -> Words:
    """Return the byte-level BPE vocabulary of a graph's texts.

    Byte pair encoding (Sennrich et al., ACL 2016) over bytes (Radford et al., "Language models
    are unsupervised multitask learners", 2019): the pair of tokens that is seen most often becomes
    a token, again and again. A function of the texts of the graph, each of which counts once;
    trained once for each graph. A train view shows no text of what is held out.

    Args:
        graph: The training graph.
        size: V at most; texts with few different words give fewer tokens.

    Raises:
        GraphRecError: For a graph without texts, and for a V that has no room for the bytes.

    Example:
        >>> words = train_words(train, 300)
        >>> words.decode(words.encode("Any text, any script: 東京"))
        'Any text, any script: 東京'
    """
    size = size_of(f"{TRAINED}{size}")
    return Words(_trained(graph, size, partial(_train, graph, size)))


def _train(graph: Graph, size: int) -> StoredTokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    texts = list(texts_in(graph))
    if not texts:
        expected = "a graph with text columns or titles"
        raise GraphRecError(f"tokenizer {TRAINED}{size}", expected, "none", "hashed:8192")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[f"<{name}>" for name in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return StoredTokenizer(backend, SPECIAL, f"{TRAINED}{size}")


def texts_in(graph: Graph) -> Iterator[str]:
    """Yield the different texts of every text column and title, column by column."""
    for node in graph.schema.nodes:
        columns = [name for name, kind in node.columns.items() if kind == "text"]
        if node.title is not None and node.title not in columns:
            columns.append(node.title)
        for column in columns:
            texts = graph.tables[node.name][column].cast(pl.String).drop_nulls()
            yield from texts.filter(texts != "").unique(maintain_order=True)
