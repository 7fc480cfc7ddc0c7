"""Everybody's recommendations in one file: the same lists, filtered, and resumable."""

from pathlib import Path

import polars as pl
import pytest

from graphrec_pt import GraphRecError, Recommender, from_pretrained
from graphrec_pt.recipe.folder import Run
from graphrec_pt.serve import batch
from graphrec_pt.serve.batch import read_exclusions, read_users, recommend_file


@pytest.fixture(scope="module")
def recommender(shop_run: Run) -> Recommender:
    return from_pretrained(shop_run)


def lists(path: Path) -> dict[str, list[str]]:
    rows = pl.read_parquet(path).group_by("user", maintain_order=True).agg("item", "rank")
    assert all(ranks == list(range(1, len(ranks) + 1)) for ranks in rows["rank"].to_list())
    return dict(rows.select("user", "item").iter_rows())


def test_everybody_gets_the_list_of_recommend(recommender: Recommender, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    count = recommend_file(recommender, out, k=5, block=7)
    users = recommender.history.tables["user"]["id"].to_list()
    assert count == len(users)
    expected = {
        given.user: [item.id for item in given.items] for given in recommender.recommend(users, 5)
    }
    assert lists(out) == expected
    assert list(lists(out)) == users
    assert not out.with_name("all.parquet.parts").exists()


def test_a_stranger_gets_what_is_popular(recommender: Recommender, tmp_path: Path) -> None:
    out = tmp_path / "some.parquet"
    recommend_file(recommender, out, ["u1", "nobody", "u2"], k=3)
    rows = pl.read_parquet(out)
    assert rows["user"].to_list() == ["u1"] * 3 + ["nobody"] * 3 + ["u2"] * 3
    assert dict(rows.select("user", "by").iter_rows())["nobody"] == "popularity"
    items, _ = recommender.most_popular
    best = [recommender.history.raw_id(int(node)) for node in items[:3]]
    assert lists(out)["nobody"] == best


def test_filters_and_exclusions(recommender: Recommender, tmp_path: Path) -> None:
    graph, out = recommender.history, tmp_path / "a.parquet"
    brand = graph.tables["brand"]["id"][0]
    plain = lists(_written(recommender, out))["u1"]
    recommend_file(
        recommender,
        out,
        ["u1", "u2", "nobody"],
        5,
        only=[f"brand={brand}", "price<20"],
        exclude=[plain[0]],
        excluded={"u2": [plain[1]]},
    )
    made = lists(out)
    prices = dict(graph.tables["item"].select("id", "price").iter_rows())
    for user, items in made.items():
        for item in items:
            node = graph.node_id("item", item)
            assert graph.raw_id(int(graph.neighbors(node, "made_by")[0])) == brand
            assert prices[item] < 20
            assert item != plain[0]
            assert (user, item) != ("u2", plain[1])


def _written(recommender: Recommender, out: Path) -> Path:
    recommend_file(recommender, out, ["u1"], 5)
    return out


def test_paths_stand_beside_the_items(recommender: Recommender, tmp_path: Path) -> None:
    out = tmp_path / "why.parquet"
    recommend_file(recommender, out, ["u1", "u2"], 4, explain=True)
    rows = pl.read_parquet(out)
    assert rows["because"].drop_nulls().str.contains("u1|u2").all()
    assert rows["because"].null_count() < len(rows)


def test_a_killed_job_goes_on(
    recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole, calls = tmp_path / "a.parquet", tmp_path / "b.parquet", []
    rows = batch._rows

    def dying(*given: object) -> pl.DataFrame:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return rows(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "_rows", dying)
    with pytest.raises(KeyboardInterrupt):
        recommend_file(recommender, out, k=5, block=9)
    assert not out.exists()
    with pytest.raises(GraphRecError, match="an interrupted job with other k"):
        recommend_file(recommender, out, k=6, block=9)
    recommend_file(recommender, out, k=5, block=9)
    assert len(calls) == 3 + 3  # 40 users are five blocks, two of which were there
    monkeypatch.undo()
    recommend_file(recommender, whole, k=5)
    assert pl.read_parquet(out).equals(pl.read_parquet(whole))


def test_files_of_users_and_exclusions(tmp_path: Path) -> None:
    (tmp_path / "u.txt").write_text("u1\n\nu2\nu1\n")
    (tmp_path / "u.csv").write_text("age,user\n3,u5\n4,007\n")
    pl.DataFrame({"user": ["u1", "u1", "u2"], "item": ["a", "b", "c"]}).write_parquet(
        tmp_path / "x.parquet"
    )
    assert read_users(tmp_path / "u.txt") == ["u1", "u2"]
    assert read_users(tmp_path / "u.csv") == ["u5", "007"]
    assert read_exclusions(tmp_path / "x.parquet") == ([], {"u1": ["a", "b"], "u2": ["c"]})
    assert read_exclusions(tmp_path / "u.txt") == (["u1", "u2", "u1"], {})
    with pytest.raises(GraphRecError, match="a readable file of ids"):
        read_users(tmp_path / "none.csv")


def test_users_must_differ(recommender: Recommender, tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="each user once, got 'u1'"):
        recommend_file(recommender, tmp_path / "a.parquet", ["u1", "u2", "u1"])
    with pytest.raises(GraphRecError, match="at least one user"):
        recommend_file(recommender, tmp_path / "a.parquet", [])


@pytest.mark.parametrize(
    ("only", "told"),
    [
        ("brnd=A", "did you mean 'brand'"),
        ("brand=nothing", "expected a brand, got 'nothing'"),
        ("brand", "NAME=VALUE"),
        ("price<cheap", "a number after <"),
        ("brand<3", "= or != for nodes"),
        ("price<-1", "filters that some item passes"),
    ],
)
def test_wrong_filters_are_told(recommender: Recommender, only: str, told: str) -> None:
    with pytest.raises(GraphRecError, match=told):
        recommender.recommend(["u1"], 3, only=[only])
