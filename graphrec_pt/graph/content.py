"""Content features of nodes: their attributes and the words of their texts, no interactions."""

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import coo_array, csr_array, diags_array

from graphrec_pt.core.hashing import bucket_of, words_of
from graphrec_pt.graph.graph import RAW_ID, Graph

Ints = npt.NDArray[np.int64]
BUCKETS = 2**14
"""Numbers that features are hashed to."""
COMMON = 2
"""Least number of nodes that must share a feature; rarer features are left out."""


def content_features(graph: Graph, node_type: str, buckets: int = BUCKETS) -> csr_array:
    """Return the features of the nodes of a type, weighted by rarity, each row of length 1.

    Features are the nodes that relations lead to (other than interactions, derived relations and
    relations to who interacts or to events), the values of category columns and the words of text
    columns. ``x_f ∝ log(n / n_f)`` for a feature
    that ``n_f ≥ 2`` of n nodes have. A feature's number depends on its name alone, so that it means
    the same on another graph.

    Args:
        graph: The graph that holds the nodes.
        node_type: Node type whose features are returned.
        buckets: F, the number of hash buckets.

    Returns:
        float64 ``[n, F]``; the row of a node without features is empty.
    """
    size = graph.num_nodes(node_type)
    rows, names = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    schema = graph.schema
    who = {r.source for r in schema.interactions} | {r.event for r in schema.relations}
    for relation in schema.leaving(node_type):
        if relation.interaction or relation.derived or relation.target in {*who, node_type}:
            continue
        edges = graph.edges(relation.name)
        first = graph.nodes(relation.target).start
        number = _numbers(graph.tables[relation.target][RAW_ID], relation.target, buckets)
        rows.append((edges.source - graph.nodes(node_type).start).numpy())
        names.append(number[(edges.target - first).numpy()])
    for column, kind in schema.node(node_type).columns.items():
        if kind in ("text", "category"):
            row, number = _words(graph.tables[node_type][column], column, kind == "text", buckets)
            rows.append(row)
            names.append(number)
    row, name = np.concatenate(rows), np.concatenate(names)
    have = coo_array((np.ones(len(row)), (row, name)), shape=(size, buckets)).tocsr()
    have.data[:] = 1.0
    count = np.bincount(have.indices, minlength=buckets)
    rarity = np.where(count >= COMMON, np.log(max(size, 1) / np.maximum(count, 1)), 0.0)
    weighted = csr_array(have @ diags_array(rarity))
    weighted.eliminate_zeros()
    length = np.sqrt(np.asarray(weighted.power(2).sum(1)).ravel())
    return csr_array(diags_array(1 / np.where(length > 0, length, 1.0)) @ weighted)


def _numbers(raw_ids: pl.Series, kind: str, buckets: int) -> Ints:
    return np.array([bucket_of(f"{kind}:{raw}", buckets) for raw in raw_ids], dtype=np.int64)


def _words(texts: pl.Series, column: str, split: bool, buckets: int) -> tuple[Ints, Ints]:
    """Return nodes and numbers of the words of a column, or of its whole values."""
    rows, numbers, known = [], [], dict[str, int]()
    for row, text in enumerate(texts.cast(pl.String).to_list()):
        if not text:
            continue
        for word in set(words_of(text)) if split else [f"{column}:{text}"]:
            if word not in known:
                known[word] = bucket_of(word, buckets)
            rows.append(row)
            numbers.append(known[word])
    return np.array(rows, dtype=np.int64), np.array(numbers, dtype=np.int64)
