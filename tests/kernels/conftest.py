"""Fixtures of every kernel test: the bodies, and small typed graphs built the obvious way."""

import os
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

if not torch.cuda.is_available():  # must be set before triton compiles anything
    os.environ.setdefault("TRITON_INTERPRET", "1")

from graphrec_pt.kernels.csr import NO_TIME, SegmentedCSR
from graphrec_pt.kernels.dispatch import BODIES, forced_body

Edge = tuple[int, int, int, int | None, float, int]  # relation, source, target, time, weight, id
BuildCSR = Callable[..., SegmentedCSR]


@pytest.fixture(params=BODIES)
def body(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once per body; yields the body's name."""
    if request.param == "triton":
        pytest.importorskip("triton")
    with forced_body(request.param):
        yield request.param


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where the tensors of a test belong: CUDA for compiled Triton, else the CPU."""
    if "body" in request.fixturenames and request.getfixturevalue("body") == "triton":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device("cpu")


def build_csr(
    counts: Sequence[int],
    relations: Sequence[tuple[int, int]],
    edges: Sequence[Edge],
    index: torch.dtype = torch.int32,
    time: bool = True,
    weight: bool = True,
    edge: bool = True,
) -> SegmentedCSR:
    """Build a segmented CSR edge by edge; nodes are global ids, slots follow relation order.

    Args:
        counts: Nodes of each type.
        relations: (source type, target type) of each relation.
        edges: (relation, source, target, time or None, weight, edge id).
        index: Type of `indices` and `edge`.
        time: Whether the graph has times.
        weight: Whether the graph has weights.
        edge: Whether the graph has edge ids.
    """
    offset = [0]
    for count in counts:
        offset.append(offset[-1] + count)
    leaving = [
        [r for r, (s, _) in enumerate(relations) if s == kind] for kind in range(len(counts))
    ]
    base, segment, rows = [0], [0], []
    for kind, count in enumerate(counts):
        for node in range(offset[kind], offset[kind] + count):
            for relation in leaving[kind]:
                mine = [e[1:] for e in edges if e[0] == relation and e[1] == node]
                rows += sorted(
                    (NO_TIME if when is None else when, target, number, value)
                    for _, target, when, value, number in mine
                )
                segment.append(len(rows))
        base.append(len(segment) - 1)
    column = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return SegmentedCSR(
        offset=torch.tensor(offset),
        slots=torch.tensor([len(found) for found in leaving]),
        base=torch.tensor(base),
        segment=torch.tensor(segment),
        indices=torch.tensor(column[1], dtype=index),
        time=torch.tensor(column[0], dtype=torch.int64) if time else None,
        weight=torch.tensor(column[3], dtype=torch.float32) if weight else None,
        edge=torch.tensor(column[2], dtype=index) if edge else None,
    )


def build_random_csr(
    seed: int = 0,
    counts: Sequence[int] = (7, 9, 4),
    relations: Sequence[tuple[int, int]] = ((0, 1), (0, 2), (1, 2)),
    edges: int = 60,
    distinct: bool = False,
    **options: object,
) -> SegmentedCSR:
    """Build a random typed graph; relation *r* of n has its inverse as relation n + *r*.

    The last node of each type stays isolated, a fifth of the edges has no time, times and
    targets repeat. `distinct` leaves out parallel edges of one relation.
    """
    draw = torch.Generator().manual_seed(seed)

    def pick(n: int) -> int:
        return int(torch.randint(n, (), generator=draw))

    offset = [0]
    for count in counts:
        offset.append(offset[-1] + count)
    found: list[Edge] = []
    seen = set()
    for number in range(edges):
        relation = pick(len(relations))
        source, target = relations[relation]
        u = offset[source] + pick(max(counts[source] - 1, 1))
        v = offset[target] + pick(max(counts[target] - 1, 1))
        if distinct and (relation, u, v) in seen:
            continue
        seen.add((relation, u, v))
        when = None if pick(5) == 0 else pick(12)
        weight = (1 + pick(8)) / 4
        found.append((relation, u, v, when, weight, number))
        found.append((len(relations) + relation, v, u, when, weight, number))
    both = [*relations, *((target, source) for source, target in relations)]
    return build_csr(counts, both, found, **options)  # type: ignore[arg-type]


@pytest.fixture
def make_csr() -> BuildCSR:
    """Give :func:`build_csr`."""
    return build_csr


@pytest.fixture
def random_csr() -> BuildCSR:
    """Give :func:`build_random_csr`."""
    return build_random_csr


@pytest.fixture
def toy() -> SegmentedCSR:
    """Three users (0–2), three items (3–5), one tag (6): buys, tagged and their inverses.

    User 2 and item 5 are isolated; user 0 has bought item 3 twice.
    """
    found: list[Edge] = [
        (0, 0, 3, 10, 1.0, 0),
        (0, 0, 4, 20, 2.0, 1),
        (0, 0, 3, 30, 1.0, 2),
        (0, 1, 4, 15, 4.0, 3),
        (1, 3, 6, None, 1.0, 4),
        (1, 4, 6, None, 0.5, 5),
    ]
    relations = [(0, 1), (1, 2)]
    back = [(r + 2, v, u, when, weight, n) for r, u, v, when, weight, n in found]
    return build_csr([3, 3, 1], [*relations, *((b, a) for a, b in relations)], [*found, *back])
