"""Phrases against a slow implementation that writes the sentence and tokenizes it whole."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Sample
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.tokens.identifiers import identifier
from graphrec_pt.tokens.kind import IGNORE, Kind, Special
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.tokens import Tokens, same
from graphrec_pt.tokens.verbalizer import Verbalizer
from graphrec_pt.tokens.words import Words

REVIEWS = [  # user, item, time, rating, summary
    ("ann", "pen", 1, 5.0, "writes well"),
    ("ann", "ink", 2, 3.0, "a bit pale"),
    ("ann", "cup", 3, 4.0, "nice and warm"),
    ("bob", "ink", 1, 1.0, "not for me"),
    ("bob", "mug", 2, 2.5, None),
    ("cat", "pen", 5, 4.0, "good"),
]
ITEMS = [
    ("pen", "Red pen", 1.5),
    ("ink", "Blue ink", 3.0),
    ("cup", "A cup", None),
    ("mug", "Mug", 8),
]
BOTH = {
    "name": "both_ends",
    "source": {"name": "history", "before": "exclude"},
    "target": {"name": "k_hop", "fanout": [2], "relations": ["made_by"]},
}
PAST = {"name": "history"}
KEY = Key(0)


@pytest.fixture(scope="module")
def graph() -> Graph:
    rows = [(f"{u}-{i}", u, i, *rest) for u, i, *rest in REVIEWS]
    tables = {
        "reviews": pl.DataFrame(
            rows, schema=["review", "user", "item", "time", "rating", "summary"], orient="row"
        ),
        "items": pl.DataFrame(ITEMS, schema=["id", "title", "price"], orient="row", strict=False),
        "brands": pl.DataFrame({"item": ["pen", "ink"], "brand": ["acme", "zeta"]}),
    }
    plan = {
        "nodes": {
            "user": {},
            "item": {
                "table": "items",
                "columns": {"title": "text", "price": "number"},
                "title": "title",
            },
            "review": {"table": "reviews", "id": "review", "columns": {"summary": "text"}},
            "brand": {},
        },
        "edges": {
            "reviews": {
                "table": "reviews",
                "source": "user.user",
                "target": "item.item",
                "time": "time",
                "weight": "rating",
                "event": "review.review",
                "interaction": True,
            },
            "made_by": {"table": "brands", "source": "item.item", "target": "brand.brand"},
        },
    }
    return build(plan, tables, seed=3)


@pytest.fixture(scope="module")
def tokenizer(graph: Graph) -> Any:
    """Return a byte BPE of a handful of words: what it splits is not the words of a sentence."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    texts = [f"{title} bought {said}" for _, title, _ in ITEMS for *_, said in REVIEWS]
    made.train_from_iterator(texts, trainer)
    return made


def pairs(graph: Graph, found: Sequence[tuple[str, str]]) -> torch.Tensor:
    return torch.tensor([[graph.node_id("user", u), graph.node_id("item", i)] for u, i in found])


def users(graph: Graph, names: Sequence[str]) -> torch.Tensor:
    return torch.tensor([graph.node_id("user", name) for name in names])


def sampled(graph: Graph, config: dict[str, Any], roots: torch.Tensor) -> Sample:
    return sampler.build(config).sample(graph, roots, Key(0))


def said(chosen: Verbalizer, graph: Graph, sample: Sample, key: Key = KEY) -> Tokens:
    return chosen.linearize(graph, sample, key)


def verbalizer(**options: Any) -> Verbalizer:
    made = linearizer.build({"name": "verbalizer", **options})
    assert isinstance(made, Verbalizer)
    return made


def slow(
    phrase: str, fill: dict[str, str], encode: Callable[[str], list[int]]
) -> list[tuple[Kind, int]]:
    """Write the sentence, with <3> for node 3, and tokenize what stands between the nodes."""
    sentence = re.sub(r"\{([^{}]*)\}", lambda match: fill[match[1]], phrase)
    tokens: list[tuple[Kind, int]] = []
    for piece in re.split(r"(\s*<\d+>)", sentence):
        if node := re.fullmatch(r"\s*<(\d+)>", piece):
            tokens.append((Kind.NODE, int(node[1])))
        elif piece.strip():
            tokens += [(Kind.TEXT, id) for id in encode(piece)]
    return tokens


def read(tokens: Tokens, row: int) -> list[tuple[Kind, int]]:
    low, high = int(tokens.ptr[row]), int(tokens.ptr[row + 1])
    kinds, ids = tokens.kind[low:high].tolist(), tokens.id[low:high].tolist()
    return [(Kind(kind), id) for kind, id in zip(kinds, ids, strict=True)]


ASKED = [("ann", "cup"), ("bob", "mug"), ("cat", "pen")]
PHRASES = [
    "Which rating will {user} give {item} ? ( 1 low , 5 high )",
    "{user} bought {history} , and then {item.title} for {item.price} dollars .",
    "{item}",
    "About {item.title}: {event.summary} -- {weight} stars by {user}!",
    "The brand of {item} is {brands} .",
]


@pytest.mark.parametrize("phrase", PHRASES)
@pytest.mark.parametrize("form", ["name", "title", "node"])
def test_the_tokens_are_those_of_the_sentence(
    graph: Graph, tokenizer: Any, phrase: str, form: str
) -> None:
    slots: dict[str, Any] = {
        "item": {"as": form},
        "user": {"as": "name"},
        "history": {"as": form, "join": " , then "},
        "brands": {"as": "name", "relations": ["made_by"]},
    }
    slots = {name: options for name, options in slots.items() if f"{{{name}}}" in phrase}
    chosen = verbalizer(phrases=[phrase], slots=slots, tokenizer=tokenizer)
    tokens = said(chosen, graph, sampled(graph, BOTH, pairs(graph, ASKED)))
    names = {
        kind: identifier.build("digits").names(graph, kind) for kind in ("user", "item", "brand")
    }
    titles, prices = {r[0]: r[1] for r in ITEMS}, {"pen": "1.5", "ink": "3", "cup": "", "mug": "8"}

    def name_of(kind: str, raw: str) -> str:
        return str(names[kind][graph.node_id(kind, raw) - graph.nodes(kind).start])

    def written(raw: str) -> str:
        node = f"<{graph.node_id('item', raw)}>"
        return {"name": name_of("item", raw), "title": titles[raw], "node": node}[form]

    for row, (user, item) in enumerate(ASKED):
        past = [i for u, i, *_ in REVIEWS if u == user and i != item]
        rating, summary = next(r[3:] for r in REVIEWS if r[:2] == (user, item))
        fill = {
            "user": name_of("user", user),
            "item": written(item),
            "history": " , then ".join(written(i) for i in past),
            "item.title": titles[item],
            "item.price": prices[item],
            "event.summary": summary or "",
            "weight": f"{rating:g}",
            "brands": {"pen": name_of("brand", "acme"), "ink": name_of("brand", "zeta")}.get(
                item, ""
            ),
        }
        # What is empty takes the space before it along.
        shown = re.sub(r"\s*\{([^{}]*)\}", lambda m: m[0] if fill[m[1]] else "", phrase)  # noqa: B023
        assert read(tokens, row) == slow(shown, fill, Words(tokenizer).encode)


def test_a_word_is_a_node_and_a_slot_a_place(graph: Graph) -> None:
    chosen = verbalizer(
        phrases=["I {user} bought {history} and {item}"],
        slots={"user": {"as": "name"}, "history": {"as": ["title", "node"]}},
        tokenizer="hashed:4096",
    )
    tokens = said(chosen, graph, sampled(graph, BOTH, pairs(graph, [("ann", "cup")])))
    #               I   user bought Red pen  <>  ,?  Blue ink <>  and <cup>
    assert tokens.word is not None
    assert tokens.word.tolist() == [-1, 0, -1, 1, 1, 1, 2, 2, 2, -1, 3]
    assert tokens.slot.tolist() == [0, 1, 0, 2, 2, 2, 2, 2, 2, 0, 3]
    assert tokens.position.tolist() == list(range(11))
    nodes = tokens.kind == Kind.NODE
    assert tokens.type[nodes].tolist() == [graph.schema.node_index("item")] * 3
    assert tokens.hop[nodes].tolist() == [1, 1, 0]


ANSWER = "Which rating will {user} give {item} ? => {weight}"


def test_an_answer_stands_behind_bos_and_only_where_the_pair_is_known(graph: Graph) -> None:
    slots = {"user": {"as": "name"}, "item": {"as": "name"}}
    chosen = verbalizer(phrases=[ANSWER], slots=slots, tokenizer="hashed:4096")
    words = Words.of("hashed:4096")
    tokens = said(chosen, graph, sampled(graph, BOTH, pairs(graph, ASKED)))
    for row, rating in enumerate(["4", "2.5", "4"]):
        tail = [(Kind.TEXT, id) for id in words.encode(rating)]
        ends = (Kind.SPECIAL, int(Special.BOS)), (Kind.SPECIAL, int(Special.EOS))
        assert read(tokens, row)[-len(tail) - 2 :] == [ends[0], *tail, ends[1]]
    alone = said(chosen, graph, sampled(graph, PAST, users(graph, ["ann", "bob"])))
    assert Kind.SPECIAL not in alone.kind.tolist()
    unseen = said(chosen, graph, sampled(graph, BOTH, pairs(graph, [("cat", "mug")])))
    assert [kind for kind, _ in read(unseen, 0)][-2:] == [Kind.SPECIAL] * 2  # no rating is known


def test_soft_tokens_and_masks(graph: Graph) -> None:
    phrases = ["{[P]*3} {user} {[Q]*2} {MASK:item}", "{[Q]*4} {[P]*1} {user}"]
    chosen = verbalizer(phrases=phrases[:1], tokenizer="hashed:64")
    tokens = said(chosen, graph, sampled(graph, BOTH, pairs(graph, [("ann", "cup")])))
    kinds = [kind for kind, _ in read(tokens, 0)]
    assert kinds == [*[Kind.PROMPT] * 3, Kind.NODE, *[Kind.PROMPT] * 2, Kind.SPECIAL]
    assert tokens.id[tokens.kind == Kind.PROMPT].tolist() == [0, 1, 2, 3, 4]
    assert tokens.labels.tolist() == [*[IGNORE] * 6, graph.node_id("item", "cup")]
    assert int(tokens.type[-1]) == graph.schema.node_index("item")
    assert verbalizer(phrases=phrases, tokenizer="hashed:64").prompts == 3 + 4
    alone = said(chosen, graph, sampled(graph, PAST, users(graph, ["ann"])))
    assert int(alone.labels[-1]) == IGNORE


def test_candidates_hold_the_target_once_and_nothing_that_was_sampled(graph: Graph) -> None:
    chosen = verbalizer(
        phrases=["{candidates}"], slots={"candidates": {"count": 3}}, tokenizer="hashed:9"
    )
    asked = pairs(graph, [("cat", "pen")])
    target, places = graph.node_id("item", "pen"), set()
    for epoch in range(20):
        tokens = said(chosen, graph, sampled(graph, BOTH, asked), Key(1).at_epoch(epoch))
        nodes = tokens.id[tokens.kind == Kind.NODE].tolist()
        assert len(set(nodes)) == len(nodes) == 3
        places.add(nodes.index(target))
    assert places == {0, 1, 2}
    past = sampled(graph, BOTH, pairs(graph, [("ann", "mug")]))
    tokens = said(chosen, graph, past)  # she has all the others
    assert tokens.id[tokens.kind == Kind.NODE].tolist() == [graph.node_id("item", "mug")]


def test_one_candidate_is_true_half_the_time(graph: Graph) -> None:
    chosen = verbalizer(phrases=["{candidate} ? => {truth}"], tokenizer="hashed:4096")
    yes, no = (Words.of("hashed:4096").encode(word)[0] for word in ("yes", "no"))
    target, true = graph.node_id("item", "cup"), 0
    sample = sampled(graph, BOTH, pairs(graph, [("ann", "cup")]))
    for epoch in range(200):
        (_, node), *_, (_, answer), _ = read(said(chosen, graph, sample, Key(1).at_epoch(epoch)), 0)
        assert answer == (yes if node == target else no)
        true += node == target
    assert 100 < true < 150  # half, and a quarter of the rest


def test_a_path_is_a_sentence(graph: Graph) -> None:
    walk = {"name": "metapath", "relations": ["reviews", "made_by"], "repeats": 1}
    path = {"path": {"as": "name", "words": {"reviews": "reviewed"}}}
    chosen = verbalizer(phrases=["because {path} ."], slots=path, tokenizer="hashed:4096")
    sample = sampled(graph, walk, users(graph, ["cat"]))
    names = {
        kind: identifier.build("digits").names(graph, kind) for kind in ("user", "item", "brand")
    }
    said_ = [
        names[k][graph.node_id(k, r) - graph.nodes(k).start]
        for k, r in (("user", "cat"), ("item", "pen"), ("brand", "acme"))
    ]
    sentence = "because {} reviewed {} made by {} .".format(*said_)
    ids = Words.of("hashed:4096").encode(sentence)
    assert read(said(chosen, graph, sample), 0) == [(Kind.TEXT, id) for id in ids]


def test_a_phrase_each_by_philox_and_the_held_ones_never(graph: Graph) -> None:
    words = ["one", "two", "three", "four"]
    ids = [Words.of("hashed:4096").encode(word)[0] for word in words]
    options: dict[str, Any] = {"phrases": words, "held": [2], "tokenizer": "hashed:4096"}
    chosen = verbalizer(**options)
    sample = sampled(graph, BOTH, pairs(graph, [(u, i) for u in ("ann", "bob") for i, *_ in ITEMS]))
    counts = dict.fromkeys(ids, 0)
    for epoch in range(40):
        tokens = said(chosen, graph, sample, Key(0).at_epoch(epoch))
        for id in tokens.id.tolist():
            counts[id] += 1
        if epoch < 3:
            parts = [
                said(chosen, graph, sample.select(at), Key(0).at_epoch(epoch)) for at in range(8)
            ]
            assert [int(part.id[0]) for part in parts] == tokens.id.tolist()
    assert counts[ids[2]] == 0
    assert all(70 < counts[id] < 145 for id in (ids[0], ids[1], ids[3]))  # 320 / 3
    held = chosen.zero_shot()
    assert held.prompt == "three"
    assert said(held, graph, sample).id.tolist() == [ids[2]] * 8
    assert same(said(held.zero_shot(), graph, sample), said(held, graph, sample))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"phrases": ["by {artist}"]},
            "phrase 0: expected a slot that the data has, got {artist}",
        ),
        ({"phrases": ["{item.name}"]}, "phrase 0: expected a column of 'item' for {item.name}"),
        ({"phrases": ["{MASK:movie}"]}, "phrase 0: expected a node type to mask, got 'movie'"),
        ({"phrases": ["ok", "{user"]}, "phrase: expected braces in pairs, got '{user'"),
        ({"phrases": ["{}"]}, "phrase: expected slots such as {user}"),
        ({"phrases": ["{user} => "]}, "phrase: expected words or slots on both sides of =>"),
        ({"phrases": ["a => {MASK:item}"]}, "phrase: expected an answer of words and nodes"),
        ({"phrases": ["{[P]*0}"]}, "phrase: expected soft tokens such as {[P]*8}"),
        (
            {"phrases": ["a"], "held": [0]},
            "verbalizer.held: expected places of some of the 1 phrases",
        ),
        (
            {"phrases": ["a"], "held": [3]},
            "verbalizer.held: expected places of some of the 1 phrases",
        ),
        (
            {"phrases": ["{item}"], "slots": {"item": {"as": "titel"}}},
            "slot 'item': expected as: node",
        ),
        ({"phrases": ["{user}"], "slots": {"user": {"as": "title"}}}, "expected a title of 'user'"),
        (
            {"phrases": ["{item}"], "slots": {"items": {}}},
            "expected slots of the phrases, got 'items'",
        ),
        (
            {"phrases": ["{event}"]},
            "phrase 0: expected a column of the event, got {event}; try {event.COLUMN}",
        ),
        (
            {"phrases": ["a"], "tokenizer": None},
            "verbalizer: expected a tokenizer, or a model that has",
        ),
    ],
)
def test_one_line_for_a_wrong_phrase(graph: Graph, options: Any, message: str) -> None:
    sample = sampled(graph, BOTH, pairs(graph, ASKED))
    with pytest.raises(GraphRecError) as raised:
        said(verbalizer(**{"tokenizer": "hashed:64", **options}), graph, sample)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
