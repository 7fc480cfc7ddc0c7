"""Segments are filled the same way by the sweep and by the obvious global sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec_pt.core.key import draw32
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.kernels.fill import TIES, Stored, fill_backward, fill_forward, number_edges
from graphrec_pt.kernels.numba import fill as sweep


def filled(
    body: str, source: list[int], target: list[int], time: list[int] | None, shape: tuple[int, int]
) -> tuple[Stored, np.ndarray]:
    """Fill one relation and its inverse, sources first, targets behind them."""
    n, edges = shape[0] + shape[1], len(source)
    s, t = np.array(source, np.int64), np.array(target, np.int64)
    counts = np.concatenate(
        [np.bincount(s, minlength=shape[0]), np.bincount(t, minlength=shape[1])]
    )
    segment = np.concatenate([[0], np.cumsum(counts)])
    stored = Stored(
        np.full(2 * edges, -1, np.int32),
        np.full(2 * edges, -1, np.int32),
        np.zeros(2 * edges, np.int64),
        np.zeros(2 * edges, np.float32),
    )
    times = None if time is None else np.array(time, np.int64)
    weight = np.arange(edges, dtype=np.float32)
    starts, ends, back = segment[: shape[0]], segment[1 : shape[0] + 1], segment[shape[0] : n]
    with forced_body(body):
        fill_forward(stored, starts, s, t, shape[0], np.arange(edges), times, weight)
        former = number_edges(stored, starts, ends, 100)
        fill_backward(stored, starts, ends, 0, shape[0], back)
    assert (segment == np.concatenate([[0], np.cumsum(counts)])).all(), "the bounds are not touched"
    return stored, former


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(-3, 3)), max_size=80),
    st.booleans(),
)
def test_bodies_agree_to_the_bit(edges: list[tuple[int, int, int]], timed: bool) -> None:
    source, target, time = (list(c) for c in zip(*edges, strict=True)) if edges else ([], [], [])
    made = [filled(b, source, target, time if timed else None, (6, 4)) for b in ("torch", "numba")]
    for name in ("indices", "edge", "time", "weight"):
        slow, fast = (getattr(stored, name) for stored, _ in made)
        assert (slow == fast).all(), name
    assert (made[0][1] == made[1][1]).all()


def test_order_inside_a_segment_by_hand() -> None:
    stored, former = filled("numba", [0, 0, 0, 0], [2, 1, 0, 1], [5, 5, 9, 1], (1, 3))
    assert stored.indices[:4].tolist() == [2, 2, 3, 1]  # times 1, 5, 5, 9; the two 5 by chance
    assert former.tolist() == [3, 1, 0, 2]
    assert stored.edge[:4].tolist() == [100, 101, 102, 103]
    assert stored.edge[4:].tolist() == [103, 100, 101, 102]  # the inverse shares the ids
    assert stored.weight is not None
    assert stored.weight[4:].tolist() == [2, 3, 1, 0]


def test_events_at_one_time_stand_in_an_order_of_their_own_for_every_source() -> None:
    source, target = np.divmod(np.arange(5 * 40), 40)
    stored, _ = filled("numba", source.tolist(), target.tolist(), [3] * 200, (5, 40))
    histories = stored.indices[:200].reshape(5, 40) - 5
    for node, row in enumerate(histories):
        # the first word of a block is the draw of number 4 · block
        bits = draw32(TIES, np.arange(40) + 5, 4 * node)
        assert row.tolist() == np.argsort(bits).tolist()
        assert all(row.tolist() != other.tolist() for other in histories[:node])


@pytest.mark.parametrize("spread", [100, 2**40])
def test_a_hub_and_many_parts(monkeypatch: pytest.MonkeyPatch, spread: int) -> None:
    # A time span of 2**40 · 2**30 targets does not pack into 63 bits: the fallback is met too.
    monkeypatch.setattr(sweep, "PART_EDGES", 64)
    rng = np.random.default_rng(0)
    source = np.where(rng.random(3000) < 0.5, 7, rng.integers(0, 50, 3000)).tolist()
    target = rng.integers(0, 40, 3000).tolist()
    time = rng.integers(0, spread, 3000).tolist()
    slow, fast = (filled(b, source, target, time, (50, 40))[0] for b in ("torch", "numba"))
    assert (slow.indices == fast.indices).all()
    assert (slow.edge == fast.edge).all()


def test_order_kernel_bodies_agree() -> None:
    from graphrec_pt.kernels.fill import order

    rng = np.random.default_rng(0)
    columns = (
        rng.integers(-5, 5, 500),
        rng.integers(0, 2**45, 500),
        rng.integers(0, 2, 500, np.int32),
    )
    found = []
    for body in ("torch", "numba"):
        with forced_body(body):
            found.append(order(*columns))
            assert order(np.empty(0, np.int64)).tolist() == []
    expected = np.lexsort(columns[::-1])
    assert (found[0] == expected).all()
    assert (found[1] == expected).all()
