"""Histories and sessions against plain Python."""

from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.derive import derive
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.tokens.linearizer import linearizer

KEY = Key(0)


def events(graph: Graph, user: int, relations: list[str]) -> list[tuple[int, int, int, int]]:
    """Return (time, place of the relation, target, edge id), oldest first."""
    found = []
    for place, name in enumerate(relations, 1):
        edges = graph.edges(name)
        assert edges.time is not None
        for row in (edges.source == user).nonzero().squeeze(1).tolist():
            found.append(
                (int(edges.time[row]), place, int(edges.target[row]), int(edges.edge[row]))
            )
    return sorted(found)


def sample(graph: Graph, config: dict[str, Any], *given: Any) -> Subgraphs:
    found = sampler.build(config).sample(graph, *given)
    assert isinstance(found, Subgraphs)
    return found


@pytest.mark.parametrize("window", [1, 3, 50])
@pytest.mark.parametrize("relations", [["rates"], ["rates", "views"]])
@pytest.mark.parametrize("before", [None, 20])
def test_history(shop: Graph, window: int, relations: list[str], before: int | None) -> None:
    config = {"name": "history", "relations": relations, "window": window, "before": before}
    users = torch.arange(12)
    found = sample(shop, config, users, KEY)
    for user in users.tolist():
        mine = found.select(user)
        past = [e for e in events(shop, user, relations) if before is None or e[0] < before]
        past = past[-window:]
        assert mine.node.tolist() == [user, *(target for _, _, target, _ in past)]
        assert mine.slot.tolist() == [0, *(place for _, place, _, _ in past)]
        assert mine.parent.tolist() == [-1] + [0] * len(past)


def test_history_before_the_excluded_edge(shop: Graph) -> None:
    config = {"name": "history", "relations": ["rates", "views"], "before": "exclude"}
    cut = 0
    for user in range(11):
        for time, _, _, number in events(shop, user, ["rates", "views"]):
            found = sample(shop, config, torch.tensor([user]), KEY, torch.tensor([number]))
            past = [e for e in events(shop, user, ["rates", "views"]) if e[0] < time]
            assert found.node.tolist() == [user, *(target for _, _, target, _ in past)]
            cut += len(past) + 1 < len(events(shop, user, ["rates", "views"]))
    assert cut
    # An edge of somebody else is hidden from nobody's time.
    number = events(shop, 3, ["rates"])[0][3]
    found = sample(shop, config, torch.tensor([0]), KEY, torch.tensor([number]))
    assert len(found.node) == 1 + len(events(shop, 0, ["rates", "views"]))


def test_history_backwards(shop: Graph) -> None:
    found = sample(shop, {"name": "history", "relations": ["rated_by"]}, torch.arange(12, 24), KEY)
    for item in range(12):
        raters = [user for _, _, user, _ in events(shop, 12 + item, ["rated_by"])]
        assert found.select(item).node.tolist()[1:] == raters


@pytest.mark.parametrize("gap", [0, 2, 6, None])
@pytest.mark.parametrize("sessions", [1, 2])
def test_session(shop: Graph, gap: int | None, sessions: int) -> None:
    config = {"name": "session", "relations": ["rates", "views"], "gap": gap, "sessions": sessions}
    found = sample(shop, config, torch.arange(12), KEY)
    for user in range(12):
        cut: list[list[int]] = []
        last = None
        for time, _, target, _ in events(shop, user, ["rates", "views"]):
            if last is None or (gap is not None and time - last > gap):
                cut.append([])
            cut[-1].append(target)
            last = time
        kept = cut[-sessions:]
        mine = found.select(user)
        assert mine.node.tolist() == [user, *(item for session in kept for item in session)]
        slots = [len(kept) - n for n, session in enumerate(kept) for _ in session]
        assert mine.slot.tolist() == [0, *slots]


@pytest.mark.parametrize("before", [15, "exclude"])
def test_k_hop_respects_time_at_every_hop(shop: Graph, before: Any) -> None:
    config = {"name": "k_hop", "fanout": [8, 8, 8], "before": before, "distinct": False}
    time, edge = shop.csr.time, shop.csr.edge
    assert time is not None
    assert edge is not None
    users = torch.arange(11)
    exclude = torch.tensor([events(shop, user, ["rates"])[-1][3] for user in users.tolist()])
    plain = sample(shop, {**config, "before": None}, users, KEY)
    found = sample(shop, config, users, KEY, exclude)
    crossed = 0
    for user in users.tolist():
        bound = events(shop, user, ["rates"])[-1][0] if before == "exclude" else before
        taken = found.select(user).position
        assert bool((time[taken[taken >= 0]] < bound).all())
        without = plain.select(user).position
        crossed += bool((time[without[without >= 0]] >= bound).any())
    assert crossed > 5


@pytest.mark.parametrize("name", ["history", "session"])
def test_untimed_relations_have_no_order(shop: Graph, name: str) -> None:
    with pytest.raises(GraphRecError, match=r"relation with times, got 'made_by'.*one of rates"):
        sample(shop, {"name": name, "relations": ["made_by"]}, torch.tensor([12]), KEY)
    with pytest.raises(GraphRecError, match=r"relations that leave 'user', got 'rated_by'"):
        sample(shop, {"name": name, "relations": ["rates", "rated_by"]}, torch.tensor([0]), KEY)
    with pytest.raises(GraphRecError, match="did you mean 'rates'"):
        sample(shop, {"name": name, "relations": ["rate"]}, torch.tensor([0]), KEY)


def test_edges_among_events() -> None:
    """With derived transitions: those of the graph between any two events, by name."""
    graph = derive(synthetic_graph(12, 15, 90), [{"name": "transition", "window": 2}])
    name, users = graph.schema.interaction().name, torch.arange(12)
    known = {
        (int(source), graph.schema.relation_index(relation.name), int(target))
        for relation in graph.schema.relations
        for edges in [graph.edges(relation.name)]
        for source, target in zip(edges.source, edges.target, strict=True)
    }
    roots = users + graph.nodes("user").start
    drawn = sample(graph, {"name": "history", "relations": [name], "edges": True}, roots, KEY)
    assert drawn.edges is not None
    tokens = linearizer.build("history").linearize(graph, drawn, KEY)
    assert tokens.edges is not None
    found = set(map(tuple, tokens.edges.tolist()))
    expected = {
        (i, relation, j)
        for row in range(len(users))
        for i in range(int(tokens.ptr[row]), int(tokens.ptr[row + 1]))
        for j in range(int(tokens.ptr[row]), int(tokens.ptr[row + 1]))
        for relation in range(len(graph.schema.relations))
        if (int(tokens.id[i]), relation, int(tokens.id[j])) in known
    }
    assert found == expected
    assert len(found) > 50
