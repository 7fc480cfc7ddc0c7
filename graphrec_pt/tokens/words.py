"""Tokenizers: a local folder, ``hashed:B``, ``trained:V``, or an object of the caller.

Nothing is downloaded unless the caller allows it. One name gives one object in a process, so that
all users of the name share its tokenized texts.
"""

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from inspect import signature
from typing import Annotated, Any, Protocol, TypeVar

import polars as pl
import torch
from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.hashing import bucket_of, words_of
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.tokens.stored import SPECIAL, StoredTokenizer

HASHED = "hashed:"
"""Prefix of the name of a tokenizer without a vocabulary."""
TRAINED = "trained:"
"""Prefix of the name of a vocabulary that is fitted on the training graph."""

T = TypeVar("T")


class Tokenizer(Protocol):
    """The interface of a tokenizer; those of both Hugging Face libraries have it."""

    def encode(self, text: str) -> Sequence[int]:
        """Return the ids of a text."""
        ...


@dataclass(frozen=True)
class HashedWords:
    """A tokenizer without a vocabulary: the hash of each lower-cased word gives one of B buckets.

    The hashing trick (Weinberger et al., "Feature hashing for large scale multitask learning",
    ICML 2009); words are runs of letters, digits and underscores of any script. Recipes name it
    ``hashed:B``.

    Args:
        buckets: B.
    """

    buckets: int

    @property
    def name_or_path(self) -> str:
        """The name of the tokenizer in a config."""
        return f"{HASHED}{self.buckets}"

    def encode(self, text: str) -> list[int]:
        """Return the bucket of every word."""
        return [bucket_of(word, self.buckets) for word in words_of(text)]

    def __len__(self) -> int:
        """B."""
        return self.buckets


class Words:
    """A tokenizer as the library uses it.

    Args:
        tokenizer: An object with ``encode(text)``.

    Example:
        >>> words = Words.of("hashed:8192")
        >>> len(words), words.encode("Two words")
        (8192, [3829, 7497])
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @classmethod
    def of(cls, source: "str | Tokenizer", *, download: bool = False) -> "Words":
        """Return the tokenizer that a config names.

        Args:
            source: The folder of a Hugging Face tokenizer, the name of one in the local cache,
                ``hashed:B`` for words in B buckets, or a tokenizer. ``trained:V`` names the
                vocabulary of a model: see :func:`graphrec_pt.tokens.trained.train_words`.
            download: Let Hugging Face fetch a name that is not in the cache.

        Raises:
            GraphRecError: When there is no such tokenizer.
        """
        if not isinstance(source, str):
            return cls(_checked(source))
        if source.startswith(TRAINED):
            hint = f"model.text: {source}, and no tokenizer in its linearizers"
            raise GraphRecError("tokenizer", "one that needs no training", repr(source), hint)
        return cls(_hashed(source) if source.startswith(HASHED) else _read(source, download))

    @classmethod
    def given(cls, who: str, source: "str | Tokenizer | None") -> "Words":
        """Return the tokenizer of a config that took over the model's where it named none.

        Args:
            who: The part that needs it, for the error.
            source: See :meth:`of`; None without a tokenizer.

        Raises:
            GraphRecError: When there is none.
        """
        if source is None:
            hint = "model.text: trained:8000, or tokenizer: hashed:8192"
            raise GraphRecError(who, "a tokenizer, or a model that has one", "none", hint)
        return cls.of(source)

    @property
    def name(self) -> str:
        """The name of the tokenizer in a saved config."""
        return tokenizer_name(self.tokenizer)

    def __len__(self) -> int:
        """V, the size of the vocabulary, added tokens included.

        Raises:
            GraphRecError: When the tokenizer has no length.
        """
        if isinstance(self.tokenizer, Sized):
            return len(self.tokenizer)
        size = getattr(self.tokenizer, "get_vocab_size", None)
        if size is None:
            got = type(self.tokenizer).__name__
            raise GraphRecError("tokenizer", "one with a length", got, "len(tokenizer)")
        return int(size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens: it is a piece, not a sequence."""
        return self._encode(text, special=False)

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of many texts, as :meth:`encode` does."""
        if isinstance(self.tokenizer, StoredTokenizer):
            return self.tokenizer.encode_batch(texts)
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special tokens are left out.

        Raises:
            GraphRecError: For a tokenizer that only reads, such as ``hashed:B``.
        """
        decode: Callable[..., Any] | None = getattr(self.tokenizer, "decode", None)
        if decode is None:
            hint = "model.text: trained:8000, or the folder of a tokenizer"
            raise GraphRecError("tokenizer", "one that can write text", self.name, hint)
        known = signature(decode).parameters
        options = {"skip_special_tokens": True} if "skip_special_tokens" in known else {}
        if "kwargs" in known:  # of Hugging Face
            options["clean_up_tokenization_spaces"] = False
        return str(decode(list(ids), **options))

    @cached_property
    def frame(self) -> tuple[list[int], list[int]]:
        """The special tokens that the tokenizer puts before and after a text.

        Raises:
            GraphRecError: When it cannot encode the letter a, whose frame is read off.
        """
        bare, full = (self._encode("a", special=special) for special in (False, True))
        for first in range(len(full) - len(bare) + 1 if bare else 0):
            if full[first : first + len(bare)] == bare:
                return full[:first], full[first + len(bare) :]
        if bare == full:
            return [], []
        raise GraphRecError("tokenizer", "one that can read 'a'", f"{bare} in {full}")

    @cached_property
    def special(self) -> dict[str, int]:
        """Ids of its special tokens by the names of :data:`SPECIAL`."""
        if isinstance(self.tokenizer, StoredTokenizer):
            return self.tokenizer.special
        ids = {name: getattr(self.tokenizer, f"{name}_token_id", None) for name in SPECIAL}
        return {name: int(id) for name, id in ids.items() if id is not None}

    def _encode(self, text: str, *, special: bool) -> list[int]:
        encode: Callable[..., Any] = self.tokenizer.encode
        options = {"add_special_tokens": special} if self._knows_special else {}
        ids = encode(text, **options)
        return list(getattr(ids, "ids", ids))

    @cached_property
    def _knows_special(self) -> bool:
        return "add_special_tokens" in signature(self.tokenizer.encode).parameters


def tokenizer_name(tokenizer: "str | Tokenizer") -> str:
    """Return the name of a tokenizer in a saved config."""
    if isinstance(tokenizer, str):
        return tokenizer
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)


def _checked(tokenizer: Any) -> Any:
    """Return a tokenizer or its name; raise for anything else."""
    if not isinstance(tokenizer, str) and not callable(getattr(tokenizer, "encode", None)):
        got = type(tokenizer).__name__
        raise GraphRecError("tokenizer", "a tokenizer with encode(text), or its name", got)
    return tokenizer


TokenizerField = Annotated[
    str | Tokenizer,
    PlainValidator(_checked),
    PlainSerializer(tokenizer_name),
    WithJsonSchema({"type": "string"}, mode="validation"),
]
"""Type of a config field that holds a tokenizer, or what :meth:`Words.of` takes in its place."""


@cache
def _hashed(name: str) -> HashedWords:
    buckets = name.removeprefix(HASHED)
    if not buckets.isdecimal() or not int(buckets):
        raise GraphRecError("tokenizer", f"{HASHED} and a number of buckets", repr(name))
    return HashedWords(int(buckets))


@cache
def _read(name: str, download: bool) -> Tokenizer:
    from transformers import AutoTokenizer

    def read() -> Tokenizer:
        made: Tokenizer = AutoTokenizer.from_pretrained(
            name, local_files_only=not download, trust_remote_code=False
        )
        return made

    return from_hugging_face("tokenizer", name, read)


def from_hugging_face(what: str, source: str, read: Callable[[], T]) -> T:
    """Return the object that a loader of transformers reads; its failure becomes a one-line error.

    Args:
        what: The kind of object, e.g. ``"tokenizer"``.
        source: Folder or name.
        read: The loader.

    Raises:
        GraphRecError: When it cannot be read.
    """
    try:
        with quiet():
            return read()
    except (OSError, ValueError, ImportError) as error:
        hint = "download: true, if it is the name of one" if isinstance(error, OSError) else ""
        expected = f"the folder or name of a Hugging Face {what}"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GraphRecError("hugging face", expected, f"{source!r} ({reason})", hint) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Switch progress bars off inside the block."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


Packed = tuple[Tensor, Tensor]
"""Where the text of each node starts, int64 ``[n+1]``, and ids, int32 ``[M]``."""

_texts: Memo[Packed] = Memo()  # of a node table


def texts_of(graph: Graph, node_type: str, column: str, words: Words) -> Packed:
    """Return the tokenized texts of every node of a type.

    Made on first use and kept as long as the graph's node table, so that a batch only gathers;
    the first call costs one ``encode`` per different text.
    """
    return packed_texts(graph.tables[node_type], column, words)


def packed_texts(table: pl.DataFrame, column: str, words: Words) -> Packed:
    """Return the tokenized texts of every row of a table, kept as long as the table."""
    tokenizer = words.tokenizer
    key = column, id(tokenizer)
    return _texts(table, key, lambda: _packed(table[column], words), given=(tokenizer,))


def _packed(texts: pl.Series, words: Words) -> Packed:
    texts = texts.cast(pl.String).fill_null("")
    different = texts.unique(maintain_order=True)
    some = different.filter(different != "")
    ids_of = dict(zip(some, words.encode_all(some.to_list()), strict=True))
    encoded = [ids_of.get(text, []) for text in different]
    ids = pl.DataFrame({"text": different, "ids": pl.Series(encoded, dtype=pl.List(pl.Int32))})
    rows = pl.DataFrame({"text": texts}).join(ids, on="text", how="left", maintain_order="left")
    count = torch.from_numpy(rows["ids"].list.len().cast(pl.Int64).to_numpy().copy())
    flat = rows["ids"].explode().drop_nulls().cast(pl.Int32)
    start = torch.cat([count.new_zeros(1), count.cumsum(0)])
    return start, torch.from_numpy(flat.to_numpy().copy())
