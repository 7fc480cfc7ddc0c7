"""A vocabulary that is fitted on the texts of a graph, and its files."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.tokens.stored import TOKENIZER, TOKENIZER_CONFIG, StoredTokenizer
from graphrec_pt.tokens.trained import LEAST, texts_in, train_words
from graphrec_pt.tokens.words import Words

ANY = "A pen, 東京 – naïve <eos> text\n!"


@pytest.fixture(scope="module")
def titled(shop: Graph) -> Graph:
    """Return the shop with titles in which one word is frequent."""
    items = shop.tables["item"]
    titles = [f"lantern number {n % 3}" for n in range(len(items))]
    schema = shop.schema
    nodes = tuple(
        node.model_copy(update={"columns": {**node.columns, "title": "text"}, "title": "title"})
        if node.name == "item"
        else node
        for node in schema.nodes
    )
    return replace(
        shop,
        schema=schema.model_copy(update={"nodes": nodes}),
        tables={**shop.tables, "item": items.with_columns(pl.Series("title", titles))},
    )


def test_reads_and_writes_any_text(titled: Graph) -> None:
    words = train_words(titled, 300)
    assert words.special == {"pad": 0, "bos": 1, "eos": 2}
    assert words.name == "trained:300"
    assert LEAST < len(words) <= 300
    ids = words.encode(ANY)
    assert words.decode(ids) == ANY
    assert not {0, 1, 2} & set(ids)  # what a text spells out ends nothing
    assert words.decode([1, *words.encode("pen"), 2, 0]) == "pen"
    assert words.encode("") == []
    assert words.encode_all([ANY, "pen"]) == [ids, words.encode("pen")]


def test_frequent_words_are_one_token(titled: Graph) -> None:
    words = train_words(titled, 300)
    assert len(words.encode(" number")) == 1
    assert len(words.encode(" rebmun")) > 3
    assert len(train_words(titled, 261).encode(" number")) > 1  # two merges are not enough


def test_the_same_graph_gives_the_same_object(titled: Graph) -> None:
    assert train_words(titled, 300).tokenizer is train_words(titled, 300).tokenizer
    again = replace(titled)
    assert train_words(again, 300).tokenizer is not train_words(titled, 300).tokenizer
    one, two = (train_words(each, 300).tokenizer for each in (again, titled))
    assert one.backend.to_str() == two.backend.to_str()  # type: ignore[attr-defined]


def test_each_text_counts_once(titled: Graph) -> None:
    texts = list(texts_in(titled))
    assert sorted(texts) == sorted(set(texts))
    assert {"lantern number 0", "lantern number 1", "lantern number 2"} <= set(texts)


@pytest.mark.parametrize("size", [0, LEAST])
def test_bytes_need_room(titled: Graph, size: int) -> None:
    with pytest.raises(GraphRecError, match="trained: and more than 259 tokens"):
        train_words(titled, size)


def test_a_graph_without_texts(shop: Graph) -> None:
    nodes = tuple(
        node.model_copy(update={"columns": {}, "title": None}) for node in shop.schema.nodes
    )
    bare = replace(shop, schema=shop.schema.model_copy(update={"nodes": nodes}))
    with pytest.raises(GraphRecError, match="a graph with text columns or titles"):
        train_words(bare, 300)


def test_belongs_to_a_model() -> None:
    with pytest.raises(GraphRecError, match=r"needs no training.*model.text: trained:300"):
        Words.of("trained:300")


def test_hashed_words_cannot_write() -> None:
    with pytest.raises(GraphRecError, match=r"one that can write text, got hashed:512"):
        Words.of("hashed:512").decode([1])


def test_comes_back_from_its_files(titled: Graph, tmp_path: Path) -> None:
    made = train_words(titled, 300)
    stored = made.tokenizer
    assert isinstance(stored, StoredTokenizer)
    stored.save(tmp_path / "tokenizer")
    read = Words(StoredTokenizer.load(tmp_path / "tokenizer"))
    assert (read.name, read.special, len(read)) == (made.name, made.special, len(made))
    assert read.encode(ANY) == made.encode(ANY)
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")  # Hugging Face reads them too
    assert theirs.encode("a lantern", add_special_tokens=False) == made.encode("a lantern")
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (1, 2, 0)
    of_theirs = StoredTokenizer.of(theirs)
    assert of_theirs is not None
    assert of_theirs.special == made.special
    assert of_theirs.encode(ANY) == made.encode(ANY)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (TOKENIZER, "{", "a tokenizer of the library tokenizers"),
        (TOKENIZER, "[]", "a tokenizer of the library tokenizers"),
        (TOKENIZER, '{"model": {"type": "BPE", "vocab": {}}}', "library tokenizers|<bos>"),
        (TOKENIZER, "\x00" * 9, "a tokenizer of the library tokenizers"),
        (TOKENIZER_CONFIG, "[]", "tokenizer_config.json"),
        (TOKENIZER_CONFIG, '{"bos_token": "none"}', "a bos_token of the vocabulary, got 'none'"),
        (TOKENIZER_CONFIG, '{"bos_token": 3}', "a bos_token of the vocabulary, got 3"),
    ],
)
def test_damaged_files(
    titled: Graph, tmp_path: Path, name: str, content: str, expected: str
) -> None:
    stored = StoredTokenizer.of(train_words(titled, 300).tokenizer)
    assert stored is not None
    stored.save(tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / name).write_text(content)
    with pytest.raises(GraphRecError, match=expected):
        StoredTokenizer.load(tmp_path / "tokenizer")


def test_ids_beyond_the_vocabulary_are_refused(titled: Graph, tmp_path: Path) -> None:
    stored = StoredTokenizer.of(train_words(titled, 300).tokenizer)
    assert stored is not None
    stored.save(tmp_path / "tokenizer")
    path = tmp_path / "tokenizer" / TOKENIZER
    content = json.loads(path.read_text())
    last = max(content["model"]["vocab"], key=content["model"]["vocab"].get)
    content["model"]["vocab"][last] = 10**6
    path.write_text(json.dumps(content))
    with pytest.raises(GraphRecError, match=r"ids below 2\d\d, one for each token, got 1000000"):
        StoredTokenizer.load(tmp_path / "tokenizer")


def test_what_no_file_can_hold() -> None:
    assert StoredTokenizer.of(Words.of("hashed:512").tokenizer) is None
