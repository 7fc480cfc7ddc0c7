"""Batches are a function of (seed, epoch, step, rank), whoever samples them."""

import os
import pickle
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split
from graphrec_pt.graph.store import open_graph, save_graph
from graphrec_pt.sampling.loader import Batch, Loader
from graphrec_pt.sampling.sample import same
from graphrec_pt.sampling.sampler import Sets, sampler

WALKS = sampler.build({"name": "random_walk", "hops": 3, "repeats": 2})


@pytest.fixture(scope="module")
def stored(train: Graph, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return save_graph(train, tmp_path_factory.mktemp("graph") / "train")


def by_root(batches: Iterator[Any]) -> dict[int, Any]:
    found = {}
    for batch in batches:
        assert isinstance(batch, Batch)
        for at, row in enumerate(batch.rows.tolist()):
            assert row not in found
            found[row] = batch.sample.select(at)
    return found


def equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        (x.step, x.micro, x.total) == (y.step, y.micro, y.total)
        and torch.equal(x.rows, y.rows)
        and same(x.sample, y.sample)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
def test_workers_orders_and_interruptions_change_nothing(train: Graph, stored: Graph) -> None:
    roots = torch.arange(24)
    through = list(Loader(stored, WALKS, roots, 5, seed=7).epoch(2))
    assert len(through) == 5
    expected = by_root(iter(through))
    assert len(expected) == 24
    for workers, graph in ((1, stored), (3, train)):
        spawned = Loader(graph, WALKS, roots, 5, seed=7, workers=workers)
        assert equal(list(spawned.epoch(2)), through)
        # The same processes go on, from the middle of the epoch.
        assert equal(list(spawned.epoch(2, start=3)), through[3:])
        assert not equal(list(spawned.epoch(3)), through)
    interrupted = Loader(stored, WALKS, roots, 5, seed=7)
    first = [batch for batch, _ in zip(interrupted.epoch(2), range(2), strict=False)]
    assert equal(first + list(Loader(stored, WALKS, roots, 5, seed=7).epoch(2, 2)), through)
    in_order = by_root(iter(Loader(stored, WALKS, roots, 7, seed=7, shuffle=False).epoch(2)))
    assert all(same(in_order[row], expected[row]) for row in range(24))


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_threads(train: Graph, threads: int) -> None:
    loader = Loader(train, WALKS, torch.arange(24), 4, seed=1, threads=threads, ahead=1)
    plain = Loader(train, WALKS, torch.arange(24), 4, seed=1, threads=0)
    assert equal(list(loader.epoch(5)), list(plain.epoch(5)))
    assert equal(list(loader), list(plain.epoch(0)))
    assert [batch.step for batch in loader.epoch(1, start=4)] == [4, 5]


@pytest.mark.parametrize(("world", "batch", "drop"), [(1, 4, False), (3, 2, False), (4, 3, True)])
def test_ranks_share_the_roots(train: Graph, world: int, batch: int, drop: bool) -> None:
    loaders = [
        Loader(train, WALKS, torch.arange(23), batch, rank=r, world=world, drop_last=drop)
        for r in range(world)
    ]
    steps = [list(loader.rows(0)) for loader in loaders]
    assert {len(mine) for mine in steps} == {len(loaders[0])}
    seen = torch.cat([rows for mine in steps for rows in mine]).tolist()
    assert len(set(seen)) == len(seen)
    assert len(seen) == (12 if drop else 23)
    alone = Loader(train, WALKS, torch.arange(23), batch * world, drop_last=drop)
    for step, rows in enumerate(alone.rows(0)):
        assert set(rows.tolist()) == {n for mine in steps for n in mine[step].tolist()}


def test_epochs_have_orders_of_their_own(train: Graph) -> None:
    loader = Loader(train, WALKS, torch.arange(24), 24)
    first, again, second = (next(loader.rows(epoch)).tolist() for epoch in (0, 0, 1))
    assert first == again
    assert first != second
    assert sorted(first) == sorted(second) == list(range(24))
    other = Loader(train, WALKS, torch.arange(24), 24, seed=1)
    assert next(other.rows(0)).tolist() != first


def test_exclude_travels_with_its_root(shop_split: Split) -> None:
    graph, edges = shop_split.train, shop_split.train.edges("rates")
    history = sampler.build("history")
    loader = Loader(graph, history, edges.source, 4, exclude=edges.edge)
    for batch in loader:
        for at, row in enumerate(batch.rows.tolist()):
            position = batch.sample.select(at).position
            assert graph.csr.edge is not None
            assert int(edges.edge[row]) not in graph.csr.edge[position[position >= 0]].tolist()
            assert len(position) == len(graph.neighbors(int(edges.source[row]), "rates"))


def test_pairs_sets_and_transforms(train: Graph) -> None:
    pairs = torch.tensor([[0, 13], [1, 16], [2, 12]])
    config = {"name": "path_subgraph", "metapaths": [["rates", "rated_by", "rates"]]}
    samples = list(
        Loader(train, sampler.build(config), pairs, 2, transform=attrgetter("sample.node"))
    )
    assert [len(node) >= 2 * many for node, many in zip(samples, (2, 1), strict=True)]
    ego = Loader(train, sampler.build("ego"), Sets.of([[12], [13, 14], []]), 2)
    assert sorted(by_root(iter(ego))) == [0, 1, 2]
    keys = Loader(train, WALKS, torch.arange(3), 2, seed=9, transform=attrgetter("key"))
    assert set(keys.epoch(4)) == {Key(9, 4)}


def test_what_a_worker_raises_is_raised(train: Graph) -> None:
    for threads in (0, 1):
        loader = Loader(train, WALKS, torch.tensor([0, 99]), 2, threads=threads)
        with pytest.raises(GraphRecError, match=r"roots in \[0, 53\), got 99"):
            list(loader)


def test_dataset_fits_a_plain_data_loader(train: Graph) -> None:
    loader = Loader(train, WALKS, torch.arange(10), 4, seed=2)
    plain: Any = DataLoader(loader.batches, batch_size=None, sampler=loader.tasks(1))
    assert equal(list(plain), list(loader.epoch(1)))


def test_stored_graph_pickles_as_its_folder(train: Graph, stored: Graph) -> None:
    sent = pickle.dumps(stored)
    assert len(sent) < 400
    opened = pickle.loads(sent)
    assert opened.fingerprint == stored.fingerprint
    assert opened.folder == stored.folder
    assert torch.equal(opened.csr.indices, stored.csr.indices)
    whole = pickle.loads(pickle.dumps(train))
    assert torch.equal(whole.csr.indices, train.csr.indices)
    assert whole.tables["user"].equals(train.tables["user"])


def test_stored_graph_pickles_from_another_folder(
    stored: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored.folder is not None
    monkeypatch.chdir(stored.folder.parent)
    relative = open_graph(Path("train"))
    sent = pickle.dumps(relative)
    monkeypatch.chdir(os.path.sep)
    assert pickle.loads(sent).fingerprint == stored.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch >= 1, got 0"),
        ({"world": 0}, "world >= 1"),
        ({"rank": 2, "world": 2}, r"rank in \[0, 2\), got 2"),
        ({"workers": -1}, "workers >= 0"),
        ({"accumulate": 0}, "accumulate >= 1, got 0"),
        ({"exclude": torch.zeros(3, dtype=torch.int64)}, r"exclude \[24\], one per root"),
    ],
)
def test_options_out_of_range(train: Graph, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        Loader(train, WALKS, torch.arange(24), **{"batch": 4, **options})


def test_start_past_the_end(train: Graph) -> None:
    with pytest.raises(GraphRecError, match=r"start in \[0, 6\], got 7"):
        Loader(train, WALKS, torch.arange(24), 4).epoch(0, 7)
