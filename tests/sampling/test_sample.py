"""Paths and Subgraphs: validation, equality, selection, concatenation."""

from dataclasses import replace

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.sampling.sample import Paths, Subgraphs, concatenate, same
from graphrec_pt.sampling.sampler import Sets


def paths() -> Paths:
    return Paths(
        nodes=torch.tensor([[5, 6, 7], [5, 8, -1], [9, 6, 5]]),
        relations=torch.tensor([[0, 1], [2, -1], [0, 3]]),
        length=torch.tensor([2, 1, 2]),
        root=torch.tensor([0, 0, 2]),
        score=torch.zeros(3),
        position=torch.tensor([[4, 5], [6, -1], [7, 8]]),
        size=3,
    )


def subgraphs() -> Subgraphs:
    return Subgraphs(
        node=torch.tensor([5, 6, 7, 9, 4, 5]),
        ptr=torch.tensor([0, 3, 3, 6]),
        parent=torch.tensor([-1, 0, 1, -1, 0, 0]),
        relation=torch.tensor([-1, 0, 2, -1, 1, 0]),
        hop=torch.tensor([0, 1, 2, 0, 1, 1]),
        slot=torch.tensor([0, 1, 1, 0, 1, 2]),
        score=torch.tensor([0.0, 0.5, 0.25, 0.0, 1.0, 2.0]),
        position=torch.tensor([-1, 1, 2, -1, 3, 4]),
        edges=torch.tensor([[0, 0, 1], [1, 2, 2], [3, 1, 4]]),
    )


def test_triples() -> None:
    assert paths().triples().tolist() == [[5, 0, 6], [6, 1, 7], [5, 2, 8], [9, 0, 6], [6, 3, 5]]
    assert subgraphs().triples().tolist() == [[5, 0, 6], [6, 2, 7], [9, 1, 4], [9, 0, 5]]


def test_lengths() -> None:
    assert (len(paths()), len(subgraphs())) == (3, 3)


def test_select_and_concatenate() -> None:
    for sample in (paths(), subgraphs()):
        parts = [sample.select(row) for row in range(3)]
        assert same(concatenate(parts), sample)  # type: ignore[type-var]
    last = subgraphs().select(2)
    assert last.ptr.tolist() == [0, 3]
    assert last.edges is not None
    assert last.edges.tolist() == [[0, 1, 1]]
    assert paths().select(1).nodes.shape == (0, 3)
    assert paths().select(2).root.tolist() == [0]


def test_same_sees_every_bit() -> None:
    one = subgraphs()
    assert same(one, subgraphs().to("cpu"))
    assert not same(one, paths())
    for name in ("node", "parent", "score"):
        value = getattr(one, name).clone()
        value[1] = -0.0 if name == "score" else 3
        assert not same(one, replace(one, **{name: value})), name
    zeros = replace(one, score=torch.zeros(6))
    assert not same(zeros, replace(one, score=-torch.zeros(6)))
    nan = replace(one, score=torch.full((6,), torch.nan))
    assert same(nan, replace(nan))
    assert not same(one, replace(one, edges=None))
    assert not same(paths(), replace(paths(), size=4))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("length", torch.tensor([2, 1]), r"length as int64 \[3\]"),
        ("relations", torch.tensor([[0], [2], [0]]), r"relations as int64 \[3, 2\]"),
        ("nodes", torch.zeros(3, 3), r"nodes as int64 \[3, 3\]"),
        ("score", torch.zeros(3, dtype=torch.float64), "score as float32"),
        ("root", torch.tensor([0, 2, 1]), r"root ascending in \[0, 3\)"),
        ("root", torch.tensor([0, 0, 3]), r"root ascending in \[0, 3\)"),
    ],
)
def test_paths_must_fit(name: str, value: torch.Tensor, message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        replace(paths(), **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hop", torch.tensor([0]), r"hop as int64 \[6\]"),
        ("ptr", torch.tensor([0, 3, 5]), "ptr ascending from 0 to 6"),
        ("ptr", torch.tensor([0, 4, 3, 6]), "ptr ascending"),
        ("edges", torch.tensor([[0, 1]]), r"edges as int64 \[1, 3\]"),
    ],
)
def test_subgraphs_must_fit(name: str, value: torch.Tensor, message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        replace(subgraphs(), **{name: value})


def test_concatenate_refuses() -> None:
    with pytest.raises(GraphRecError, match="at least one"):
        concatenate([])
    short = replace(
        paths(),
        nodes=paths().nodes[:, :2],
        relations=paths().relations[:, :1],
        position=paths().position[:, :1],
    )
    with pytest.raises(GraphRecError, match="one width"):
        concatenate([paths(), short])
    with pytest.raises(GraphRecError, match="edges in every sample"):
        concatenate([subgraphs(), replace(subgraphs(), edges=None)])


def test_sets() -> None:
    sets = Sets.of([[3, 4], [], [7]])
    assert (len(sets), sets.ptr.tolist()) == (3, [0, 2, 2, 3])
    assert sets.row().tolist() == [0, 0, 2]
    taken = sets[torch.tensor([2, 0, 1, 2])]
    assert (taken.node.tolist(), taken.ptr.tolist()) == ([7, 3, 4, 7], [0, 1, 3, 3, 4])
    with pytest.raises(GraphRecError, match="ptr ascending from 0 to 1"):
        Sets(torch.tensor([1]), torch.tensor([0, 2]))
    with pytest.raises(GraphRecError, match="node int64"):
        Sets(torch.zeros(1), torch.tensor([0, 1]))
