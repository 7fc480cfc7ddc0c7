"""The texts of nodes as ids of a tokenizer, made once and packed."""

from functools import cache
from inspect import signature
from threading import Lock
from typing import Any

import polars as pl
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.tokens.hashed_words import PREFIX, hashed_words

Packed = tuple[Tensor, Tensor]
"""Where the text of each node starts, int64 ``[n+1]``, and ids, int32 ``[M]``."""

_kept: WeakIdKeyDictionary = WeakIdKeyDictionary()  # node table → {(column, tokenizer): texts}
_making = Lock()


def texts_of(graph: Graph, node_type: str, column: str, tokenizer: Any) -> Packed:
    """Return the tokenized texts of every node of a type.

    Made on first use and kept as long as the graph's node table, so that a batch only gathers;
    the first call costs one ``encode`` per different text.
    """
    table = graph.tables[node_type]
    with _making:
        kept = _kept.setdefault(table, {})  # type: ignore[no-untyped-call]
        found = kept.get((column, id(tokenizer)))
        if found is None:
            # The tokenizer is kept too, or another one might get its id.
            found = tokenizer, _packed(table[column], tokenizer)
            kept[column, id(tokenizer)] = found
    packed: Packed = found[1]
    return packed


def tokenizer_named(tokenizer: Any) -> Any:
    """Return a tokenizer object, made or read where only its name or folder is given."""
    return _read(tokenizer) if isinstance(tokenizer, str) else tokenizer


def check_tokenizer(tokenizer: Any) -> None:
    """Raise unless something is a name or has ``encode``."""
    if not isinstance(tokenizer, str) and not callable(getattr(tokenizer, "encode", None)):
        got = type(tokenizer).__name__
        raise GraphRecError("text", "a tokenizer with encode(text), or its name", got)


def name_of(tokenizer: Any) -> str:
    """Return what a saved config calls a tokenizer."""
    if isinstance(tokenizer, str):
        return tokenizer
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)


@cache
def _read(name: str) -> Any:
    buckets = name.removeprefix(PREFIX)
    if buckets != name:
        if not buckets.isdecimal() or not int(buckets):
            raise GraphRecError("text", f"{PREFIX} and a number of buckets", repr(name))
        return hashed_words(int(buckets))
    from transformers import AutoTokenizer

    try:
        # Nothing is downloaded here, and code that a repository brings along is never run.
        return AutoTokenizer.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        expected = "the folder of a Hugging Face tokenizer, or the name of one that is here"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        hint = f"`hf download {name}` before"
        raise GraphRecError("text", expected, f"{name!r} ({reason})", hint) from error


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
