"""Ranks on disk, and tables that are none."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.outcome import write_outcomes
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.evaluation.ranks import COLUMNS, Ranks, read_ranks
from graphrec_pt.graph.split import Split


def test_ranks_come_back_from_disk(tmp_path: Path, shop: Split, random_scores: Any) -> None:
    table = random_scores(shop, levels=3)
    made = [rank_targets(table, shop, when) for when in ("valid", "test")]
    made = [Ranks(each.table, {"seen": "mask"}) for each in made]
    write_outcomes(tmp_path / "ranks.parquet", made)
    assert pl.read_parquet(tmp_path / "ranks.parquet").columns == list(COLUMNS)
    back = read_ranks(tmp_path / "ranks.parquet")
    assert list(back) == ["valid", "test"]
    for before, after in zip(made, back.values(), strict=True):
        assert after.table.equals(before.table)
        assert after.policy == {"seen": "mask"}
        assert evaluate(after, ("ndcg@10",)) == evaluate(before, ("ndcg@10",))


def test_raw_ids_are_those_of_the_files(corner: Split, random_scores: Any) -> None:
    table = rank_targets(random_scores(corner), corner).table
    assert set(table["user"]) == {"ann", "bob", "cat"}
    assert set(table["item"]) == {"b", "c", "d", "f"}
    assert set(table["split"]) == {"test"}


def rows(*found: tuple[str, str, str, float, int]) -> pl.DataFrame:
    return pl.DataFrame(list(found), schema=list(COLUMNS), orient="row")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows(("test", "a", "x", 0.5, 3)), "ranks in"),
        (rows(("test", "a", "x", 4.0, 3)), "ranks in"),
        (rows(("test", "a", "x", float("nan"), 3)), "ranks in"),
        (rows(("test", "a", "x", 1.0, 3), ("test", "a", "x", 2.0, 3)), "once"),
        (rows(("test", "a", "x", 1.0, 3), ("valid", "a", "y", 2.0, 3)), "one split"),
        (rows(("test", "a", "x", 1.0, 3)).drop("candidates"), "the columns"),
    ],
)
def test_wrong_tables(table: pl.DataFrame, message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        Ranks(table)


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="a Parquet file with the columns"):
        read_ranks(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("rank")
    with pytest.raises(GraphRecError, match="a Parquet file with the columns"):
        read_ranks(tmp_path / "text.parquet")
    pl.DataFrame({"rank": [1.0]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(GraphRecError, match="the columns split"):
        read_ranks(tmp_path / "other.parquet")


def test_one_file_has_one_policy(tmp_path: Path) -> None:
    table = rows(("test", "a", "x", 1.0, 3))
    with pytest.raises(GraphRecError, match="one policy"):
        write_outcomes(
            tmp_path / "r", [Ranks(table, {"seen": "mask"}), Ranks(table, {"seen": "keep"})]
        )
    with pytest.raises(GraphRecError, match="one policy"):
        write_outcomes(tmp_path / "r", [])
