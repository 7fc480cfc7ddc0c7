"""What people do today where a library has nothing: Python samplers, scipy and numpy pipelines."""

import random
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from graphrec_pt.kernels.csr import SegmentedCSR

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def to_scipy(csr: SegmentedCSR) -> sp.csr_matrix:
    """Return the type-blind adjacency with edge counts: float32 [N, N]."""
    start, end = csr.bounds(torch.arange(csr.num_nodes))
    ptr = np.append(start.numpy(), end[-1].item())
    data = np.ones(csr.num_edges, np.float32)
    return sp.csr_matrix((data, csr.indices.numpy(), ptr), shape=(csr.num_nodes, csr.num_nodes))


def power_iteration(step: sp.csr_matrix, roots: Ints, terms: int, alpha: float = 0.15) -> Floats:
    """Return ``π ← α e + (1 - α) Pᵀ π`` after some rounds: float32 [N, B]; `step` is Pᵀ.

    What is left out after n rounds is (1 - α)ⁿ of the mass.
    """
    start = np.zeros((step.shape[0], len(roots)), np.float32)
    start[roots, np.arange(len(roots))] = 1
    rank = start.copy()
    for _ in range(terms):
        rank = (1 - alpha) * (step @ rank) + alpha * start
    return rank


def highest(rank: Floats, k: int) -> Ints:
    """Return the k best nodes of each column, best first: [B, k]."""
    top = np.argpartition(-rank, k, axis=0)[:k]
    order = np.argsort(-np.take_along_axis(rank, top, 0), axis=0, kind="stable")
    return np.take_along_axis(top, order, 0).T


def transition(adjacency: sp.csr_matrix) -> sp.csr_matrix:
    """Return the transposed transition matrix, ready for :func:`power_iteration`."""
    degree = np.asarray(adjacency.sum(1)).ravel()
    scale = sp.diags(1 / np.maximum(degree, 1)).astype(np.float32)
    step: sp.csr_matrix = (scale @ adjacency).T.tocsr()
    return step


def igraph_sampler(
    adjacency: sp.csr_matrix, kind: list[int], through: set[int]
) -> Callable[[int, list[int], int], list[list[int]]] | None:
    """Return hopwise's way to draw constrained paths, on igraph: the last hop is an edge query.

    Walk to a random own item, choose a random neighbour of an allowed type, then select the edges
    from there to the other own items and choose one. None when igraph is missing.
    """
    if not find_spec("igraph"):
        return None
    import igraph

    upper = sp.triu(adjacency).tocoo()
    ends = list(zip(upper.row.tolist(), upper.col.tolist(), strict=True))
    graph: Any = igraph.Graph(n=adjacency.shape[0], edges=ends)
    graph.vs["type"] = kind

    def sample(user: int, own: list[int], count: int) -> list[list[int]]:
        found: list[list[int]] = []
        while len(found) < count:
            item = random.choice(own)
            others = [v for v in own if v != item]
            inner = [v for v in graph.neighbors(item) if graph.vs[v]["type"] in through]
            middle = random.choice([v for v in inner if v != user] or [item])
            edges = graph.es.select(_source=middle, _target=others)
            last = list({e.source if e.source != middle else e.target for e in edges})
            if last and middle != item:
                found.append([user, item, middle, random.choice(last)])
        return found

    return sample


def python_sampler(
    adjacency: sp.csr_matrix, kind: list[int], through: set[int]
) -> Callable[[int, list[int], int], list[list[int]]]:
    """Return the leanest Python we know: adjacency lists, sets, refusals of whole walks."""
    rows = [row.tolist() for row in np.split(adjacency.indices, adjacency.indptr[1:-1])]

    def sample(user: int, own: list[int], count: int) -> list[list[int]]:
        mine = set(own)
        found: list[list[int]] = []
        choice = random.choice
        while len(found) < count:
            item = choice(own)
            middle = choice(rows[item])
            if kind[middle] not in through or middle == user:
                continue
            last = choice(rows[middle])
            if last in mine and last != item:
                found.append([user, item, middle, last])
        return found

    return sample


def isin_per_user(
    history: list[Ints], users: Ints, low: int, high: int, count: int, rng: np.random.Generator
) -> Ints:
    """Draw negatives user by user, refusing what ``numpy.isin`` finds in the history."""
    out = np.empty((len(users), count), np.int64)
    for row, user in enumerate(users):
        drawn = rng.integers(low, high, count)
        bad = np.isin(drawn, history[user])
        while bad.any():
            drawn[bad] = rng.integers(low, high, int(bad.sum()))
            bad = np.isin(drawn, history[user])
        out[row] = drawn
    return out


def isin_batched(
    codes: Ints, users: Ints, low: int, high: int, count: int, rng: np.random.Generator
) -> Ints:
    """Draw negatives of a whole batch, refusing (user, item) codes that ``numpy.isin`` finds."""
    who = np.repeat(users, count)
    drawn = rng.integers(low, high, len(who))
    bad = np.isin(who * high + drawn, codes)
    while bad.any():
        drawn[bad] = rng.integers(low, high, int(bad.sum()))
        bad[bad] = np.isin(who[bad] * high + drawn[bad], codes)
    return drawn.reshape(len(users), count)


def python_paths(
    csr: SegmentedCSR, score: torch.Tensor, metapaths: list[tuple[list[int], int]]
) -> Callable[[list[tuple[int, int]]], None]:
    """Return three-hop path selection in plain Python: ten best neighbours of both ends, joined."""
    marks, target, start = score.tolist(), csr.indices.tolist(), csr.segment.tolist()
    first = csr.first_segment(torch.arange(csr.num_nodes)).tolist()

    def edges(node: int, slot: int) -> range:
        return range(start[first[node] + slot], start[first[node] + slot + 1])

    def best(node: int, slot: int) -> list[tuple[float, int]]:
        return sorted(((marks[e], target[e]) for e in edges(node, slot)), reverse=True)[:10]

    def select(pairs: list[tuple[int, int]]) -> None:
        for u, i in pairs:
            for slots, back in metapaths:
                found, tails = [], best(i, back)
                for a, x in best(u, slots[0]):
                    there = {target[e]: marks[e] for e in edges(x, slots[1])}
                    found += [(a + there[y] + b, x, y) for b, y in tails if y in there]
                found.sort(reverse=True)
                del found[5:]

    return select
