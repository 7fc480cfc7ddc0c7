"""Sittings against a loop over the events of each user."""

from itertools import groupby

import numpy as np
import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.card import Sittings
from graphrec_pt.data.sittings import with_sittings

PLAN = Sittings(of="user", at="time", pause=10)


def events(n: int = 200) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "user": draw.integers(0, 7, n),
            "time": draw.integers(0, 400, n),
            "rating": draw.integers(1, 6, n),
        }
    )


def by_a_loop(frame: pl.DataFrame, *, mixed: bool) -> dict[int, tuple[str | None, int]]:
    """Return the sitting of each row, and the time at which it began."""
    found: dict[int, tuple[str | None, int]] = {}
    rows = sorted(range(len(frame)), key=lambda row: (frame["user"][row], frame["time"][row]))
    for user, mine in groupby(rows, key=lambda row: frame["user"][row]):
        sittings: list[list[int]] = []
        for row in mine:
            if not sittings or frame["time"][row] - frame["time"][sittings[-1][-1]] > PLAN.pause:
                sittings.append([])
            sittings[-1].append(row)
        for number, members in enumerate(sittings, 1):
            likes = [frame["rating"][row] >= 4 for row in members]
            counts = not mixed or (any(likes) and not all(likes))
            for row in members:
                name = f"{user}/{number}" if counts else None
                found[row] = name, frame["time"][members[0]]
    return found


@pytest.mark.parametrize("mixed", [False, True])
def test_against_a_loop(mixed: bool) -> None:
    frame = events()
    plan = PLAN.model_copy(update={"mixed": "rating >= 4" if mixed else None})
    made = with_sittings("tables.x.sittings", frame.lazy(), plan).collect()
    assert made.select(frame.columns).equals(frame)  # rows keep their order
    wanted = by_a_loop(frame, mixed=mixed)
    assert made["impression"].to_list() == [wanted[row][0] for row in range(len(frame))]
    assert made["began"].to_list() == [wanted[row][1] for row in range(len(frame))]
    assert made["impression"].null_count() == sum(name is None for name, _ in wanted.values())


def test_a_column_that_is_not_there() -> None:
    plan = PLAN.model_copy(update={"at": "tine"})
    with pytest.raises(GraphRecError, match="time"):
        with_sittings("tables.x.sittings", events().lazy().rename({"time": "time"}), plan)


def test_a_wrong_predicate() -> None:
    plan = PLAN.model_copy(update={"mixed": "stars >= 4"})
    with pytest.raises(GraphRecError, match=r"tables\.x\.sittings\.mixed"):
        with_sittings("tables.x.sittings", events().lazy(), plan)
