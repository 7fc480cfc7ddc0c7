"""The texts of nodes as ids of a tokenizer, made once and packed."""

from collections.abc import Sequence
from functools import cache
from inspect import signature
from typing import Annotated, Any, Protocol

import polars as pl
import torch
from pydantic import PlainSerializer, PlainValidator
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.tokens.hashed_words import PREFIX, hashed_words

Packed = tuple[Tensor, Tensor]
"""Where the text of each node starts, int64 ``[n+1]``, and ids, int32 ``[M]``."""

_texts: Memo[Packed] = Memo()  # of a node table


def texts_of(graph: Graph, node_type: str, column: str, tokenizer: Any) -> Packed:
    """Return the tokenized texts of every node of a type.

    Made on first use and kept as long as the graph's node table, so that a batch only gathers;
    the first call costs one ``encode`` per different text.
    """
    table = graph.tables[node_type]
    key = column, id(tokenizer)
    return _texts(table, key, lambda: _packed(table[column], tokenizer), given=(tokenizer,))


def tokenizer_named(tokenizer: Any) -> Any:
    """Return a tokenizer object, made or read where only its name or folder is given."""
    return _read(tokenizer) if isinstance(tokenizer, str) else tokenizer


class Tokenizer(Protocol):
    """What makes ids of a text; tokenizers of both Hugging Face libraries do."""

    def encode(self, text: str) -> Sequence[int]:
        """Return the ids of a text."""
        ...


def _checked(tokenizer: Any) -> Any:
    """Return a tokenizer or its name; anything else is a mistake."""
    if not isinstance(tokenizer, str) and not callable(getattr(tokenizer, "encode", None)):
        got = type(tokenizer).__name__
        raise GraphRecError("tokenizer", "a tokenizer with encode(text), or its name", got)
    return tokenizer


def name_of(tokenizer: Any) -> str:
    """Return what a saved config calls a tokenizer."""
    if isinstance(tokenizer, str):
        return tokenizer
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)


TokenizerField = Annotated[str | Tokenizer, PlainValidator(_checked), PlainSerializer(name_of)]
"""Type of a config field that holds a tokenizer, or the folder or name of one."""


@cache
def _read(name: str) -> Any:
    buckets = name.removeprefix(PREFIX)
    if buckets != name:
        if not buckets.isdecimal() or not int(buckets):
            raise GraphRecError("text", f"{PREFIX} and a number of buckets", repr(name))
        return hashed_words(int(buckets))
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        expected = "the folder or name of a Hugging Face tokenizer"
        raise GraphRecError("text", expected, f"{name!r} ({error})") from error


def _packed(texts: pl.Series, tokenizer: Any) -> Packed:
    encode, options = tokenizer.encode, {}
    if "add_special_tokens" in signature(encode).parameters:
        options["add_special_tokens"] = False  # a node's text is a piece, not a sequence
    texts = texts.cast(pl.String).fill_null("")
    different = texts.unique(maintain_order=True)
    encoded = []
    for text in different:
        found = encode(text, **options) if text else []
        encoded.append(list(getattr(found, "ids", found)))
    ids = pl.DataFrame({"text": different, "ids": pl.Series(encoded, dtype=pl.List(pl.Int32))})
    rows = pl.DataFrame({"text": texts}).join(ids, on="text", how="left", maintain_order="left")
    count = torch.from_numpy(rows["ids"].list.len().cast(pl.Int64).to_numpy().copy())
    flat = rows["ids"].explode().drop_nulls().cast(pl.Int32)
    start = torch.cat([count.new_zeros(1), count.cumsum(0)])
    return start, torch.from_numpy(flat.to_numpy().copy())
