"""Links between items: by hand on three short histories, and against plain formulas."""

import numpy as np
import pytest

from graphrec_pt import Graph, build
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.content import content_features
from graphrec_pt.graph.links import Links, co_interaction_links, content_links, transition_links

PLAN = {
    "nodes": {
        "user": {},
        "item": {"table": "items", "id": "item", "columns": {"title": "text", "color": "category"}},
        "tag": {},
    },
    "edges": {
        "buys": {
            "table": "log",
            "source": "user.user",
            "target": "item.item",
            "time": "when",
            "interaction": True,
            "duplicates": "keep",
            "inverse": "bought_by",
        },
        "has": {"table": "items", "source": "item.item", "target": "tag.tags", "split": "|"},
    },
}
# u: a b c a; v: b c; w: d
LOG = {
    "user": ["u", "u", "u", "u", "v", "v", "w"],
    "item": ["a", "b", "c", "a", "b", "c", "d"],
    "when": [1, 2, 3, 4, 1, 2, 1],
}
ITEMS = {
    "item": ["a", "b", "c", "d"],
    "tags": ["red|small", "red", "blue", "blue|small"],
    "title": ["old kite", "new kite", "drum", None],
    "color": ["x", "y", "x", None],
}


@pytest.fixture(scope="module")
def shop() -> Graph:
    return build(PLAN, {"log": LOG, "items": ITEMS}, seed=None)


def dense(graph: Graph, links: Links) -> dict[tuple[str, str], float]:
    """Return the entries by raw ids."""
    pairs, first = links.matrix.tocoo(), graph.nodes("item").start
    names = [graph.raw_id(first + n) for n in range(links.matrix.shape[0])]
    return {
        (names[i], names[j]): round(float(v), 5)
        for i, j, v in zip(pairs.row, pairs.col, pairs.data, strict=True)
    }


def test_what_came_after_by_hand(shop: Graph) -> None:
    plain = {"source_power": 0.0, "target_power": 0.0}
    found = transition_links(shop, "buys", window=2, **plain)
    # u: a→b 1, b→c 1, c→a 1, a→c ½, b→a ½; v: b→c 1
    after = {("a", "b"): 1, ("b", "c"): 2, ("c", "a"): 1, ("a", "c"): 0.5, ("b", "a"): 0.5}
    assert dense(shop, found) == after
    found = transition_links(shop, "buys", window=2, order="before", **plain)
    assert dense(shop, found) == {(j, i): v for (i, j), v in after.items()}
    flat = transition_links(shop, "buys", window=2, falloff=0.0, **plain)
    assert dense(shop, flat)["a", "c"] == 1


def test_popular_ends_are_damped(shop: Graph) -> None:
    found = dense(shop, transition_links(shop, "buys", window=1))
    assert found["b", "c"] == pytest.approx(2 * 2**-0.5 * 2**-0.3, abs=1e-5)


def test_company_by_hand(shop: Graph) -> None:
    found = dense(shop, co_interaction_links(shop, "buys", power=0.0))
    # a twice in u: two pairs with b and with c
    assert found["a", "b"] == found["b", "a"] == found["a", "c"] == 2
    assert found["b", "c"] == 2
    assert not any("d" in pair for pair in found)


def test_the_strongest_are_kept(shop: Graph) -> None:
    plain = {"source_power": 0.0, "target_power": 0.0}
    found = dense(shop, transition_links(shop, "buys", window=2, most=1, **plain))
    assert found == {("a", "b"): 1, ("b", "c"): 2, ("c", "a"): 1}


@pytest.mark.parametrize("order", ["after", "before", "together"])
def test_the_share_of_a_history_adds_up(order: str) -> None:
    """All histories' shares together are the matrix: what is taken out is what was put in."""
    graph = synthetic_graph(20, 9, 120)
    relation = graph.schema.interaction()
    if order == "together":
        links = co_interaction_links(graph, relation.name)
    else:
        links = transition_links(graph, relation.name, window=3, order=order)
    first, half = graph.nodes(relation.target).start, len(links.near) // 2
    total = np.zeros(links.matrix.shape)
    for user in graph.nodes(relation.source):
        items = (graph.neighbors(user, relation.name) - first).tolist()
        for p, i in enumerate(items):
            for q, j in enumerate(items):
                if p == q or i == j:
                    continue
                weight = links.near[q - p + half] if abs(q - p) <= half else links.far
                total[i, j] += weight * links.left[i] * links.right[j]
    np.testing.assert_allclose(links.matrix.toarray(), total, rtol=1e-5, atol=1e-6)


def test_features_are_rare_ones_that_are_shared(shop: Graph) -> None:
    found = content_features(shop, "item")
    a, b, c, d = (found[n].toarray().ravel() for n in range(4))
    # a: red, small, kite, color x; shared by two each, so all weigh the same
    assert np.count_nonzero(a) == 4
    assert a @ a == pytest.approx(1)
    assert a @ b == pytest.approx(2 / (2 * 2**0.5))  # red and kite, of 4 and of 2
    assert a @ c == pytest.approx(1 / (2 * 2**0.5))  # color x
    assert b @ c == 0
    assert c @ d == pytest.approx(1 / 2)  # blue
    assert content_features(shop, "user").nnz == 0  # who buys what is no content


def test_likeness_is_the_cosine(shop: Graph) -> None:
    features = content_features(shop, "item").toarray()
    expected = features @ features.T
    np.fill_diagonal(expected, 0)
    found = content_links(shop, "item", most=3).matrix.toarray()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert content_links(shop, "item", most=1).matrix.nnz == 4
