"""Both ends of a pair: who stands where, and that the pair's own review is never shown."""

from dataclasses import replace

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.both_ends import pairs_of_events
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler

WRITTEN = {"name": "k_hop", "fanout": [9], "relations": ["writes"]}
ABOUT = {"name": "k_hop", "fanout": [9, 9], "relations": ["rev_about", "rev_writes"]}
REVIEWS = {"name": "both_ends", "source": WRITTEN, "target": ABOUT}


@pytest.fixture(scope="module")
def shop() -> Graph:
    return build_card(load_card("toy-shop"))


def node(shop: Graph, raw: str) -> int:
    return next(n for n in range(shop.num_nodes()) if shop.raw_id(n) == raw)


def sampled(shop: Graph, *pairs: tuple[str, str]) -> Subgraphs:
    roots = torch.tensor([[node(shop, user), node(shop, item)] for user, item in pairs])
    found = sampler.build(REVIEWS).sample(shop, roots, Key(0))
    assert isinstance(found, Subgraphs)
    return found


def told(shop: Graph, sample: Subgraphs, row: int) -> list[tuple[str, int, int, int]]:
    """Return (raw id, slot, hop, parent) of the nodes of a sequence."""
    one = sample.select(row)
    names = [shop.raw_id(n) for n in one.node.tolist()]
    return list(zip(names, one.slot.tolist(), one.hop.tolist(), one.parent.tolist(), strict=True))


def test_what_is_around_both(shop: Graph) -> None:
    # Bob wrote r2 and r3; cat wrote r4 of the puzzle.
    (row,) = [told(shop, sampled(shop, ("bob", "puzzle")), 0)]
    assert row[:2] == [("bob", 0, 0, -1), ("puzzle", 0, 0, -1)]
    assert sorted(row[2:4]) == [("r2", 1, 1, 0), ("r3", 1, 1, 0)]
    assert row[4:] == [("r4", 2, 1, 1), ("cat", 2, 2, 4)]


def test_the_review_of_the_pair_is_gone_with_its_writer(shop: Graph) -> None:
    found = sampled(shop, ("bob", "drum"), ("cat", "drum"), ("cat", "puzzle"))
    assert told(shop, found, 0) == [("bob", 0, 0, -1), ("drum", 0, 0, -1), ("r3", 1, 1, 0)]
    assert told(shop, found, 1) == [
        ("cat", 0, 0, -1),
        ("drum", 0, 0, -1),
        ("r4", 1, 1, 0),
        ("r2", 2, 1, 1),
        ("bob", 2, 2, 3),
    ]
    assert told(shop, found, 2) == [("cat", 0, 0, -1), ("puzzle", 0, 0, -1)]


def test_pairs_of_events(shop: Graph) -> None:
    pairs = pairs_of_events(shop)
    own = shop.nodes("review")
    found = {shop.raw_id(review): tuple(map(shop.raw_id, pairs[review].tolist())) for review in own}
    assert found == {
        "r1": ("ann", "kite"),
        "r2": ("bob", "drum"),
        "r3": ("bob", "flute"),
        "r4": ("cat", "puzzle"),
    }
    others = [n for n in range(shop.num_nodes()) if n not in own]
    assert bool((pairs[others] == -1).all())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"source": {"name": "ego"}}, "both_ends: expected a sampler of nodes, got sets"),
        ({"source": {"name": "random_walk"}}, "a sampler that returns Subgraphs, got Paths"),
    ],
)
def test_other_samplers_are_refused(shop: Graph, config: dict[str, object], message: str) -> None:
    pairs = torch.tensor([[node(shop, "bob"), node(shop, "kite")]])
    with pytest.raises(GraphRecError, match=message):
        sampler.build({**REVIEWS, **config}).sample(shop, pairs, Key(0))


def test_two_graphs_with_one_index_array_have_pairs_of_their_own(shop: Graph) -> None:
    before = pairs_of_events(shop)
    without = {
        name: table.with_columns(event=pl.lit(None, table["event"].dtype))
        if "event" in table.columns
        else table
        for name, table in shop.edge_tables.items()
    }
    other = replace(shop, edge_tables=without)
    assert other.csr.indices is shop.csr.indices
    assert bool((before >= 0).any())
    assert not bool((pairs_of_events(other) >= 0).any())
    assert pairs_of_events(shop) is before
