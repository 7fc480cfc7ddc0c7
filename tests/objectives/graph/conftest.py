"""A world of two colours, and sequences written by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.graph.build import build
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.objectives.objective import Examples
from graphrec_pt.tokens.tokens import Tokens


@pytest.fixture(scope="session")
def colors() -> Graph:
    """Sixteen users rate the eight of sixteen items that are of their colour and view the others.

       A colour is even or odd, that of a raw id.
    Columns of items tell it: `genre` even or odd, `year` 1990 or 2010, `look` (1, 2) or
       (−1, 2).
    """
    user, item = (side.ravel() for side in np.indices((16, 16)))
    own = (user - item) % 2 == 0
    odd = np.arange(16) % 2
    tables = {
        "rated": pl.DataFrame({"user": user[own], "item": item[own]}),
        "viewed": pl.DataFrame({"user": user[~own], "item": item[~own]}),
        "items": pl.DataFrame(
            {
                "id": np.arange(16),
                "genre": np.array(["even", "odd"])[odd],
                "year": 1990 + 20 * odd,
                "look": pl.Series([[1.0 - 2 * o, 2.0] for o in odd], dtype=pl.Array(pl.Float32, 2)),
            }
        ),
    }

    def edge(table: str, inverse: str) -> EdgePlan:
        ends = {"source": "user.user", "target": "item.item"}
        return EdgePlan(table=table, inverse=inverse, interaction=table == "rated", **ends)

    columns: dict[str, Any] = {"genre": "category", "year": "number", "look": "vector"}
    nodes = {"user": NodePlan(), "item": NodePlan(table="items", id="id", columns=columns)}
    edges = {"rates": edge("rated", "rated_by"), "views": edge("viewed", "viewed_by")}
    return build(Plan(nodes=nodes, edges=edges), tables)


@pytest.fixture(scope="session")
def retold() -> Callable[[Examples, Tokens], Examples]:
    """Give a function that returns examples with other tokens."""
    return lambda examples, tokens: replace(examples, tokens=tokens)


@pytest.fixture(scope="session")
def whole(making: Any, shop: Graph) -> Callable[..., Examples]:
    """Give a function from a sampler and a linearizer to examples of the shop's users or pairs."""

    def made(sampler: Any, linearizer: Any = "subgraph", *, pairs: bool = False) -> Examples:
        roots = torch.arange(16)
        if pairs:
            roots = torch.cartesian_prod(roots, 16 + torch.tensor([0, 3, 7, 11]))
        preparation = making.prepared(shop, sampler, linearizer, roots)
        found: Examples = making.examples(preparation, torch.arange(len(roots)))
        return found

    return made
