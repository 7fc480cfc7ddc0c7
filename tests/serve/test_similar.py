"""Items like an item: against the slow definition, and as a table."""

from math import sqrt
from pathlib import Path

import polars as pl
import pytest
import torch

from graphrec_pt import GraphRecError, Recommender, from_pretrained
from graphrec_pt.recipe.folder import Run
from graphrec_pt.serve.similar import SimilarItems


@pytest.fixture(scope="module")
def recommender(shop_run: Run) -> Recommender:
    return from_pretrained(shop_run)


def sets_of_users(recommender: Recommender) -> dict[str, set[int]]:
    graph = recommender.history
    return {
        graph.raw_id(node): set(graph.neighbors(node, "bought_by").tolist())
        for node in recommender.items
    }


def test_together_is_the_cosine_of_the_users(recommender: Recommender) -> None:
    users = sets_of_users(recommender)
    for item in list(users)[:5]:
        found = SimilarItems(recommender, "together").of(item, k=29)
        expected = {
            other: len(users[item] & theirs) / sqrt(len(users[item]) * len(theirs))
            for other, theirs in users.items()
            if other != item and users[item] & theirs
        }
        assert {like.id: like.score for like in found} == pytest.approx(expected, rel=1e-5)
        scores = [like.score for like in found]
        assert scores == sorted(scores, reverse=True)


def test_vectors_are_those_of_the_model(recommender: Recommender) -> None:
    model, start = recommender.predictor.model, recommender.items.start
    with torch.no_grad():
        table = model.table("item").double()
    graph = recommender.history
    for item in ("i0", "i7"):
        at = graph.node_id("item", item) - start
        cosine = torch.nn.functional.cosine_similarity(table[at].unsqueeze(0), table)
        cosine[at] = -2
        best = [graph.raw_id(start + int(n)) for n in cosine.argsort(descending=True)[:4]]
        assert [like.id for like in SimilarItems(recommender, "vectors").of(item, 4)] == best


def test_both_fuses_the_ranks(recommender: Recommender) -> None:
    lists = [SimilarItems(recommender, by).of("i3", 29) for by in ("vectors", "together")]  # type: ignore[arg-type]
    fused: dict[str, float] = {}
    for ranked in lists:
        for rank, like in enumerate(ranked, start=1):
            fused[like.id] = fused.get(like.id, 0) + 1 / (60 + rank)
    found = SimilarItems(recommender).of("i3", 5)
    assert [like.score for like in found] == pytest.approx(sorted(fused.values())[::-1][:5])
    assert {like.id: like.score for like in found} == pytest.approx(
        {like.id: fused[like.id] for like in found}
    )


def test_a_table_of_all(recommender: Recommender, tmp_path: Path) -> None:
    similar = SimilarItems(recommender)
    assert similar.table(tmp_path / "s.parquet", 3, only=["price<20"]) == 30
    rows = pl.read_parquet(tmp_path / "s.parquet")
    one = rows.filter(item="i3")
    assert one["rank"].to_list() == [1, 2, 3]
    assert one["similar"].to_list() == [like.id for like in similar.of("i3", 3, only=["price<20"])]
    prices = dict(recommender.history.tables["item"].select("id", "price").iter_rows())
    assert all(prices[item] < 20 for item in rows["similar"])


def test_mistakes_are_told(recommender: Recommender) -> None:
    with pytest.raises(GraphRecError, match="vectors, together or both"):
        SimilarItems(recommender, "colour")  # type: ignore[arg-type]
    with pytest.raises(GraphRecError, match="a known item id, got 'x'"):
        SimilarItems(recommender).of("x")
    with pytest.raises(GraphRecError, match="1 <= k < 30"):
        SimilarItems(recommender).of("i3", 30)
