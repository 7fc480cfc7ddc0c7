"""The checkerboard: a tiny graph with one right recommendation per user, for smoke tests."""

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.graph.graph import Graph


def checkerboard(n: int = 50) -> Graph:
    """Return the graph in which user *u* likes item *i* when both are even or both odd.

    The diagonal has no edges: the right recommendation to user *u* is item *u*, the only item of
    the same parity without an edge to *u*. Histories run *u* + 2, *u* + 4, … modulo `n`, so that
    item *u* is also the next item. Raw ids are the numbers.

    Args:
        n: Users, and items; even, at least 6.
    """
    if n < 6 or n % 2:
        raise GraphRecError("checkerboard", "an even number, at least 6", n)
    user = np.repeat(np.arange(n), n // 2 - 1)
    step = np.tile(np.arange(1, n // 2), n)
    table = pl.DataFrame({"user": user, "item": (user + 2 * step) % n, "step": step})
    likes = EdgePlan(
        table="likes",
        source="user.user",
        target="item.item",
        time="step",
        inverse="liked_by",
        interaction=True,
    )
    nodes = {"user": NodePlan(), "item": NodePlan()}
    return build(Plan(nodes=nodes, edges={"likes": likes}, time_unit="ordinal"), {"likes": table})
