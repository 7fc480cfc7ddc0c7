from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from graphrec_pt.core.errors import ConfigErrors, GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import Plan
from graphrec_pt.graph.graph import Graph

RATINGS = {
    "user": ["u1", "u1", "u2", "u2", "u3"],
    "item": ["a", "b", "a", "c", "b"],
    "time": [10, 20, 5, 30, 7],
    "stars": [5.0, 3.0, 4.0, 1.0, 2.0],
}
ITEMS = {
    "item": ["a", "b", "c", "d"],
    "title": ["Ant", "Bee", "Cat", "Dog"],
    "tags": ["x|y", "y", "", None],
    "price": [1.0, 2.5, 10.0, 99.0],
    "new": [1, 0, 1, 0],
    "cheap": [1, 1, 0, 0],
}
PLAN: dict[str, Any] = {
    "nodes": {
        "user": {},
        "item": {
            "table": "items",
            "id": "item",
            "columns": {"title": "text", "price": "number"},
            "title": "title",
        },
        "tag": {},
        "price_band": {},
        "flag": {},
    },
    "edges": {
        "rates": {
            "table": "ratings",
            "source": "user.user",
            "target": "item.item",
            "time": "time",
            "weight": "stars",
            "interaction": True,
        },
        "has_tag": {"table": "items", "source": "item.item", "target": "tag.tags", "split": "|"},
        "costs": {
            "table": "items",
            "source": "item.item",
            "target": "price_band.price",
            "bins": [2, 10],
        },
        "is": {
            "table": "items",
            "source": "item.item",
            "target": "flag",
            "flags": {"New": "new", "Cheap": "cheap"},
            "inverse": False,
        },
    },
}


def made(seed: int | None = 0, **changes: Any) -> Graph:
    return build(PLAN | changes, {"ratings": RATINGS, "items": ITEMS}, seed=seed)


def pairs(graph: Graph, relation: str) -> set[tuple[str, str]]:
    edges = graph.edges(relation)
    ends = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    return {(graph.raw_id(s), graph.raw_id(t)) for s, t in ends}


def test_edges_are_those_of_the_tables() -> None:
    graph = made()
    assert pairs(graph, "rates") == set(zip(RATINGS["user"], RATINGS["item"], strict=True))
    assert pairs(graph, "has_tag") == {("a", "x"), ("a", "y"), ("b", "y")}
    assert pairs(graph, "costs") == {("a", "<2"), ("b", "2–10"), ("c", "≥10"), ("d", "≥10")}
    assert pairs(graph, "is") == {("a", "New"), ("a", "Cheap"), ("b", "Cheap"), ("c", "New")}


def test_inverses_mirror_and_share_edge_ids() -> None:
    graph = made()
    for name in ("rates", "has_tag", "costs"):
        ahead, back = graph.edges(name), graph.edges(f"rev_{name}")
        rows = {
            int(e): (int(s), int(t))
            for e, s, t in zip(ahead.edge, ahead.source, ahead.target, strict=True)
        }
        assert rows == {
            int(e): (int(t), int(s))
            for e, s, t in zip(back.edge, back.source, back.target, strict=True)
        }
    assert "rev_is" not in graph.schema.relation_names


def test_times_weights_and_columns_follow_their_rows() -> None:
    graph = made()
    edges = graph.edges("rates")
    assert edges.time is not None
    assert edges.weight is not None
    found = {
        (graph.raw_id(s), graph.raw_id(t)): (time, weight)
        for s, t, time, weight in zip(
            edges.source.tolist(),
            edges.target.tolist(),
            edges.time.tolist(),
            edges.weight.tolist(),
            strict=True,
        )
    }
    assert found[("u2", "c")] == (30, 1.0)
    assert found[("u3", "b")] == (7, 2.0)
    item = graph.node_id("item", "c")
    assert graph.title(item) == "Cat"
    assert graph.tables["item"]["price"][item - graph.nodes("item").start] == 10.0
    assert graph.num_nodes("item") == 4  # the dog is never rated and still an item


@pytest.mark.parametrize("wrap", [pl.DataFrame, pd.DataFrame, pa.table, lambda d: pl.LazyFrame(d)])
def test_any_arrow_frame_gives_the_same_graph(wrap: Any) -> None:
    graph = build(PLAN, {"ratings": wrap(RATINGS), "items": wrap(ITEMS)})
    assert graph.fingerprint == made().fingerprint


def test_row_order_does_not_matter() -> None:
    shuffled = pl.DataFrame(RATINGS)[[3, 1, 4, 0, 2]]
    graph = build(PLAN, {"ratings": shuffled, "items": pl.DataFrame(ITEMS)[::-1]})
    assert graph.fingerprint == made().fingerprint


def test_ids_are_permuted_by_a_recorded_seed() -> None:
    n = 2000
    rows = {"user": [0] * n, "item": range(n), "time": range(n)}
    plan = Plan.model_validate(
        {
            "nodes": {"user": {}, "item": {}},
            "edges": {
                "sees": {
                    "table": "t",
                    "source": "user.user",
                    "target": "item.item",
                    "time": "time",
                    "interaction": True,
                }
            },
        }
    )
    graph = build(plan, {"t": rows}, seed=7)
    assert graph.provenance["permutation_seed"] == 7
    raw = graph.tables["item"]["id"].cast(pl.Int64).to_numpy()
    # Spearman's rho of a random permutation has standard deviation 1/√(n−1) ≈ 0.022.
    assert abs(np.corrcoef(raw, np.arange(n))[0, 1]) < 0.11
    assert build(plan, {"t": rows}, seed=8).tables["item"]["id"].to_list() != raw.tolist()
    plain = build(plan, {"t": rows}, seed=None)
    assert plain.tables["item"]["id"].to_list() == [str(i) for i in range(n)]


def test_integer_ids_and_text_ids_of_one_type_meet() -> None:
    graph = build(
        {
            "nodes": {"user": {}, "item": {}},
            "edges": {
                "a": {"table": "numbers", "source": "user.u", "target": "item.i"},
                "b": {"table": "texts", "source": "user.u", "target": "item.i"},
            },
        },
        {"numbers": {"u": [1, 2], "i": [7, 8]}, "texts": {"u": ["1"], "i": ["8"]}},
    )
    assert graph.num_nodes("user") == 2
    assert graph.num_nodes("item") == 2


def test_k_core_drops_until_stable() -> None:
    # u3 has one rating, so it goes; then b has one left, so it goes; then u1 has one, …
    rows = {
        "user": ["u1", "u1", "u2", "u2", "u3"],
        "item": ["a", "c", "a", "c", "b"],
        "time": range(5),
    }
    graph = build(
        PLAN | {"core": {"relation": "rates", "source": 2, "target": 2}},
        {"ratings": RATINGS | rows, "items": ITEMS},
    )
    assert pairs(graph, "rates") == {("u1", "a"), ("u1", "c"), ("u2", "a"), ("u2", "c")}
    assert graph.num_nodes("user") == 2
    assert set(graph.tables["item"]["id"]) == {"a", "c"}
    assert pairs(graph, "has_tag") == {("a", "x"), ("a", "y")}


@pytest.mark.parametrize(
    ("how", "weights"),
    [("keep", [1.0, 2.0, 4.0]), ("first", [2.0]), ("last", [4.0]), ("sum", [7.0])],
)
def test_duplicates(how: str, weights: list[float]) -> None:
    rows = {"user": ["u"] * 3, "item": ["a"] * 3, "time": [2, 1, 3], "stars": [1.0, 2.0, 4.0]}
    edges = PLAN["edges"] | {"rates": PLAN["edges"]["rates"] | {"duplicates": how}}
    graph = build(PLAN | {"edges": edges}, {"ratings": rows, "items": ITEMS})
    weight = graph.edges("rates").weight
    assert weight is not None
    assert sorted(weight.tolist()) == weights


def test_duplicates_can_be_refused() -> None:
    edges = PLAN["edges"] | {"rates": PLAN["edges"]["rates"] | {"duplicates": "error"}}
    twice = {name: [*values, values[0]] for name, values in RATINGS.items()}
    with pytest.raises(GraphRecError, match=r"edges.rates: expected no duplicate edges, got 1"):
        build(PLAN | {"edges": edges}, {"ratings": twice, "items": ITEMS})


def test_where_keeps_the_rows_it_names() -> None:
    edges = PLAN["edges"] | {"rates": PLAN["edges"]["rates"] | {"where": "stars >= 4"}}
    graph = build(PLAN | {"edges": edges}, {"ratings": RATINGS, "items": ITEMS})
    assert pairs(graph, "rates") == {("u1", "a"), ("u2", "a")}


def test_quantile_bins_are_equally_filled() -> None:
    rows = {"item": range(100), "price": [float(p * p) for p in range(100)]}
    graph = build(
        {
            "nodes": {"item": {}, "band": {}},
            "edges": {
                "costs": {
                    "table": "t",
                    "source": "item.item",
                    "target": "band.price",
                    "quantiles": 4,
                }
            },
        },
        {"t": rows},
    )
    assert sorted(graph.degree("rev_costs").tolist()) == [25, 25, 25, 25]


def test_list_columns_explode() -> None:
    graph = build(
        {
            "nodes": {"item": {}, "tag": {}},
            "edges": {"has": {"table": "t", "source": "item.i", "target": "tag.tags"}},
        },
        {"t": {"i": ["a", "b", "c"], "tags": [["x", "y"], [], ["x", "x"]]}},
    )
    assert pairs(graph, "has") == {("a", "x"), ("a", "y"), ("c", "x")}
    assert graph.num_edges("has") == 3  # the repeated tag is one edge


def test_saved_and_reopened_is_the_same(tmp_path: Path) -> None:
    graph = build(PLAN, {"ratings": RATINGS, "items": ITEMS}, out=tmp_path / "g")
    assert graph.folder == tmp_path / "g"
    assert graph.fingerprint == made().fingerprint
    assert pairs(graph, "rates") == pairs(made(), "rates")


def test_plan_errors_come_all_at_once() -> None:
    wrong = {
        "nodes": {"user": {}, "item": {}},
        "edges": {
            "a": {"table": "t", "source": "usr.u", "target": "item"},
            "b": {"table": "t", "source": "user.u", "target": "item.i", "split": ",", "bins": [1]},
        },
    }
    with pytest.raises(ConfigErrors) as caught:
        build(wrong, {"t": {"u": ["x"], "i": ["y"]}})
    text = str(caught.value)
    assert "edges.a.source" in text
    assert "did you mean 'user'" in text
    assert "edges.a.target: expected type.column" in text
    assert "edges.b: expected one way to make targets" in text


def test_misspelt_options_are_guessed_at_any_depth() -> None:
    rates = PLAN["edges"]["rates"] | {"wieght": "stars"}
    with pytest.raises(GraphRecError, match=r"'edges\.rates\.wieght'; did you mean 'weight'"):
        build(PLAN | {"edges": {"rates": rates}}, {"ratings": RATINGS})


def test_two_relations_of_one_name() -> None:
    edges = PLAN["edges"] | {"rev_rates": PLAN["edges"]["has_tag"]}
    with pytest.raises(GraphRecError, match=r"edges\.rev_rates: expected a name of its own"):
        build(PLAN | {"edges": edges}, {"ratings": RATINGS, "items": ITEMS})
