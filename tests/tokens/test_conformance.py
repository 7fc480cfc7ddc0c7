"""What every linearizer promises, one row per registered name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.sample import Paths, Sample, Subgraphs
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.testing import linearizers as promised
from graphrec_pt.tokens.kind import IGNORE, Kind
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.tokens import Tokens

KEY = Key(5).at_epoch(1)
Expected = Callable[[Any], Iterator[list[int]]]
"""Sample → the nodes of each sequence, made the slow and obvious way."""


class Letters:
    """A tokenizer that needs nothing: one id per letter."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Letters)

    __hash__ = None  # type: ignore[assignment]


def walked(sample: Paths) -> Iterator[list[int]]:
    for path in sample.nodes.tolist():
        yield [node for node in path if node >= 0]


def joined(sample: Paths) -> Iterator[list[int]]:
    whole = list(walked(sample))
    for root in range(sample.size):
        mine = [path for path, r in zip(whole, sample.root.tolist(), strict=True) if r == root]
        yield [node for path in mine for node in path]


def rows(sample: Subgraphs) -> Iterator[list[tuple[int, int, int, float]]]:
    for at in range(len(sample)):
        one = sample.select(at)
        columns = one.node, one.hop, one.slot, one.score
        yield list(zip(*(column.tolist() for column in columns), strict=True))


def once_per_slot(sample: Subgraphs) -> Iterator[list[int]]:
    for row in rows(sample):
        yield [node for node, _ in dict.fromkeys((node, slot) for node, _, slot, _ in row)]


def once(sample: Subgraphs) -> Iterator[list[int]]:
    for row in rows(sample):
        yield list(dict.fromkeys(node for node, *_ in row))


def members(sample: Subgraphs) -> Iterator[list[int]]:
    for row in rows(sample):
        yield list(dict.fromkeys(node for node, hop, *_ in row if hop))


def best(sample: Subgraphs) -> Iterator[list[int]]:
    for row in rows(sample):
        ranked = sorted(row, key=lambda token: (token[1] != 0, -token[3]))
        yield [node for node, *_ in ranked][:4]


def latest(sample: Subgraphs) -> Iterator[list[int]]:
    for row in rows(sample):  # the sampler's order is that of time
        yield [row[0][0], *[node for node, hop, *_ in row if hop][-2:]]


def latest_events(sample: Subgraphs) -> Iterator[list[int]]:
    for row in rows(sample):
        yield [node for node, hop, *_ in row if hop][-2:]


def events(sample: Subgraphs) -> Iterator[list[int]]:
    for row in rows(sample):
        yield [node for node, hop, *_ in row if hop]


def events_twice(sample: Subgraphs) -> Iterator[list[int]]:
    for nodes in events(sample):
        yield nodes * 2


def rooted(sample: Subgraphs) -> Iterator[list[int]]:
    for row in rows(sample):
        yield [row[0][0]]


def first_of_path(sample: Paths) -> Iterator[list[int]]:
    for path in walked(sample):
        yield path[:1]


def ends_of_whole_paths(sample: Paths) -> Iterator[list[int]]:
    for path in sample.nodes.tolist():
        yield [path[0], path[2]] if path[2] >= 0 else []


@dataclass(frozen=True)
class Row:
    """One registered linearizer under test.

    Args:
        config: What a recipe would say.
        sampler: Config of the sampler that feeds it.
        roots: Type of the roots, ``"pairs"``, or ``"all"``.
        expected: What nodes must come back.
        backwards: Whether parents stand before their children.
        loud: Fields that `makes` names and that this data cannot show.
    """

    config: dict[str, Any]
    sampler: dict[str, Any]
    roots: str
    expected: Expected
    backwards: bool = True
    loud: set[str] = field(default_factory=set)


WALKS = {"name": "random_walk", "hops": 4, "repeats": 2, "restart": 0.2}
STEPS = {"name": "metapath", "relations": ["rates", "made_by"], "repeats": 2}
UP = [["rates", "rated_by", "rates"], ["rates", "made_by", "makes"]]
PAIRS = {"name": "path_subgraph", "metapaths": UP, "edges": True}
HOPS = {"name": "k_hop", "fanout": [3, 3], "distinct": False, "edges": True}
MCN = {"name": "mcn", "fanout": [6, 3], "size": 6, "weighted": False}
RECENT = {"name": "history", "root": True, "window": 2}
PAST = {"name": "history"}
GAINS = {"name": "returns", "rewards": {"rates": 0.5}, "most": 1.0}
CODES = {"name": "set", "root": False}
HOLDS = {"name": "set_of", "relations": ["holds"]}
UPWARDS = {"name": "tree", "relations": ["tagged", "is_a"]}
BUYS = "(user)-[rates]->(MASK:item)"
GUESS = "(user)-[rates]->(MASK:item)-[MASK]->(MASK:brand)"
CHAIN = "(user)-[rates]->(MASK:item)-[MASK]->(brand)"
LETTERS = {"name": "text", "tokenizer": Letters()}
BOUGHT = "{[P]*2} {history}, again {history}: {MASK:item}"
SAYS = {"name": "verbalizer", "phrases": [BOUGHT, BOUGHT], "tokenizer": Letters()}
FIELDS = {"item": ["title", "title"], "brand": "motto"}
ROWS = [
    Row({"name": "path"}, WALKS, "all", walked),
    Row({"name": "path", "relations": False, "bos": False, "eos": False}, STEPS, "user", walked),
    Row({"name": "path", "join": True}, WALKS, "all", joined),
    Row({"name": "subgraph"}, PAIRS, "pairs", once_per_slot),
    Row({"name": "subgraph", "cls": True}, HOPS, "all", once_per_slot),
    Row({"name": "neighbor_set", "size": 3}, MCN, "item", best, False, {"edges"}),
    Row({"name": "history"}, PAST, "user", events, loud={"edges"}),
    Row({**RECENT, "gaps": True, "eos": True}, {**PAST, "edges": True}, "user", latest),
    Row(GAINS, PAST, "user", events, loud={"edges"}),
    Row({**GAINS, "window": 2, "aim": 2.0}, PAST, "user", latest_events, loud={"edges"}),
    Row({"name": "set"}, HOLDS, "basket", once, loud={"edges", "time"}),
    Row({**CODES, "cls": True}, HOLDS, "basket", members, loud={"edges", "time"}),
    Row({"name": "tree", "cls": True}, UPWARDS, "item", once, loud={"edges", "time"}),
    Row({"name": "template", "pattern": BUYS}, PAST, "user", rooted, loud={"labels"}),
    Row({"name": "template", "pattern": GUESS}, STEPS, "user", first_of_path),
    Row({"name": "template", "pattern": CHAIN}, STEPS, "user", ends_of_whole_paths),
    Row({**LETTERS, "base": "path"}, WALKS, "all", walked),
    Row({**LETTERS, "base": {"name": "subgraph", "cls": True}}, HOPS, "all", once_per_slot),
    Row({**LETTERS, "base": "subgraph", "columns": FIELDS}, HOPS, "all", once_per_slot),
    Row(SAYS, PAST, "user", events_twice, loud={"labels"}),
]  # fmt: skip
IDS = [f"{n}-{row.config['name']}" for n, row in enumerate(ROWS)]


@pytest.fixture(params=ROWS, ids=IDS)
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


def roots_of(row: Row, graph: Graph) -> torch.Tensor:
    if row.roots == "pairs":
        users, items = graph.nodes("user"), graph.nodes("item")
        return torch.tensor([(user, item) for user in users for item in items])
    everyone = range(graph.num_nodes()) if row.roots == "all" else graph.nodes(row.roots)
    return torch.tensor(list(everyone))


@pytest.fixture
def sample(row: Row, shop: Graph) -> Sample:
    return sampler.build(row.sampler).sample(shop, roots_of(row, shop), KEY)


@pytest.fixture
def tokens(row: Row, shop: Graph, sample: Sample) -> Tokens:
    return linearizer.build(row.config).linearize(shop, sample, KEY)


def test_every_registered_linearizer_has_a_row() -> None:
    ours = {n for n in linearizer.names() if linearizer.get(n).__module__.startswith("graphrec_pt")}
    assert ours == {row.config["name"] for row in ROWS}


def test_config_round_trip(row: Row) -> None:
    chosen = linearizer.build(row.config)
    config = linearizer.config(chosen)
    if row.config["name"] in ("text", "verbalizer"):
        assert config["tokenizer"] == "Letters"  # what can be said of an object
        config["tokenizer"] = row.config["tokenizer"]
    assert linearizer.build(config) == chosen


def test_one_sequence_each(row: Row, shop: Graph, sample: Sample, tokens: Tokens) -> None:
    chosen = linearizer.build(row.config)
    promised.makes_one_sequence_each(chosen, shop, sample, KEY)
    assert len(tokens.id) > 2


def test_nodes_come_back(row: Row, sample: Sample, tokens: Tokens) -> None:
    found = [
        tokens.id[low:high][tokens.kind[low:high] == Kind.NODE].tolist()
        for low, high in zip(tokens.ptr[:-1].tolist(), tokens.ptr[1:].tolist(), strict=True)
    ]
    assert found == list(row.expected(sample))
    ids, sequence = tokens.nodes()
    assert [ids[sequence == at].tolist() for at in range(len(tokens))] == found


def test_parents_and_edges_are_edges_of_the_graph(
    row: Row, shop: Graph, sample: Sample, tokens: Tokens
) -> None:
    promised.names_edges_of_the_graph(linearizer.build(row.config), shop, sample, KEY)
    triples = {tuple(triple) for triple in tokens.triples().tolist()}
    if "parent" in tokens_make(row) and row.config["name"] != "template":
        assert len(triples) >= 2
    if tokens.edges is not None:
        ends = tokens.kind[tokens.edges[:, [0, 2]]]
        assert len(ends)
        assert bool((ends == Kind.NODE).all())
    # A relation token stands for the edge between its parent and the node that follows it.
    for at in (tokens.kind == Kind.RELATION).nonzero().squeeze(1).tolist():
        assert int(tokens.parents()[at]) < at
        if int(tokens.kind[at + 1]) == Kind.NODE and int(tokens.relation[at + 1]) >= 0:
            assert int(tokens.id[at]) == int(tokens.relation[at + 1])


def test_parents_stand_before(row: Row, tokens: Tokens) -> None:
    if row.backwards:
        assert bool((tokens.parent < tokens.places()).all())
    assert bool((tokens.parents() < len(tokens.id)).all())


def test_types_are_legal(row: Row, shop: Graph, sample: Sample, tokens: Tokens) -> None:
    promised.uses_legal_ids(linearizer.build(row.config), shop, sample, KEY)
    relation, text = tokens.kind == Kind.RELATION, tokens.kind == Kind.TEXT
    assert bool((tokens.type[relation | text] == -1).all())
    labelled = (tokens.labels != IGNORE) & (tokens.type >= 0)
    assert torch.equal(tokens.type[labelled], shop.csr.node_type(tokens.labels[labelled]))


def tokens_make(row: Row) -> frozenset[str]:
    return linearizer.build(row.config).makes.fields


def test_makes_is_the_truth(row: Row, shop: Graph, sample: Sample, tokens: Tokens) -> None:
    chosen = linearizer.build(row.config)
    promised.fills_what_it_says(chosen, shop, sample, KEY)
    assert {Kind(kind) for kind in tokens.kind.unique().tolist()} == chosen.makes.kinds
    neutral = {
        "slot": 0, "hop": -1, "parent": -1, "relation": -1, "time": NO_TIME, "labels": IGNORE
    }  # fmt: skip
    filled = {name for name, value in neutral.items() if (getattr(tokens, name) != value).any()}
    filled |= {name for name in ("edges", "word") if getattr(tokens, name) is not None}
    quiet = {"slot"} & filled if isinstance_of_paths(row) else set()
    assert filled - quiet <= chosen.makes.fields
    assert chosen.makes.fields - {"type", "position"} - row.loud <= filled


def isinstance_of_paths(row: Row) -> bool:
    return row.sampler in (WALKS, STEPS)


def test_same_sample_same_tokens_alone_and_in_any_order(
    row: Row, shop: Graph, sample: Sample
) -> None:
    promised.is_a_function_of_its_sample(linearizer.build(row.config), shop, sample, KEY)


def test_nothing_sampled(row: Row, shop: Graph) -> None:
    nobody = roots_of(row, shop)[:0]
    empty = sampler.build(row.sampler).sample(shop, nobody, KEY)
    promised.takes_nothing(linearizer.build(row.config), shop, empty, KEY)
    tokens = linearizer.build(row.config).linearize(shop, empty, KEY)
    assert tokens.padded()[0].shape == (0, 0)


def test_lonely_roots(row: Row, shop: Graph) -> None:
    ends = {"user": [2], "item": [6], "basket": [13], "all": [2, 8, 13], "pairs": [[2, 6]]}
    sample = sampler.build(row.sampler).sample(shop, torch.tensor(ends[row.roots]), KEY)
    tokens = linearizer.build(row.config).linearize(shop, sample, KEY)
    assert len(tokens.triples()) <= 3  # the mug is rated
    ids, sequence = tokens.nodes()
    found = [ids[sequence == at].tolist() for at in range(len(tokens))]
    assert found == list(row.expected(sample))
