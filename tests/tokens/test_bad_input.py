"""Options and samples that do not fit: what the errors say."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.linearizer import linearizer, require
from graphrec_pt.tokens.template import parse

KEY = Key(1)


def linear(graph: Graph, sample: Any, name: str, **options: Any) -> Any:
    return linearizer.build({"name": name, **options}).linearize(graph, sample, KEY)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", r"\(type\) or \(MASK:type\), got its end"),
        ("user", r"\(type\) or \(MASK:type\), got 'user'; try one like \(user\)-\[buys\]"),
        ("(user)-[rates]->", r"\(type\) or .* got its end after '\(user\)-\[rates\]->'"),
        ("(user)-[rates]-(item)", r"-\[relation\]->, got '-\[rates\]-\(item\)' after '\(user\)'"),
        ("(user)<-[rates]-(item)", "try the inverse relation, read from left to right"),
        ("(user) (item)", r"-\[relation\]->, got '\(item\)' after"),
        ("(MASK:)", r"\(type\) or \(MASK:type\)"),
    ],
)
def test_patterns_that_cannot_be_read(pattern: str, message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        parse(pattern)
    with pytest.raises(GraphRecError, match=message):
        linearizer.build({"name": "template", "pattern": pattern})


def test_a_pattern_read() -> None:
    found = parse(" ( user )-[ rates ]->(MASK: item) -[MASK]-> (brand)")
    assert found.types == ("user", "item", "brand")
    assert found.masked == (False, True, False)
    assert found.relations == ("rates", None)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "(user)-[made_by]->(MASK:item)",
            r"a relation from 'user' to 'item', got 'made_by' \(item → brand\); try one of rates$",
        ),
        ("(user)-[rate]->(item)", "got 'rate'; did you mean 'rates'"),
        (
            "(user)-[rates]->(MASK:brand)",
            r"got 'rates' \(user → item\); try relations that leave 'user': rates \(→ item\); "
            r"that enter 'brand': made_by \(item →\)",
        ),
        ("(user)-[MASK]->(brand)", "a relation from 'user' to 'brand', got none in the graph"),
        ("(usr)-[rates]->(item)", "a node type, got 'usr'; did you mean 'user'"),
    ],
)
def test_patterns_that_do_not_fit(shop: Graph, written: Any, pattern: str, message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        linear(shop, written.subgraph((0, -1, -1, 0)), "template", pattern=pattern)


def test_samples_that_do_not_fit_a_pattern(shop: Graph, written: Any) -> None:
    pattern = "(user)-[rates]->(MASK:item)"
    with pytest.raises(GraphRecError, match=r"a node of type 'user' .* got node 3, .* 'item'"):
        linear(shop, written.subgraph((3, -1, -1, 0)), "template", pattern=pattern)
    three = written.subgraph((0, -1, -1, 0), (3, -1, -1, 0), (4, -1, -1, 0))
    with pytest.raises(GraphRecError, match=r"1 or 2 roots for .* got 3"):
        linear(shop, three, "template", pattern=pattern)
    long = written.paths([0, 0, 3, 2, 7])
    with pytest.raises(GraphRecError, match=r"paths of at most 1 hops for .* got 2"):
        linear(shop, long, "template", pattern=pattern)
    other = written.paths([7, 3, 4])
    with pytest.raises(GraphRecError, match=r"paths along .* got 'makes' at hop 1 of path 0"):
        linear(shop, other, "template", pattern=pattern)
    with pytest.raises(GraphRecError, match="relations: true, got a masked relation"):
        linearizer.build(
            {"name": "template", "pattern": "(user)-[MASK]->(item)", "relations": False}
        )


def test_the_wrong_sort_of_sample(shop: Graph, written: Any, words: Any) -> None:
    walk, star = written.paths([0, 0, 3]), written.subgraph((0, -1, -1, 0))
    with pytest.raises(GraphRecError, match="path: expected a sample of Paths, got Subgraphs; try"):
        linear(shop, star, "path")
    for name in ("subgraph", "neighbor_set", "history", "set", "tree"):
        with pytest.raises(GraphRecError, match=f"{name}: expected a sample of Subgraphs, got Pa"):
            linear(shop, walk, name)
    with pytest.raises(GraphRecError, match="history: expected a sample of Subgraphs"):
        linear(shop, walk, "text", tokenizer=words, base="history")
    wrong: Any = "nothing"
    with pytest.raises(GraphRecError, match="template: expected a sample of Subgraphs, got str"):
        linear(shop, wrong, "template", pattern="(user)")


def test_text_that_is_not_there(shop: Graph, written: Any, words: Any) -> None:
    star = written.subgraph((0, -1, -1, 0))
    text = {"tokenizer": words, "base": "subgraph"}
    with pytest.raises(GraphRecError, match="a column of 'item', got 'name'; try one of title"):
        linear(shop, star, "text", **text, columns={"item": "name"})
    with pytest.raises(GraphRecError, match="a column of 'item', got 'look'"):
        linear(shop, star, "text", **text, columns={"item": "look"})
    with pytest.raises(GraphRecError, match="a node type, got 'items'"):
        linear(shop, star, "text", **text, columns={"items": "title"})
    with pytest.raises(GraphRecError, match=r"a tokenizer with encode\(text\), or its name, got i"):
        linearizer.build({"name": "text", "tokenizer": 3, "base": "path"})
    with pytest.raises(GraphRecError, match="linearizer: expected a known name, got 'paths'"):
        linearizer.build({"name": "text", "tokenizer": words, "base": "paths"})
    with pytest.raises(GraphRecError, match="linearizer: expected a known name, got 'paths'"):
        linearizer.build({"name": "template", "pattern": "(user)", "context": "paths"})


def test_objectives_can_ask_before_training() -> None:
    chosen = linearizer.build("history")
    require("an objective", chosen, [Kind.NODE], ["time", "relation"])
    with pytest.raises(
        GraphRecError,
        match=r"masked_edge: expected tokens with RELATION, parent, got those of linearizer "
        r"'history'; try the linearizer 'path'$",
    ):
        require("masked_edge", chosen, [Kind.RELATION], ["parent"])
    bare = linearizer.build({"name": "path", "relations": False})
    with pytest.raises(GraphRecError, match="tokens with RELATION"):
        require("masked_edge", bare, [Kind.RELATION])


def test_a_hugging_face_tokenizer(shop: Graph, written: Any, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    known = ["[UNK]", "[CLS]", "[SEP]", "a", "red", "pen", "ink", "mu", "##g"]
    vocabulary = {piece: number for number, piece in enumerate(known)}
    raw = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    raw.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    assert raw.encode("a mug").ids == [1, 3, 7, 8, 2]
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")
    made.save_pretrained(tmp_path / "tokenizer")
    star = written.subgraph((1, -1, -1, 0), (6, 0, 0, 1))
    named = {"name": "text", "tokenizer": str(tmp_path / "tokenizer"), "base": "subgraph"}
    by_name = linear(shop, star, **named)
    assert by_name.id.tolist() == [1, 6, 3, 7, 8]  # a mu ##g, and no [CLS] or [SEP]
    assert linear(shop, star, "text", tokenizer=made, base="subgraph").id.tolist() == (
        by_name.id.tolist()
    )
    config = linearizer.config(linearizer.build(named))
    assert linearizer.build(json.loads(json.dumps(config))) == linearizer.build(named)
    # The library `tokenizers` returns an object.
    assert linear(shop, star, "text", tokenizer=raw, base="subgraph").id.tolist() == (
        by_name.id.tolist()
    )
    missing = str(tmp_path / "missing")
    with pytest.raises(GraphRecError, match="the folder or name of a Hugging Face tokenizer"):
        linear(shop, star, "text", tokenizer=missing, base="subgraph")


def test_text_is_tokenized_once(shop: Graph, written: Any) -> None:
    asked = []

    class Counting:
        def encode(self, text: str) -> list[int]:
            asked.append(text)
            return [len(text)]

    chosen = linearizer.build({"name": "text", "tokenizer": Counting(), "base": "subgraph"})
    star = written.subgraph((3, -1, -1, 0))
    for _ in range(3):
        assert chosen.linearize(shop, star, KEY).id.tolist() == [3, 9]
    assert asked == ["a red pen", "ink", "a mug"]
    assert torch.equal(chosen.linearize(shop, star, KEY).kind, torch.tensor([0, 2]))
