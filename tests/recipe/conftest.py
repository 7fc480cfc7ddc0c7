"""An invented shop as raw files in the layouts of two real data sets, so that recipes run on it."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from graphrec_pt import Key
from graphrec_pt.graph.synthetic import synthetic_tables
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.recipe import Recipe

SMALL = (
    "model.backbone.width=16",
    "model.backbone.layers=1",
    "options.cpu=true",
)
"""Overrides that make a recipe small enough for a test."""
FEW = "evaluate.baselines=[popularity, markov]"
"""And one that rankings have."""


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of Amazon Beauty, of Amazon reviews and of MovieLens 100K, with invented content."""
    folder = tmp_path_factory.mktemp("raw")
    _, tables = synthetic_tables(60, 40, 700, clusters=4, key=Key(1))
    rows = tables["interactions"].select(
        pl.col("user").str.slice(1).cast(pl.Int64) + 1,
        pl.col("item").str.slice(1).cast(pl.Int64) + 1,
        "rating",
        "time",
    )
    histories = rows.group_by("user", maintain_order=True).agg("item")
    lines = [" ".join(map(str, [user, *items])) for user, items in histories.iter_rows()]
    (folder / "Beauty.txt").write_text("\n".join(lines) + "\n")
    items = tables["items"]
    names = sorted({*items["category"], *items["brand"]})
    numbers = {
        str(row + 1): [names.index(category) + 1, names.index(brand) + 1]
        for row, (category, brand) in enumerate(items.select("category", "brand").iter_rows())
    }
    (folder / "Beauty_item2attributes.json").write_text(json.dumps(numbers))
    rows.with_columns(pl.col("rating").cast(pl.Int64)).write_csv(
        folder / "u.data", separator="\t", include_header=False
    )
    words = ["awful", "poor", "plain", "nice", "great"]  # as many stars
    with (folder / "reviews_Shop_5.json").open("w") as file:
        for user, item, rating, time in rows.iter_rows():
            text = f"a {words[int(rating) - 1]} thing of kind {item % 4}"
            told = {"reviewerID": f"u{user}", "asin": f"i{item}", "overall": rating}
            told |= {"unixReviewTime": time, "reviewText": text, "summary": text[:8]}
            file.write(json.dumps(told) + "\n")
    with (folder / "u.user").open("w") as file:
        for user in range(1, 61):
            file.write(f"{user}|{20 + user % 40}|{'MF'[user % 2]}|work{user % 5}|{10000 + user}\n")
    with (folder / "u.item").open("w") as file:
        for item in range(1, 41):
            flags = "|".join("1" if genre == item % 19 else "0" for genre in range(19))
            file.write(f"{item}|Film {item}|01-Jan-19{80 + item % 20}||http://x|{flags}\n")
    return folder


@pytest.fixture(scope="session")
def small() -> Any:
    """Return a shipped recipe made small, with further overrides."""

    def make(name: str, *overrides: str) -> Recipe:
        ranks = load_recipe(name).evaluate.asked.outcome == "Ranks"
        return load_recipe(name, [*SMALL, *([FEW] if ranks else []), *overrides])

    return make
