"""Subgraph kernels beside what people use today: PPR, paths, negatives, membership, induction."""

import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.kernels.adjacency import induce, member
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.negative import negative
from graphrec_pt.kernels.paths import constrained_paths, edge_score, paths
from graphrec_pt.kernels.ppr import ppr
from graphrec_pt.kernels.sparse import spmm
from graphrec_pt.kernels.topk import topk
from sections.graphs import power_law
from sections.measure import Contestant, Row, Settings, contest
from sections.movielens import ENTITY, USER, Ints, MovieLens, movielens
from sections.peers import (
    highest,
    igraph_sampler,
    isin_batched,
    isin_per_user,
    power_iteration,
    python_paths,
    python_sampler,
    to_scipy,
    transition,
)

KEY = Key(1).named("benchmark")
ML = "MovieLens-100K, Freebase"
# Hops as slots, and the slot from an item back: over users, entities, genres, and the users'
# occupation.
METAPATHS = {
    "UIUI": ([0, 0, 0], 0),
    "UIEI": ([0, 1, 0], 1),
    "UIGI": ([0, 2, 0], 2),
    "UOUI": ([1, 0, 0], 0),
}


def rows(settings: Settings) -> list[Row]:
    """Measure every kernel that makes or feeds subgraphs."""
    shop = movielens()
    found: list[Row] = []
    if shop is None:
        sys.stderr.write("subgraphs: MovieLens-100K is not beside the repository; skipped\n")
    else:
        roots = _nodes(shop.csr, 1000 if settings.quick else 10_000)
        found += _pagerank(shop.csr, ML, roots, 128, settings)
        for section in (_constrained, _instances, _negatives, _members, _induced, _products):
            found += section(shop, settings)
    nodes, edges = (20_000, 1_000_000) if settings.quick else (200_000, 20_000_000)
    csr = power_law(nodes, edges)
    name = f"{nodes // 1000} k nodes, {csr.num_edges / 1e6:.0f} M edges"
    return found + _pagerank(csr, name, _nodes(csr, 1000), 16, settings)


def _nodes(csr: SegmentedCSR, many: int) -> Tensor:
    return torch.randperm(csr.num_nodes, generator=torch.Generator().manual_seed(0))[:many]


def _times(work: int, run: Callable[[], object]) -> Callable[[], int]:
    """Return a job that does what `run` does and tells how much that was."""

    def job() -> int:
        run()
        return work

    return job


def _pagerank(
    csr: SegmentedCSR, graph: str, roots: Tensor, sample: int, settings: Settings
) -> list[Row]:
    """Race against the fewest terms of a power iteration that rank as well as we do.

    How well: the exact PageRank of the 32 nodes found, as a share of the best 32 nodes'.
    """
    step, few, epsilon = transition(to_scipy(csr)), roots[:sample].numpy(), 1e-5
    exact = power_iteration(step, few, 60)
    best = np.sort(exact, axis=0)[-32:].sum()

    def quality(found: Ints) -> float:
        own = np.arange(sample)[:, None]
        return float(np.where(found < 0, 0, exact[found, own]).sum() / best)

    ours = quality(ppr(csr, roots[:sample], 32, epsilon=epsilon)[0].numpy())
    terms, theirs = 0, 0.0
    while theirs < ours:
        terms += 1
        theirs = quality(highest(power_iteration(step, few, terms), 32))

    def scipy_ranks() -> int:
        return len(highest(power_iteration(step, few, terms), 32))

    note = f"|error(v)| <= {epsilon:g} deg(v); {ours:.1%} of the best 32's mass, {theirs:.1%}"
    peer = Contestant(f"scipy, {terms} terms", scipy_ranks, target=5, note=note)
    job = _times(len(roots), lambda: ppr(csr, roots, 32, epsilon=epsilon))
    return contest("PPR top 32", graph, "k roots/s", job, [peer], settings, 1e3)


def _constrained(shop: MovieLens, settings: Settings) -> list[Row]:
    csr, adjacency, found = shop.csr, to_scipy(shop.csr), []
    users = torch.arange(int(csr.offset[1]))
    kind = csr.node_type(torch.arange(csr.num_nodes)).tolist()
    own = {u: shop.item[shop.user == u].tolist() for u in range(0, 943, 150)}
    for name, through in (("entities", {ENTITY}), ("users, entities", {USER, ENTITY})):

        def ours(types: Sequence[int] = tuple(through)) -> int:
            nodes, _ = constrained_paths(csr, users, 0, 250, KEY, through=types)
            return int((nodes[:, :, 0] >= 0).sum())

        def theirs(draw: Callable[[int, list[int], int], object], count: int) -> int:
            for user, items in own.items():
                draw(user, items, count)
            return count * len(own)

        share = ours() / len(users) / 250
        lean = partial(theirs, python_sampler(adjacency, kind, through), 20)
        peers = [Contestant("Python sets", lean, note=f"{share:.1%} of 250 per user found")]
        hopwise = igraph_sampler(adjacency, kind, through)
        if hopwise is not None:
            peers.append(Contestant("igraph, as hopwise", partial(theirs, hopwise, 1), target=1000))
        op = f"constrained 3 hops via {name}"
        found += contest(op, ML, "k paths/s", ours, peers, settings, 1e3)
    return found


def _instances(shop: MovieLens, settings: Settings) -> list[Row]:
    csr, many, few = shop.csr, 20_000, 40
    draw = np.random.default_rng(0).permutation(len(shop.user))[:many]
    user, item = torch.from_numpy(shop.user[draw]), torch.from_numpy(shop.item[draw])
    score = edge_score(csr)

    def ours() -> int:
        for slots, back in METAPATHS.values():
            paths(csr, user, item, slots, 5, score=score, back=back)
        return many

    slow = python_paths(csr, score, list(METAPATHS.values()))
    pairs = list(zip(user[:few].tolist(), item[:few].tolist(), strict=True))
    note = "top 5 instances of 4 metapaths; wanted: 20 k/s"
    peer = Contestant("Python dictionaries", _times(few, lambda: slow(pairs)), note=note)
    return contest("path subgraphs", ML, "k subgraphs/s", ours, [peer], settings, 1e3)


def _negatives(shop: MovieLens, settings: Settings) -> list[Row]:
    csr, low, high = shop.csr, int(shop.csr.offset[1]), int(shop.csr.offset[2])
    draw, found = np.random.default_rng(0), []
    users = draw.permutation(shop.user)
    history = [shop.item[shop.user == u] for u in range(low)]
    codes, batch = shop.user * high + shop.item, torch.from_numpy(users)
    for count in (1, 10):
        ours = partial(negative, csr, batch, 0, count, KEY, low=low, high=high)
        alone = partial(isin_per_user, history, users[:1000], low, high, count, draw)
        whole = partial(isin_batched, codes, users, low, high, count, draw)
        peers = [
            Contestant("numpy.isin per user", _times(1000 * count, alone), target=10),
            Contestant("numpy.isin per batch", _times(len(users) * count, whole), target=10),
        ]
        job = _times(len(users) * count, ours)
        found += contest(f"negatives, {count} each", ML, "M/s", job, peers, settings)
    return found


def _members(shop: MovieLens, settings: Settings) -> list[Row]:
    csr, many, high = shop.csr, 1_000_000, shop.csr.num_nodes
    draw = torch.Generator().manual_seed(0)
    low, end = int(csr.offset[1]), int(csr.offset[2])
    source = torch.randint(low, (many,), generator=draw)
    target = torch.randint(low, end, (many,), generator=draw)
    codes, asked = shop.user * high + shop.item, (source * high + target).numpy()
    peer = Contestant("numpy.isin", _times(many, lambda: np.isin(asked, codes)))
    job = _times(many, lambda: member(csr, source, 0, target))
    return contest("member", ML, "M/s", job, [peer], settings)


def _induced(shop: MovieLens, settings: Settings) -> list[Row]:
    csr, adjacency, few = shop.csr, to_scipy(shop.csr), 200
    node, _ = ppr(csr, torch.arange(int(csr.offset[1])), 32)
    found = [row[row >= 0] for row in node]
    ptr, nodes = torch.tensor([0, *map(len, found)]).cumsum(0), torch.cat(found)

    def slices() -> int:
        for row in found[:few]:
            adjacency[row.numpy()][:, row.numpy()].tocoo()
        return few

    job = _times(len(found), lambda: induce(csr, nodes, ptr))
    peers = [Contestant("scipy slicing", slices)]
    return contest("induce, 32 nodes", ML, "k subgraphs/s", job, peers, settings, 1e3)


def _products(shop: MovieLens, settings: Settings) -> list[Row]:
    adjacency = to_scipy(shop.csr)
    adjacency.sum_duplicates()
    ptr = torch.from_numpy(adjacency.indptr).long()
    indices = torch.from_numpy(adjacency.indices).long()
    values, dense = torch.from_numpy(adjacency.data), torch.randn(shop.csr.num_nodes, 64)
    matrix = torch.sparse_csr_tensor(ptr, indices, values, adjacency.shape, check_invariants=True)
    edges = len(indices)
    peer = Contestant("torch.sparse", _times(edges, lambda: matrix @ dense))
    job = _times(edges, lambda: spmm(ptr, indices, values, dense))
    found = contest("spmm, width 64", ML, "M edges/s", job, [peer], settings)
    draw = torch.Generator().manual_seed(0)
    queries = torch.randn(512, 64, generator=draw)
    items = torch.randn(100_000, 64, generator=draw)
    naive = _times(512, lambda: torch.topk(queries @ items.T, 100))
    note = "ours: blocks of 8192, exact ties, a twelfth of the memory"
    peer = Contestant("torch matmul + topk", naive, note=note)
    job = _times(512, lambda: topk(queries, items, 100))
    graph = "100 k random items"
    return found + contest("top 100", graph, "k queries/s", job, [peer], settings, 1e3)
