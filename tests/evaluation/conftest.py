"""Small worlds to evaluate on.

The corner shop, by hand: users ann, bob, cat; items a to f. Split by column, in time order::

    ann  train a b     valid c   test d
    bob  train b c d   valid e   test b f     (b is a repeat)
    cat  train a       valid b   test c d
"""

from collections.abc import Callable, Sequence

import polars as pl
import pytest
import torch
from torch import Tensor

from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, split

CORNER = {
    "ann": "a b | c | d",
    "bob": "b c d | e | b f",
    "cat": "a | b | c d",
}
World = Callable[..., Graph]


def world_of(
    rows: Sequence[tuple[str, str, int, str]], items: str = "", seed: int | None = 0
) -> Graph:
    """Build a graph of (user, item, time, split) rows; `items` names further items."""
    schema = {"user": pl.String, "item": pl.String, "time": pl.Int64, "split": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    buys = EdgePlan(
        table="buys",
        source="user.user",
        target="item.item",
        time="time",
        columns={"split": "category"},
        inverse="bought_by",
        interaction=True,
        duplicates="keep",
    )
    known = sorted({*table["item"], *items.split()})
    nodes = {"user": NodePlan(), "item": NodePlan(table="items", id="item")}
    tables = {"buys": table, "items": pl.DataFrame({"item": known})}
    plan = Plan(nodes=nodes, edges={"buys": buys}, time_unit="ordinal")
    return build(plan, tables, seed=seed)


@pytest.fixture(scope="session")
def world() -> World:
    return world_of


@pytest.fixture(scope="session")
def corner() -> Split:
    rows = [
        (user, item, time, part)
        for user, line in CORNER.items()
        for time, (part, item) in enumerate(
            (part, item)
            for part, items in zip(("train", "valid", "test"), line.split("|"), strict=True)
            for item in items.split()
        )
    ]
    return split(world_of(rows), "fixed")


@pytest.fixture(scope="session")
def shop() -> Split:
    """An invented shop with repeats, a fifth of each history to test."""
    graph = synthetic_graph(120, 80, 2400, repeats=True)
    return split(graph, "ratio")


class Table:
    """Scores written down: one row per source, one column per candidate.

    Args:
        start: Global id of the first source.
        table: ``[sources, V]``.
    """

    def __init__(self, start: int, table: Tensor) -> None:
        self.start, self.table = start, table

    def scores(self, nodes: Tensor) -> Tensor:
        return self.table[nodes - self.start]


@pytest.fixture(scope="session")
def scored() -> Callable[..., Table]:
    """Scores by raw ids, 0 where nothing is said: ``{"ann": {"a": 3.0}}``."""

    def make(split: Split, said: dict[str, dict[str, float]]) -> Table:
        graph = split.graph
        users, items = graph.nodes("user"), graph.nodes("item")
        table = torch.zeros(len(users), len(items))
        for user, row in said.items():
            for item, score in row.items():
                at = graph.node_id("user", user) - users.start
                table[at, graph.node_id("item", item) - items.start] = score
        return Table(users.start, table)

    return make


@pytest.fixture(scope="session")
def random_scores() -> Callable[..., Table]:
    """Random scores; `levels` makes ties."""

    def make(split: Split, seed: int = 0, levels: int | None = None) -> Table:
        users, items = (split.graph.nodes(kind) for kind in ("user", "item"))
        draw = torch.Generator().manual_seed(seed)
        table = torch.randn(len(users), len(items), generator=draw)
        return Table(users.start, table if levels is None else (table * levels).round())

    return make
