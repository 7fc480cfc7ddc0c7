"""Where nodes stand in a picture, and what it says."""

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.draw import (
    Group,
    Link,
    draw_neighborhood,
    draw_subgraph,
    layers,
    links_between,
    neighborhood,
)
from graphrec_pt.data.picture import Picture
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph


@pytest.fixture(scope="module")
def shop() -> Graph:
    return synthetic_graph(200, 100, 3000, key=Key(2))


def texts(picture: Picture) -> list[str]:
    return [pill.label for pill in picture.pills] + [text for *_, text, _ in picture.texts]


def test_layers_by_hand() -> None:
    links = [
        Link(0, 1, "a"),
        Link(0, 2, "a"),
        Link(3, 0, "b"),
        Link(3, 4, "c"),
        Link(1, 5, "c"),
        Link(1, 2, "d"),
    ]
    assert layers([0, 1, 2, 3, 4, 5, 9], links, 0) == [
        [Group("", True, (0,))],
        [Group("a", True, (1, 2)), Group("b", False, (3,))],
        [Group("c", True, (5, 4))],  # 5 hangs on the first of column 1, 4 on the last
        [Group("", True, (9,))],
    ]


def test_a_root_alone() -> None:
    assert layers([7], [], 7) == [[Group("", True, (7,))]]


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_no_label_covers_another(shop: Graph, hops: int) -> None:
    figure = draw_neighborhood(shop, shop.nodes("user").start, hops=hops).figure()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    page = figure.bbox
    for place, box in enumerate(boxes):
        assert page.x0 <= box.x0 <= box.x1 <= page.x1
        assert page.y0 <= box.y0 <= box.y1 <= page.y1
        for other in boxes[:place]:
            apart_x = min(box.x1, other.x1) - max(box.x0, other.x0)
            apart_y = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert apart_x <= 0 or apart_y <= 1.5  # descenders may touch the line below


def test_labels_stay_in_their_pills(shop: Graph) -> None:
    from matplotlib.patches import FancyBboxPatch

    figure = draw_neighborhood(shop, shop.nodes("item").start).figure()
    axes = figure.axes[0]
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    pills = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    labels = [
        t.get_window_extent(renderer)
        for t in axes.texts
        if t.get_verticalalignment() == "center_baseline"
    ]
    assert len(pills) == len(neighborhood(shop, shop.nodes("item").start).nodes)
    for pill, label in zip(pills, labels, strict=False):
        assert pill.x0 < label.x0 < label.x1 < pill.x1


def test_the_picture_says_what_it_shows(toy_graph: Graph) -> None:
    shown = texts(draw_neighborhood(toy_graph, 0))
    for label in ("ann", "A pen", "Ink", "bob", "Mug, large", "acme", "rates →", "follows →"):
        assert label in shown
    assert "tag" not in shown  # the legend names only what is there
    assert "brand" in shown
    some = texts(draw_neighborhood(toy_graph, 0, per_relation=1))
    assert "rates →  1 of 2" in some


def test_a_path_is_drawn_hop_by_hop(toy_graph: Graph) -> None:
    path = [(1, 3, "rates"), (3, 7, "made_by"), (7, 4, "makes")]  # the last is an inverse
    picture = draw_subgraph(toy_graph, [1, 3, 7, 4], path, title="why ink?")
    shown = texts(picture)
    assert "why ink?" in shown
    assert {"rates →", "made_by →", "← made_by"} <= set(shown)
    x = {pill.label: pill.left for pill in picture.pills}
    assert x["bob"] < x["A pen"] < x["acme"] < x["Ink"]


def test_edges_inside_a_column_and_lost_nodes_are_drawn(toy_graph: Graph) -> None:
    links = [(2, 0, "follows"), (2, 1, "follows"), (0, 1, "follows")]
    picture = draw_subgraph(toy_graph, [2, 0, 1, 9], links)
    assert "lonely" in texts(picture)
    assert (len(picture.links), len(picture.pills)) == (3, 4)
    narrow = draw_subgraph(toy_graph, [2, 0, 1], links).figure()
    for patch in narrow.axes[0].patches:  # arcs at the edge of the page are not cut off
        assert patch.get_window_extent().x1 < narrow.bbox.x1


@pytest.mark.parametrize(
    ("nodes", "links", "message"),
    [
        ([], [], "at least one node"),
        ([0], [(0, 3, "rates")], "node 3"),
        ([0, 3], [(0, 3, "rate")], "did you mean 'rates'"),
    ],
)
def test_what_cannot_be_drawn_is_told(
    toy_graph: Graph, nodes: list[int], links: list[tuple[int, int, str]], message: str
) -> None:
    with pytest.raises(GraphRecError, match=message):
        draw_subgraph(toy_graph, nodes, links)


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
