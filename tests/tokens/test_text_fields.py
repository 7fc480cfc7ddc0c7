"""Several text columns per type, and nodes that stand where a text names them."""

from typing import Any

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.tokens import Tokens

TEXTS = {
    "u0": "saw @7 and @9 today",
    "u1": "I liked @9 , @9 too",
    "u2": "try @7 then",
    "u3": "try the red one",
}
MENTIONS = [("u0", "7"), ("u0", "9"), ("u1", "9"), ("u2", "7")]
ITEMS = {"7": "red", "9": "blue cup"}
SAID = "saw and today I liked , too try then red blue cup the one a long story"
WORDS = [*SAID.split(), "@8", "@and", "Blue", "Cup", "1999.0"]


class Numbered:
    """A tokenizer that numbers the words of this page from 100."""

    def encode(self, text: str) -> list[int]:
        return [100 + WORDS.index(word) for word in text.split()]


def spelled(tokens: Tokens, graph: Graph, row: int = 0) -> str:
    """Return a sequence as a person reads it: <node>, words, [SPECIAL]."""
    said = []
    for at in range(int(tokens.ptr[row]), int(tokens.ptr[row + 1])):
        number, kind = int(tokens.id[at]), Kind(int(tokens.kind[at]))
        if kind == Kind.NODE:
            said.append(f"<{graph.raw_id(number)}>")
        else:
            said.append(WORDS[number - 100] if kind == Kind.TEXT else f"[{Special(number).name}]")
    return " ".join(said)


def talk(texts: dict[str, str] = TEXTS) -> Graph:
    names = list(texts)
    said = [mention for mention in MENTIONS if mention[0] in texts]
    tables = {
        "turns": pl.DataFrame({"id": names, "text": list(texts.values())}),
        "items": pl.DataFrame(
            {
                "id": list(ITEMS),
                "title": list(ITEMS.values()),
                "plot": ["a long story", None],
                "year": [1999.0, None],
            }
        ),
        "follows": pl.DataFrame({"turn": names[1:], "before": names[:-1]}),
        "mentions": pl.DataFrame(said, schema=["turn", "item"], orient="row"),
    }
    columns = {"title": "text", "plot": "text", "year": "number"}
    plan = {
        "nodes": {
            "turn": {"table": "turns", "columns": {"text": "text"}, "title": "text"},
            "item": {"table": "items", "columns": columns, "title": "title"},
        },
        "edges": {
            "follows": {"table": "follows", "source": "turn.turn", "target": "turn.before"},
            "mentions": {"table": "mentions", "source": "turn.turn", "target": "item.item"},
        },
    }
    return build(plan, tables, seed=None)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return talk()


def text_of(graph: Graph, turn: str, own: bool = False, **options: Any) -> Tokens:
    roots = torch.tensor([graph.node_id("turn", turn)])
    sample = sampler.build({"name": "dialogue", "own": own}).sample(graph, roots, Key(0))
    config = {"name": "text", "tokenizer": Numbered(), "base": "subgraph", **options}
    return linearizer.build(config).linearize(graph, sample, Key(0))


SPEAKS = {"columns": {"turn": "text"}, "mentions": {"turn": {"relation": "mentions"}}}


def test_a_node_stands_where_the_text_names_it(graph: Graph) -> None:
    tokens = text_of(graph, "u2", **SPEAKS)
    # The root's own mention was not sampled: it is the answer, and its marker is left out.
    assert spelled(tokens, graph) == (
        "<u2> try then <u1> I liked <9> , <9> too <u0> saw <7> and <9> today"
    )
    tokens = text_of(graph, "u2", own=True, **SPEAKS)
    assert spelled(tokens, graph).startswith("<u2> try <7> then <u1>")


def test_named_nodes_keep_their_columns(graph: Graph) -> None:
    tokens = text_of(graph, "u2", **SPEAKS)
    mentions = graph.schema.relation_index("mentions")
    named = (tokens.kind == Kind.NODE) & (tokens.type == graph.schema.node_index("item"))
    assert tokens.relation[named].tolist() == [mentions] * 4
    turns = {name: graph.node_id("turn", name) for name in ("u0", "u1")}
    said_by = tokens.id[tokens.parents()[named]].tolist()
    assert said_by == [turns["u1"], turns["u1"], turns["u0"], turns["u0"]]
    assert tokens.slot[named].tolist() == [1, 1, 2, 2]  # turns back, as the sampler says
    assert tokens.word is not None
    assert int(tokens.word[named][0]) == int(tokens.word[named][1])  # one node, named twice
    assert bool((tokens.parent < tokens.places()).all())
    assert {(s, r, t) for s, r, t in tokens.triples().tolist()} <= {
        (s, graph.schema.relation_index(name), t)
        for name in ("mentions", "follows")
        for s, t in zip(*(x.tolist() for x in graph.edges(name)[:2]), strict=True)
    }


def test_a_named_node_takes_its_own_text_along(graph: Graph) -> None:
    both = {**SPEAKS, "columns": {"turn": "text", "item": "title"}}
    assert spelled(text_of(graph, "u2", **both), graph) == (
        "<u2> try then <u1> I liked <9> blue cup , <9> too <u0> saw <7> red and <9> blue cup today"
    )
    assert spelled(text_of(graph, "u2", **both, nodes=False), graph) == (
        "try then I liked blue cup , <9> too saw red and blue cup today"
    )


def test_a_mention_past_the_cut_stays_behind_the_text(graph: Graph) -> None:
    tokens = text_of(graph, "u1", longest=2, **SPEAKS)
    assert spelled(tokens, graph) == "<u1> I liked <u0> saw <7> <9>"


def test_the_text_of_roots_can_be_left_out(graph: Graph) -> None:
    tokens = text_of(graph, "u2", root=False, **SPEAKS)
    assert spelled(tokens, graph).startswith("<u2> <u1> I liked")


def test_bare_titles_keep_their_words() -> None:
    pytest.importorskip("ahocorasick")
    told = talk({"u0": "saw red and", "u1": "the red one", "u2": "the Blue Cup today", "u3": "too"})
    mentions = {"turn": {"relation": "mentions", "marker": "{title}", "shortest": 3}}
    tokens = text_of(told, "u3", columns={"turn": "text"}, mentions=mentions)
    # u1 is linked to the blue cup alone, and u2 to red alone: what no edge says is left a word.
    assert spelled(tokens, told) == (
        "<u3> too <u2> the Blue Cup today <7> <u1> the red one <9> <u0> saw <7> red and <9>"
    )


def test_fields_are_numbered_and_parted(graph: Graph) -> None:
    fields = {"item": ["title", "plot", "year"]}
    tokens = text_of(graph, "u1", columns=fields, longest={"plot": 2})
    assert spelled(tokens, graph) == ("<u1> <u0> <7> red [SEP] a long [SEP] 1999.0 <9> blue cup")
    assert tokens.slot.tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 3, 1, 1, 1]
    made = linearizer.build({"name": "text", "base": "subgraph", "columns": fields}).makes
    assert {Kind(kind) for kind in tokens.kind.unique().tolist()} == made.kinds
    one = text_of(graph, "u1", columns={"item": "title"})
    assert bool((one.slot[one.kind == Kind.TEXT] == 1).all())  # that of the node: one turn back


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"item": ["title", "name"]}}, "expected a column of 'item', got 'name'"),
        ({"longest": {"titel": 3}}, "expected columns that are read, got 'titel'"),
        ({"longest": 0}, "expected longest >= 1, got 0"),
        (
            {"columns": {"item": "title"}, "mentions": {"turn": {"relation": "mentions"}}},
            "expected a column of 'turn' to find mentions, got none",
        ),
        ({"mentions": {"turn": {"relation": "says"}}}, "expected a relation that leaves 'turn'"),
        (
            {"mentions": {"turn": {"relation": "mentions", "marker": "@{name}"}}},
            "expected a column of 'item' in the marker, got '@{name}'",
        ),
        (
            {"mentions": {"turn": {"relation": "mentions", "marker": "{id}"}}},
            "expected a sign around one field",
        ),
    ],
)
def test_one_line_for_a_wrong_option(graph: Graph, options: Any, message: str) -> None:
    with pytest.raises(GraphRecError) as raised:
        text_of(graph, "u1", **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_mention_of_an_unknown_item() -> None:
    told = talk({"u0": "saw @8 today", "u1": "too"})
    with pytest.raises(GraphRecError, match="a marker of a known item, got '@8' in 'u0'"):
        text_of(told, "u1", **SPEAKS)
    left = {"turn": {"relation": "mentions", "unknown": "text"}}
    tokens = text_of(told, "u1", columns={"turn": "text"}, mentions=left)
    assert spelled(tokens, told) == "<u1> too <u0> saw @8 today <7> <9>"


def test_what_no_id_could_be_is_a_word() -> None:
    told = talk({"u0": "saw @7 @and @9 too", "u1": "too"})
    assert spelled(text_of(told, "u1", **SPEAKS), told) == "<u1> too <u0> saw <7> @and <9> too"
