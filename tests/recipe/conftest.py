"""An invented shop as raw files in the layouts of two real data sets, so that recipes run on it."""

import json
from pathlib import Path
from shutil import copyfile
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
    "evaluate.baselines=[popularity, markov]",
    "options.cpu=true",
)
"""Overrides that make a recipe small enough for a test."""


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of Amazon Beauty, Yelp and two of MovieLens, with invented content."""
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
    for part in (".txt", "_item2attributes.json"):
        copyfile(folder / f"Beauty{part}", folder / f"Yelp{part}")
    rows.with_columns(pl.col("rating").cast(pl.Int64)).write_csv(
        folder / "u.data", separator="\t", include_header=False
    )
    with (folder / "u.user").open("w") as file:
        for user in range(1, 61):
            file.write(f"{user}|{20 + user % 40}|{'MF'[user % 2]}|work{user % 5}|{10000 + user}\n")
    with (folder / "u.item").open("w") as file:
        for item in range(1, 41):
            flags = "|".join("1" if genre == item % 19 else "0" for genre in range(19))
            file.write(f"{item}|Film {item}|01-Jan-19{80 + item % 20}||http://x|{flags}\n")
    write_movielens_kg(folder, rows)
    return folder


def write_movielens_kg(folder: Path, rows: pl.DataFrame) -> None:
    """Write the files of MovieLens 1M with its graph: 60 users, 40 films, 12 people of DBpedia."""
    (folder / "mapping").mkdir()
    place = rows.select(
        "user", "item", one=pl.lit(1), time="time", part=pl.col("user").cum_count().over("user")
    ).with_columns(
        part=(pl.col("part") * 5 - 1) // pl.len().over("user")  # fifths of each history
    )
    for name, fifths in (("train", (0, 1, 2)), ("valid", (3,)), ("test", (4,))):
        kept = place.filter(pl.col("part").is_in(fifths)).drop("part")
        kept.write_csv(folder / f"mapping/{name}.txt", separator="\t", include_header=False)

    def table(name: str, head: str, lines: list[str]) -> None:
        text = "\n".join([head, *lines]).replace(" ", "\t")
        (folder / name).write_text(text + "\n")

    table("mapping/user.txt", "new_id uid", [f"{n} {n + 100}" for n in range(1, 61)])
    table("mapping/product.txt", "new_id pid", [f"{n} {n + 200}" for n in range(1, 41)])
    table("users.txt", "uid gender age", [f"{n + 100} {'MF'[n % 2]} young" for n in range(1, 61)])
    films = [f"{n + 200} Film{n} {'Drama|Comedy' if n % 3 else 'War'}" for n in range(1, 41)]
    table("products.txt", "pid name genre", films)
    table("i2kg_map.txt", "eid pid name", [f"{n} {n + 200} Film{n}" for n in range(1, 41)])
    table("e_map.txt", "eid name", [f"{n} Name{n}" for n in range(1, 53)])
    triples = [f"{n} {n % 11} {41 + n % 12}" for n in range(1, 41)]
    table("kg_final.txt", "entity_head relation entity_tail", triples)


@pytest.fixture(scope="session")
def small() -> Any:
    """Return a shipped recipe made small, with further overrides."""

    def make(name: str, *overrides: str) -> Recipe:
        return load_recipe(name, [*SMALL, *overrides])

    return make
