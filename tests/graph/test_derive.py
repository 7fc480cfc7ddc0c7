"""Derived relations against hand-computed values and slow obvious counts."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.graph import derive as derivations
from graphrec_pt.graph.derive import derive, without_derived
from graphrec_pt.graph.graph import Graph

PLAN: dict[str, Any] = {
    "nodes": {"user": {}, "item": {}},
    "edges": {
        "buys": {
            "table": "t",
            "source": "user.user",
            "target": "item.item",
            "time": "time",
            "interaction": True,
        }
    },
}


def world(users: list[int], items: list[int], times: list[int] | None = None) -> Graph:
    rows = {"user": users, "item": items, "time": times or list(range(len(users)))}
    return build(PLAN, {"t": rows})


def weights(graph: Graph, relation: str) -> dict[tuple[int, int], float]:
    edges = graph.edges(relation)
    assert edges.weight is not None
    return {
        (int(graph.raw_id(s)), int(graph.raw_id(t))): w
        for s, t, w in zip(
            edges.source.tolist(), edges.target.tolist(), edges.weight.tolist(), strict=True
        )
    }


def test_transition_by_hand() -> None:
    # Histories 1 2 3 and 1 3: at distance one 1→2, 2→3 and 1→3; at distance two 1→3 again.
    graph = derive(
        world([0, 0, 0, 1, 1], [1, 2, 3, 1, 3]), [{"name": "transition", "window": 2, "decay": 0.5}]
    )
    assert weights(graph, "followed_by") == {(1, 2): 1.0, (2, 3): 1.0, (1, 3): 1.5}
    assert weights(graph, "rev_followed_by") == {(2, 1): 1.0, (3, 2): 1.0, (3, 1): 1.5}


def test_transition_is_in_time_order_not_row_order() -> None:
    graph = derive(world([0, 0, 0], [3, 1, 2], [30, 10, 20]), ["transition"])
    assert weights(graph, "followed_by") == {(1, 2): 1.0, (2, 3): 1.0}


@pytest.mark.parametrize("block", [3, 4096])
def test_co_interaction_equals_the_obvious_count(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(derivations, "BLOCK", block)
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 30, 300).tolist(), rng.integers(0, 15, 300).tolist()
    graph = derive(world(users, items), [{"name": "co_interaction", "least": 3, "top": 100}])
    baskets: dict[int, set[int]] = {}
    for user, item in zip(users, items, strict=True):
        baskets.setdefault(user, set()).add(item)
    counts = Counter(
        (i, j) for basket in baskets.values() for i in basket for j in basket if i != j
    )
    expected = {pair: float(n) for pair, n in counts.items() if n >= 3}
    assert weights(graph, "co_interacts") == expected


def test_co_interaction_keeps_the_strongest() -> None:
    # Item 0 shares two users with 1 and one user with 2.
    graph = world([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 2])
    kept = weights(
        derive(graph, [{"name": "co_interaction", "least": 1, "top": 1}]), "co_interacts"
    )
    assert kept == {(0, 1): 2.0, (1, 0): 2.0, (2, 0): 1.0}


def test_co_interaction_between_sources() -> None:
    # User 0 has items 0 1 2 3, user 1 items 0 1 4, user 2 item 0: counts prefer users with many.
    graph = world([0, 0, 0, 0, 1, 1, 1, 2], [0, 1, 2, 3, 0, 1, 4, 0])
    config = {"name": "co_interaction", "between": "sources", "least": 1}
    counted = derive(graph, [config])
    assert counted.schema.relation("co_interacts").target == "user"
    shared = {(0, 1): 2.0, (0, 2): 1.0, (1, 2): 1.0}
    both = {pair: n for (a, b), n in shared.items() for pair in ((a, b), (b, a))}
    assert weights(counted, "co_interacts") == both
    cosines = weights(derive(graph, [{**config, "weight": "cosine", "top": 1}]), "co_interacts")
    assert cosines == pytest.approx({(0, 1): 12**-0.5 * 2, (1, 2): 3**-0.5, (2, 1): 3**-0.5})


def test_deriving_twice_replaces() -> None:
    graph = world([0, 0], [1, 2])
    once = derive(graph, ["transition"])
    assert derive(once, ["transition"]).fingerprint == once.fingerprint
    assert without_derived(once).schema.relation_names == graph.schema.relation_names
    assert derive(graph, []) is graph


def test_no_interactions_derive_nothing() -> None:
    graph = derive(
        build(PLAN, {"t": {"user": [], "item": [], "time": []}}), ["transition", "co_interaction"]
    )
    assert graph.num_edges("followed_by") == 0
    assert graph.num_edges("co_interacts") == 0


def test_names_must_be_free() -> None:
    with pytest.raises(GraphRecError, match="derive: expected a new relation name, got 'buys'"):
        derive(world([0], [1]), [{"name": "transition", "relation_name": "buys"}])
    with pytest.raises(GraphRecError, match="derivation: expected a known name"):
        derive(world([0], [1]), ["transitions"])


def test_damped_weights_by_hand() -> None:
    # Items 0 and 1 share two users, 0 and 2 one, so 0 has two neighbours and the others one.
    graph = world([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 2])
    made = derive(graph, [{"name": "co_interaction", "least": 1, "top": 1, "weight": "damped"}])
    strong, weak = (1 + math.log(2)) / (1 + math.log(2) / 2), 1 / (1 + math.log(2) / 2)
    expected = {(0, 1): strong, (1, 0): strong, (2, 0): weak}
    assert weights(made, "co_interacts") == pytest.approx(expected)
