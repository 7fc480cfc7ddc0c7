"""The door to tokenizers: hashed words, folders and objects, and never the network."""

import socket
from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.words import HashedWords, Words


def test_hashed_words_never_move() -> None:
    # Weights are saved by bucket, so these figures must hold on any machine and version.
    words = HashedWords(2**15)
    assert words.encode("the blue cup") == [words.encode(w)[0] for w in ("the", "blue", "cup")]
    assert HashedWords(2**15).encode("pen Łódź 東京") == [17056, 4367, 4590]


def test_named_in_a_config() -> None:
    words = Words.of("hashed:512")
    assert words.tokenizer == HashedWords(512)
    assert Words.of("hashed:512").tokenizer is words.tokenizer  # so that texts are read once
    assert words.name == "hashed:512"
    assert len(words) == 512
    assert words.frame == ([], [])
    assert words.special == {}
    config = {"name": "text", "tokenizer": words.tokenizer, "base": "history"}
    assert linearizer.config(linearizer.build(config))["tokenizer"] == "hashed:512"


@pytest.mark.parametrize("name", ["hashed:", "hashed:0", "hashed:-3", "hashed:many"])
def test_a_number_of_buckets_is_needed(name: str) -> None:
    with pytest.raises(GraphRecError, match="tokenizer: expected hashed: and a number of buckets"):
        Words.of(name)


def bert(**options: Any) -> Any:
    """Return a tokenizer of five words in the manner of BERT."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "pen"]
    words = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    return PreTrainedTokenizerFast(tokenizer_object=words, **special, **options)


def test_a_folder_says_the_same_as_the_object(tmp_path: Path) -> None:
    made = bert(mask_token="[MASK]")
    made.save_pretrained(tmp_path)
    for words in (Words(made), Words.of(made), Words.of(str(tmp_path))):
        assert words.encode("a red thing") == [4, 5, 1]  # no special tokens: it is a piece
        assert words.frame == ([2], [3])
        assert words.special == {"pad": 0, "unk": 1, "cls": 2, "mask": 7}
        assert len(words) == 8  # what was added counts
    raw = made.backend_tokenizer  # of the other library
    assert Words(raw).encode("a red thing") == [4, 5, 1]
    assert Words(raw).frame == ([2], [3])
    assert len(Words(raw)) == 8


def test_what_a_tokenizer_lacks_is_an_error_only_when_needed() -> None:
    class Plain:
        def encode(self, text: str) -> list[int]:
            return [1]

    class Deaf:
        def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
            return [7, 8] if add_special_tokens else []

    assert Words(Plain()).frame == ([], [])
    assert Words(Plain()).special == {}
    with pytest.raises(GraphRecError, match="one with a length, got Plain"):
        len(Words(Plain()))
    with pytest.raises(GraphRecError, match="can read 'a'"):
        _ = Words(Deaf()).frame
    with pytest.raises(GraphRecError, match=r"a tokenizer with encode.*, got int"):
        Words.of(3)  # type: ignore[arg-type]


def test_no_name_reaches_for_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        reached.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", connect)
    for name in ("nobody/has-this-tokenizer", str(tmp_path / "none")):
        with pytest.raises(GraphRecError, match=r"Hugging Face tokenizer.*try download: true"):
            Words.of(name)
    assert reached == []
