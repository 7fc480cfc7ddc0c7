from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import checkerboard, synthetic_graph, synthetic_tables

GOLDEN = [
    ("u0", "i6", 4.0, 1632532946),
    ("u0", "i4", 4.0, 1632602224),
    ("u0", "i2", 5.0, 1632606959),
    ("u1", "i3", 3.0, 1620739493),
]


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return synthetic_tables(2000, 800, 60_000, attributes=5, repeats=True, key=Key(3))[1]


@pytest.fixture(scope="module")
def known(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Interactions with the truth about their ends."""
    return (
        tables["interactions"]
        .join(tables["users"].select(user="id", home="cluster"), on="user", maintain_order="left")
        .join(tables["items"].select(item="id", kind="cluster"), on="item", maintain_order="left")
    )


def test_the_numbers_asked_for(tables: dict[str, pl.DataFrame]) -> None:
    assert {name: len(table) for name, table in tables.items()} == {
        "users": 2000,
        "items": 800,
        "interactions": 60_000,
    }
    assert tables["items"].columns == [
        *("id", "title", "year", "category", "department"),
        *("brand", "style", "material", "attribute_5", "cluster"),
    ]
    assert tables["interactions"]["user"].n_unique() == 2000
    assert tables["users"]["id"].n_unique() == 2000


def test_the_key_decides_alone() -> None:
    def drawn(seed: int, epoch: int = 0) -> list[pl.DataFrame]:
        return list(synthetic_tables(50, 40, 400, key=Key(seed, epoch))[1].values())

    assert all(a.equals(b) for a, b in zip(drawn(1), drawn(1), strict=True))
    for other in (drawn(2), drawn(1, epoch=1)):
        assert not any(a.equals(b) for a, b in zip(drawn(1), other, strict=True))


def test_golden_rows() -> None:
    """The same arguments give the same tables from version to version."""
    rows = synthetic_tables(5, 8, 15, clusters=2, repeats=True, key=Key(7))[1]["interactions"]
    assert rows.head(4).rows() == GOLDEN


def test_users_prefer_their_cluster(known: pl.DataFrame) -> None:
    # 0.85 at home + 0.15 · 1/8 elsewhere; runs keep the cluster of the draw that started them.
    assert abs((known["home"] == known["kind"]).mean() - 0.869) < 0.015
    assert known.filter(pl.col("home") == pl.col("kind"))["rating"].mean() > (
        known.filter(pl.col("home") != pl.col("kind"))["rating"].mean() + 1.5
    )
    assert set(known["rating"]) == {1, 2, 3, 4, 5}


def test_times_ascend_in_every_history(tables: dict[str, pl.DataFrame]) -> None:
    gaps = tables["interactions"].select(gap=pl.col("time").diff().over("user"))["gap"].drop_nulls()
    assert gaps.min() >= 1
    assert abs(gaps.mean() / 86_400 - 1) < 0.03  # a day on average


def test_items_have_successors(known: pl.DataFrame) -> None:
    steps = known.select("item", after=pl.col("item").shift(-1).over("user")).drop_nulls()
    best = steps.group_by("item").agg(
        share=(pl.col("after") == pl.col("after").mode().first()).mean(), n=pl.len()
    )
    often = best.filter(pl.col("n") >= 50)
    assert len(often) > 100
    # The successor is next in 40 % of the steps, and by popularity sometimes besides.
    assert 0.37 < np.average(often["share"], weights=often["n"]) < 0.5


def test_degrees_follow_a_power_law(tables: dict[str, pl.DataFrame]) -> None:
    of_users = tables["interactions"]["user"].value_counts()["count"].sort().to_numpy()
    assert of_users[0] >= 3
    assert of_users[-1] > 10 * np.median(of_users)
    of_items = np.sort(tables["interactions"]["item"].value_counts()["count"].to_numpy())[::-1]
    assert of_items[:80].sum() > 0.25 * of_items.sum()  # a tenth of the items


@pytest.mark.parametrize("column", ["category", "brand", "style", "material", "attribute_5"])
def test_attributes_tell_the_cluster(tables: dict[str, pl.DataFrame], column: str) -> None:
    items = tables["items"]
    purity = items.group_by(column).agg(
        top=(pl.col("cluster") == pl.col("cluster").mode().first()).mean(), n=pl.len()
    )
    share = np.average(purity["top"], weights=purity["n"])
    assert 0.75 < share < 0.97  # chance: about a fifth


def test_titles_tell_the_cluster(tables: dict[str, pl.DataFrame]) -> None:
    words = tables["items"].select("cluster", word=pl.col("title").str.split(" ")).explode("word")
    pairs = Counter(words.iter_rows())
    own: dict[str, int] = {}
    for (_, word), n in pairs.items():
        own[word] = max(own.get(word, 0), n)
    assert sum(own.values()) / len(words) > 0.75


def test_raw_ids_tell_nothing(tables: dict[str, pl.DataFrame]) -> None:
    number = tables["items"]["id"].str.slice(1).cast(pl.Int64)
    count = tables["interactions"]["item"].value_counts()
    joined = tables["items"].select(item="id").with_columns(n=number).join(count, on="item")
    for column in ("count",):
        assert abs(np.corrcoef(joined["n"], joined[column])[0, 1]) < 0.12
    assert abs(np.corrcoef(number, tables["items"]["cluster"])[0, 1]) < 0.12


def test_the_graph_holds_the_tables() -> None:
    plan, tables = synthetic_tables(60, 40, 600, key=Key(1))
    graph = synthetic_graph(60, 40, 600, key=Key(1))
    assert graph.num_edges("rates") == len(tables["interactions"]) < 600
    assert graph.num_edges("rated_by") == graph.num_edges("rates")
    assert graph.schema.interaction().name == "rates"
    assert set(plan.edges) == {r.name for r in graph.schema.relations if not r.backward}
    assert graph.num_edges("part_of") == graph.num_nodes("category")
    assert graph.title(graph.node_id("item", "i3")) == tables["items"]["title"][3]
    assert "cluster" not in graph.tables["item"].columns
    pairs = graph.edges("rates")
    assert len(set(zip(pairs.source.tolist(), pairs.target.tolist(), strict=True))) == len(
        pairs.source
    )


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((10, 5, 100, 8), "1 <= clusters <= 5 items, got 8"),
        ((10, 50, 29, 8), "3 interactions a user, got 29 for 10"),
        ((0, 50, 29, 8), "3 interactions a user"),
    ],
)
def test_impossible_numbers_are_told(numbers: tuple[int, int, int, int], message: str) -> None:
    users, items, interactions, clusters = numbers
    with pytest.raises(GraphRecError, match=message):
        synthetic_tables(users, items, interactions, clusters=clusters)


@pytest.mark.parametrize("n", [6, 20])
def test_checkerboard(n: int) -> None:
    board = checkerboard(n)
    edges = board.edges("likes")
    liked = {
        (int(board.raw_id(u)), int(board.raw_id(i)))
        for u, i in zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    }
    assert liked == {(u, i) for u in range(n) for i in range(n) if (u - i) % 2 == 0 and u != i}
    assert len(edges.source) == len(liked)
    for user in range(n):  # the withheld item is what comes next
        last = board.neighbors(board.node_id("user", str(user)), "likes")[-1]
        assert (int(board.raw_id(int(last))) + 2) % n == user
    assert torch.equal(board.degree("liked_by"), torch.full((n,), n // 2 - 1))


@pytest.mark.parametrize("n", [4, 7])
def test_a_board_needs_an_even_side(n: int) -> None:
    with pytest.raises(GraphRecError, match="even number"):
        checkerboard(n)
