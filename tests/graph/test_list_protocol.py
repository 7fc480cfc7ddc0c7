"""Lists are held out whole, the last one of each source, and nothing later is seen."""

import numpy as np
import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.list_protocol import LastLists
from graphrec_pt.graph.protocol import Events, SplitPart

T, V, S, C, D = (
    SplitPart.TRAIN,
    SplitPart.VALID,
    SplitPart.TEST,
    SplitPart.TEST_CONTEXT,
    SplitPart.DROPPED,
)
ROWS = [  # source, time, list (−1 for none), stage expected
    (0, 1, 7, T),
    (0, 2, 7, T),
    (0, 3, -1, T),
    (0, 4, 3, V),  # the list before the last
    (0, 5, -1, C),  # after validation begins: seen at test alone
    (0, 6, 3, V),
    (0, 7, 9, S),
    (0, 8, 9, S),
    (0, 9, -1, D),  # after the test begins: never seen
    (1, 1, 4, T),  # two lists: no validation
    (1, 2, 5, S),
    (2, 1, 6, T),  # one list stays in training
    (2, 2, 6, T),
    (2, 3, -1, T),
]


def events(*, columns: bool = True, times: bool = True) -> Events:
    source, time, lists, _ = (np.array(column) for column in zip(*ROWS, strict=True))
    table = pl.DataFrame({"event": lists}) if columns else None
    edge = np.arange(len(ROWS))
    return Events(source, edge, time if times else None, edge, table, "rates")


def test_every_event_by_hand() -> None:
    assert LastLists().assign(events(), Key(0)).tolist() == [row[3] for row in ROWS]


def test_sources_with_few_lists_stay() -> None:
    stage = LastLists(least=3).assign(events(), Key(0))
    assert (stage[9:] == T).all()
    assert (stage[:9] != T).any()


def test_order_of_rows_does_not_matter() -> None:
    whole, turned = events(), np.arange(len(ROWS))[::-1]
    assert whole.columns is not None
    assert whole.time is not None
    mixed = Events(
        whole.source[turned],
        whole.target[turned],
        whole.time[turned],
        whole.edge[turned],
        whole.columns[turned],
        "rates",
    )
    one, two = LastLists().assign(whole, Key(0)), LastLists().assign(mixed, Key(0))
    assert np.array_equal(one[turned], two)


@pytest.mark.parametrize("part", ["columns", "times"])
def test_what_it_needs(part: str) -> None:
    with pytest.raises(GraphRecError, match=r"event nodes|times"):
        LastLists().assign(events(**{part: False}), Key(0))
