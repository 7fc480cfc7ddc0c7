"""Item-to-item links: transition counts, co-occurrence in histories, content similarity."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import coo_array, csc_array, csr_array, diags_array

from graphrec_pt.graph.content import content_features
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.sequences import Sequences, rank_in_group, sequences, transition_counts

Floats = npt.NDArray[np.float32]
Order = Literal["after", "before"]
BUDGET = 1 << 24  # similarities held at once


@dataclass(frozen=True, eq=False)
class Links:
    """A sparse item-to-item matrix, and what a single history contributed to it.

    Two events of one history, the second d places after the first (before it where d < 0), added
    ``w(d) · left[first] · right[second]`` to ``matrix[first, second]``, with w from `near` for
    ``|d| ≤ W`` and `far` beyond. During training the model must not read the history that it
    predicts from the matrix; with this formula the contribution of one history can be subtracted.

    Args:
        matrix: float32 ``[V, V]``, sorted, without a diagonal.
        left: float32 ``[V]``.
        right: float32 ``[V]``.
        near: float32 ``[2W + 1]``, weights of the distances ``−W … W``.
        far: Weight of all larger distances.
    """

    matrix: csr_array
    left: Floats
    right: Floats
    near: Floats
    far: float = 0.0


def transition_links(
    graph: Graph,
    relation: str,
    *,
    window: int = 5,
    falloff: float = 1.0,
    order: Order = "after",
    source_power: float = 0.5,
    target_power: float = 0.3,
    most: int | None = None,
) -> Links:
    """Return how often each item came soon after (or before) each other: ``D^−a C D^−b``.

    ``C[i, j]`` sums ``d^−falloff`` over all places where *j* came *d* ≤ `window` events after *i*;
    D counts interactions.

    Args:
        graph: Whose histories are read.
        relation: A timed relation.
        window: Largest distance.
        falloff: How fast weights fall with distance; 0 for not at all.
        order: Whether rows lead to what came ``"after"`` or ``"before"`` their item.
        source_power: *a*, how much popular origins are damped.
        target_power: *b*, how much popular destinations are damped.
        most: Strongest entries kept in a row; all by default.
    """
    read = sequences(graph, relation)
    counts = transition_counts(read, window, falloff)
    weights = np.arange(1, window + 1) ** -falloff
    nothing = np.zeros(window)
    forward = np.concatenate([nothing, [0.0], weights])
    near = forward if order == "after" else forward[::-1]
    left, right = _damped(read, source_power), _damped(read, target_power)
    matrix = _scaled(counts if order == "after" else counts.T, left, right, most)
    return Links(matrix, left, right, near.astype(np.float32))


def co_interaction_links(
    graph: Graph, relation: str, *, power: float = 0.5, most: int | None = None
) -> Links:
    """Return how often two items stand in one history, whatever the order: ``D^−a C D^−a``.

    With ``a = ½`` and no repeats this is the cosine of the items' user vectors (ItemKNN).

    Args:
        graph: Whose histories are read.
        relation: A timed relation.
        power: *a*.
        most: Strongest entries kept in a row; all by default.
    """
    read = sequences(graph, relation)
    once = np.ones(len(read.item))
    interactions = coo_array((once, (read.source, read.item)), shape=read.shape).tocsr()
    scale = _damped(read, power)
    matrix = _scaled(interactions.T @ interactions, scale, scale, most)
    return Links(matrix, scale, scale, np.zeros(1, np.float32), 1.0)


def content_links(graph: Graph, node_type: str, *, most: int = 50) -> Links:
    """Return the cosine of the content features of two items.

    Args:
        graph: Whose attributes and texts are read; see
            :func:`~graphrec_pt.graph.content.content_features`.
        node_type: The items.
        most: Strongest entries kept in a row.
    """
    features = content_features(graph, node_type)
    size = features.shape[0]
    rows, columns, values = [], [], []
    block = max(BUDGET // max(size, 1), 1)
    for low in range(0, size, block):
        likeness = torch.from_numpy((features[low : low + block] @ features.T).toarray())
        likeness[torch.arange(len(likeness)), torch.arange(low, low + len(likeness))] = 0
        best = likeness.topk(min(most, size), dim=1)  # [b, most]
        row, place = (best.values > 0).nonzero(as_tuple=True)
        rows.append(row.numpy() + low)
        columns.append(best.indices[row, place].numpy())
        values.append(best.values[row, place].float().numpy())
    places = (np.concatenate([*each, []]).astype(np.int64) for each in (rows, columns))
    value = np.concatenate([*values, []]).astype(np.float32)
    matrix = csr_array(coo_array((value, tuple(places)), shape=(size, size)))
    matrix.sort_indices()
    nothing = np.zeros(size, np.float32)
    return Links(matrix, nothing, nothing, np.zeros(1, np.float32))


def _damped(read: Sequences, power: float) -> Floats:
    popularity = np.bincount(read.item, minlength=read.shape[1])
    damped: Floats = (np.maximum(popularity, 1.0) ** -power).astype(np.float32)
    return damped


def _scaled(
    counts: csr_array | csc_array, left: Floats, right: Floats, most: int | None
) -> csr_array:
    scaled = diags_array(left.astype(np.float64)) @ counts @ diags_array(right.astype(np.float64))
    entries = _without_diagonal(csr_array(scaled), 0)
    if most is not None:
        entries = _strongest(entries, most)
    matrix = csr_array(entries).astype(np.float32)
    matrix.sort_indices()
    return matrix


def _without_diagonal(block: csr_array, low: int) -> coo_array:
    """Return the entries of rows that start at `low`, without those of an item with itself."""
    pairs = block.tocoo()
    other = (pairs.row + low != pairs.col) & (pairs.data > 0)
    place = pairs.row[other], pairs.col[other]
    return coo_array((pairs.data[other], place), shape=block.shape)


def _strongest(pairs: coo_array, most: int) -> coo_array:
    """Return the strongest entries of each row; ties go to the lower column."""
    best = np.lexsort((pairs.col, -pairs.data, pairs.row))
    kept = best[rank_in_group(pairs.row[best].astype(np.int64)) < most]
    place = pairs.row[kept], pairs.col[kept]
    return coo_array((pairs.data[kept], place), shape=pairs.shape)
