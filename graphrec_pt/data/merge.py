"""Duplicate edges: kept, merged, or refused."""

from dataclasses import replace

import numpy as np

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.plan import Duplicates
from graphrec_pt.graph.assemble import EdgeList
from graphrec_pt.kernels.fill import order


def merge_duplicates(name: str, listed: EdgeList, how: Duplicates) -> EdgeList:
    """Merge edges with equal ends.

    Args:
        name: The relation, for errors.
        listed: Its edges.
        how: ``keep`` them all; keep the ``first`` or ``last`` in time; ``sum`` the weights (or
            count, where there are none) into the first; ``error``.

    Raises:
        GraphRecError: When there are duplicates and `how` is ``error``.
    """
    if how == "keep" or not len(listed.source):
        return listed
    keys = [listed.source, listed.target, *([] if listed.time is None else [listed.time])]
    rows = order(*keys)
    source, target = listed.source[rows], listed.target[rows]
    starts = np.ones(len(rows), bool)
    starts[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    if starts.all() and (how != "sum" or listed.weight is not None):
        return listed
    if how == "error" and not starts.all():
        raise GraphRecError(
            f"edges.{name}",
            "no duplicate edges",
            f"{int((~starts).sum()):,}",
            "`duplicates: first`, `last`, `sum` or `keep`",
        )
    places = np.flatnonzero(starts)
    if how == "last":
        return listed.take(rows[np.append(places[1:], len(rows)) - 1])
    merged = listed.take(rows[places])
    if how == "sum":
        weight = np.ones(len(rows), np.float32) if listed.weight is None else listed.weight[rows]
        merged = replace(merged, weight=np.add.reduceat(weight, places).astype(np.float32))
    return merged
