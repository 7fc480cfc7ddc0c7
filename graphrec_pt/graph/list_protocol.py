"""The split protocol of lists: of each source the last list is the test, whole."""

import numpy as np
import polars as pl
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.protocol import Events, Ints, SplitPart, Stages, protocol

EVENT = "event"
"""Edge column with the place of the node that an interaction belongs to."""


@protocol("last_lists")
class LastLists:
    """Hold out the last list of each source for test, and the list before for validation.

    A list is the event node that interactions share: an impression, a sitting, an order. All
    interactions of a held-out list are targets together, so that none of them is seen when another
    is predicted. Interactions without a list are never predicted; those that happened after a
    held-out list began are hidden from whatever is asked about it.

    Args:
        relation: Interaction relation to predict, with `event:`; the first one by default.
        least: Sources with fewer lists stay in training altogether. A source with two lists has a
            test and no validation.
    """

    relation: str | None = None
    least: int = Field(2, ge=2)

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``.

        Raises:
            GraphRecError: For a relation without times or without event nodes.
        """
        if events.columns is None or EVENT not in events.columns.columns:
            hint = "event: in the card, or leave_one_out"
            got = f"{events.relation!r} without"
            raise GraphRecError("last_lists", "a relation with event nodes", got, hint)
        if events.time is None:
            got = f"{events.relation!r} without"
            raise GraphRecError("last_lists", "a relation with times", got, "time: in the card")
        table = pl.DataFrame(
            {
                "source": events.source,
                "time": events.time,
                "list": events.columns[EVENT].fill_null(-1).cast(pl.Int64),  # below 0 for none
            }
        ).with_row_index("row")
        lists = (
            table.filter(pl.col("list") >= 0).group_by("source", "list").agg(pl.col("time").min())
        )
        lists = lists.sort("source", "time", "list").with_columns(
            after=pl.len().over("source") - 1 - pl.int_range(pl.len()).over("source"),
            count=pl.len().over("source"),
        )
        held = lists.filter((pl.col("count") >= self.least) & (pl.col("after") < 2))
        # A source keeps at least one list to train on.
        held = held.filter((pl.col("after") == 0) | (pl.col("count") > 2))
        begins = {
            stage: held.filter(pl.col("after") == after).select("source", began="time")
            for stage, after in ((SplitPart.TEST, 0), (SplitPart.VALID, 1))
        }
        stage = np.full(len(table), SplitPart.TRAIN, np.int8)
        for name, hidden in (
            (SplitPart.VALID, SplitPart.TEST_CONTEXT),
            (SplitPart.TEST, SplitPart.DROPPED),
        ):
            later = table.join(begins[name], on="source").filter(pl.col("time") >= pl.col("began"))
            stage[_rows(later)] = hidden
        for name, after in ((SplitPart.VALID, 1), (SplitPart.TEST, 0)):
            chosen = held.filter(pl.col("after") == after).select("source", "list")
            stage[_rows(table.join(chosen, on=["source", "list"]))] = name
        return stage


def _rows(table: pl.DataFrame) -> Ints:
    rows: Ints = table["row"].to_numpy().astype(np.int64)
    return rows
