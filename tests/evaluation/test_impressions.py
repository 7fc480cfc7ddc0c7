"""Outcomes of lists are saved, read again and checked."""

from pathlib import Path

import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.impressions import Impressions, read_impressions
from graphrec_pt.evaluation.outcome import write_outcomes


def outcome(lists: list[tuple[str, str, list[float], list[float]]]) -> Impressions:
    rows = [
        ("test", user, name, f"i{at}", label, score)
        for user, name, labels, scores in lists
        for at, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]
    columns = ["split", "user", "impression", "item", "value", "predicted"]
    return Impressions(pl.DataFrame(rows, schema=columns, orient="row"), {"history": "train"})


def test_outcomes_are_saved_and_checked(tmp_path: Path) -> None:
    made = outcome([("ann", "a", [1.0, 0.0], [0.9, 0.1])])
    write_outcomes(tmp_path / "x.parquet", [made])
    assert read_impressions(tmp_path / "x.parquet")["test"].table.equals(made.table)
    with pytest.raises(GraphRecError, match="labels 0 and 1"):
        outcome([("ann", "a", [2.0], [0.9])])
    with pytest.raises(GraphRecError, match="finite"):
        outcome([("ann", "a", [1.0], [float("nan")])])
