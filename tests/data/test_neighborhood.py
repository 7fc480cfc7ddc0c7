"""What is shown around a node, checked by hand and against slow counts."""

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.draw import Link, draw_neighborhood, links_between, neighborhood
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph


@pytest.fixture(scope="module")
def shop() -> Graph:
    return synthetic_graph(200, 100, 3000, key=Key(2))


def test_one_hop_by_hand(toy_graph: Graph) -> None:
    part = neighborhood(toy_graph, 0, hops=1)
    assert part.nodes == (0, 4, 1, 3)  # latest rating, the one followed, the earlier rating
    assert set(part.links) == {
        Link(0, 3, "rates"),
        Link(0, 4, "rates"),  # once, though rated twice
        Link(1, 3, "rates"),
        Link(1, 4, "rates"),
        Link(0, 1, "follows"),
    }


def test_the_second_hop_prefers_what_many_lead_to(toy_graph: Graph) -> None:
    part = neighborhood(toy_graph, 0, hops=2)
    assert part.nodes[:4] == (0, 4, 1, 3)
    assert part.nodes[4:] == (6, 7)  # bob's mug; the brand of pen and ink
    assert Link(4, 7, "made_by") in part.links


def test_limits_hold_and_the_choice_is_the_same_each_time(shop: Graph) -> None:
    root = shop.nodes("item").start + 7
    part = neighborhood(shop, root, hops=3, per_relation=4, limit=25)
    assert len(part.nodes) == len(set(part.nodes)) <= 25
    assert part == neighborhood(shop, root, hops=3, per_relation=4, limit=25)
    users = [n for n in part.nodes if n in shop.nodes("user")]
    beside = set(shop.neighbors(root, "rated_by").tolist())
    assert len([n for n in users if n in beside]) == 4


def test_hubs_do_not_crowd_out_the_second_hop(shop: Graph) -> None:
    """What shares most with the first hop comes first: checked against a slow count."""
    root = shop.nodes("user").start + 3
    part = neighborhood(shop, root, hops=2, per_relation=6, limit=100)
    first = neighborhood(shop, root, hops=1, per_relation=6, limit=100).nodes
    support = {
        user: sum(user in shop.neighbors(node).tolist() for node in first[1:])
        for user in shop.nodes("user")
        if user != root
    }
    shown = [n for n in part.nodes[len(first) :] if n in support]
    assert [support[n] for n in shown] == sorted(support.values(), reverse=True)[: len(shown)]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"hops": 0}, "hops >= 1, got 0"),
        ({"limit": 0}, "limit >= 1"),
        ({"per_relation": -1}, "per_relation >= 1"),
    ],
)
def test_impossible_numbers_are_told(
    toy_graph: Graph, numbers: dict[str, int], message: str
) -> None:
    with pytest.raises(GraphRecError, match=message):
        neighborhood(toy_graph, 0, **numbers)
    with pytest.raises(GraphRecError, match="node below 10"):
        draw_neighborhood(toy_graph, 10)


def test_links_between_are_all_edges_of_the_part(shop: Graph) -> None:
    nodes = neighborhood(shop, 0).nodes
    slow = {
        Link(s, t, r.name)
        for r in shop.schema.relations
        if not r.backward
        for s, t in zip(*(c.tolist() for c in shop.edges(r.name)[:2]), strict=True)
        if s in nodes and t in nodes
    }
    assert set(links_between(shop, nodes)) == slow
