"""Hashed words: numbers that never move, and a name that recipes can write."""

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.tokens.hashed_words import HashedWords
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.texts import name_of, tokenizer_named


def test_hashed_words_never_move() -> None:
    # Weights are saved by bucket, so these figures must hold on any machine and version.
    words = HashedWords(2**15)
    assert words.encode("the blue cup") == [words.encode(w)[0] for w in ("the", "blue", "cup")]
    assert HashedWords(2**15).encode("pen Łódź 東京") == [17056, 4367, 4590]


def test_named_in_a_config() -> None:
    named = tokenizer_named("hashed:512")
    assert named == HashedWords(512)
    assert tokenizer_named("hashed:512") is named  # so that texts are read once
    assert name_of(named) == "hashed:512"
    config = {"name": "text", "tokenizer": named, "base": "history"}
    assert linearizer.config(linearizer.build(config))["tokenizer"] == "hashed:512"


@pytest.mark.parametrize("name", ["hashed:", "hashed:0", "hashed:-3", "hashed:many"])
def test_a_number_of_buckets_is_needed(name: str) -> None:
    with pytest.raises(GraphRecError, match="text: expected hashed: and a number of buckets"):
        tokenizer_named(name)
