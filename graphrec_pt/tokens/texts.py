"""The texts of nodes as ids of a tokenizer, made once and packed."""

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.tokens.words import Words

Packed = tuple[Tensor, Tensor]
"""Where the text of each node starts, int64 ``[n+1]``, and ids, int32 ``[M]``."""

_texts: Memo[Packed] = Memo()  # of a node table


def texts_of(graph: Graph, node_type: str, column: str, words: Words) -> Packed:
    """Return the tokenized texts of every node of a type.

    Made on first use and kept as long as the graph's node table, so that a batch only gathers;
    the first call costs one ``encode`` per different text.
    """
    table, tokenizer = graph.tables[node_type], words.tokenizer
    key = column, id(tokenizer)
    return _texts(table, key, lambda: _packed(table[column], words), given=(tokenizer,))


def _packed(texts: pl.Series, words: Words) -> Packed:
    texts = texts.cast(pl.String).fill_null("")
    different = texts.unique(maintain_order=True)
    encoded = [words.encode(text) if text else [] for text in different]
    ids = pl.DataFrame({"text": different, "ids": pl.Series(encoded, dtype=pl.List(pl.Int32))})
    rows = pl.DataFrame({"text": texts}).join(ids, on="text", how="left", maintain_order="left")
    count = torch.from_numpy(rows["ids"].list.len().cast(pl.Int64).to_numpy().copy())
    flat = rows["ids"].explode().drop_nulls().cast(pl.Int32)
    start = torch.cat([count.new_zeros(1), count.cumsum(0)])
    return start, torch.from_numpy(flat.to_numpy().copy())
