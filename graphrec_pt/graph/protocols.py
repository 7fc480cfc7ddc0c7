"""The protocols: leave-one-out, ratio, global time, session, cold items, cold users, fixed."""

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.key import Key, draw32
from graphrec_pt.graph.protocol import (
    Events,
    Ints,
    SplitPart,
    Stages,
    follow_nodes,
    follow_pairs,
    protocol,
    ranks_from_end,
)

Share = Annotated[float, Field(ge=0, lt=1)]


@protocol("leave_one_out")
class LeaveOneOut:
    """Hold out the last event of each source for test, the one before for validation.

    Untimed events are put in a random order first, fixed by the key; events at one time are in the
    random order in which the graph stores them.

    Args:
        relation: Interaction relation to predict; the first one by default.
        least: Sources with fewer events stay in training altogether.
    """

    relation: str | None = None
    least: int = Field(3, ge=3)

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        after, length = _from_end(events, key)
        stage = np.full(len(after), SplitPart.TRAIN, np.int8)
        stage[(after == 0) & (length >= self.least)] = SplitPart.TEST
        stage[(after == 1) & (length >= self.least)] = SplitPart.VALID
        return stage


@protocol("ratio")
class Ratio:
    """The last share of each source's events to test, the share before to validation.

    A source with *n* events gives ``⌊n · test⌋`` and ``⌊n · valid⌋`` of them.

    Args:
        relation: Interaction relation to predict; the first one by default.
        valid: Share of a source's events for validation.
        test: Share for test.
        shuffle: Take random events instead of the last ones, fixed by the key.
    """

    relation: str | None = None
    valid: Share = 0.1
    test: Share = 0.2
    shuffle: bool = False

    def __post_init__(self) -> None:
        check_shares("ratio", self.valid, self.test)

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        after, length = _from_end(events, key, shuffle=self.shuffle)
        test = np.floor(length * self.test + 1e-9).astype(np.int64)
        valid = np.floor(length * self.valid + 1e-9).astype(np.int64)
        stage = np.full(len(after), SplitPart.TRAIN, np.int8)
        stage[after < test + valid] = SplitPart.VALID
        stage[after < test] = SplitPart.TEST
        return stage


@protocol("global_time")
class GlobalTime:
    """Cut at two dates: events from `test_from` on are test, from `valid_from` on validation.

    Args:
        relation: Interaction relation to predict; the first one by default.
        valid: Share of all events for validation, where no dates are given.
        test: Share of all events for test.
        valid_from: First time of validation, in the graph's unit.
        test_from: First time of test.
    """

    relation: str | None = None
    valid: Share = 0.1
    test: Share = 0.1
    valid_from: int | None = None
    test_from: int | None = None

    def __post_init__(self) -> None:
        check_shares("global_time", self.valid, self.test)

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        return self.follow(events, np.empty(0, np.int8), events, key)

    def follow(self, events: Events, stage: Stages, other: Events, key: Key) -> Stages:
        """Cut another interaction relation at the same two dates."""
        valid_from, test_from = self._cuts(_times(events, "global_time"))
        time = other.time
        if time is None:
            return follow_pairs(events, self.assign(events, key), other, key)
        stages = np.where(time >= valid_from, SplitPart.VALID, SplitPart.TRAIN).astype(np.int8)
        stages[time >= test_from] = SplitPart.TEST
        return stages

    def _cuts(self, time: Ints) -> tuple[int, int]:
        if not len(time):
            return 0, 0
        ordered = np.sort(time)
        n = len(ordered)
        test_at = min(n - 1, int(np.ceil(n * (1 - self.test))))
        valid_at = min(n - 1, int(np.ceil(n * (1 - self.test - self.valid))))
        test_from = int(ordered[test_at]) if self.test_from is None else self.test_from
        valid_from = int(ordered[valid_at]) if self.valid_from is None else self.valid_from
        if valid_from > test_from:
            raise GraphRecError(
                "global_time", "valid_from <= test_from", f"{valid_from} > {test_from}"
            )
        return valid_from, test_from


@protocol("session")
class SessionProtocol:
    """The latest sessions to test, those before to validation; the last event is predicted.

    Sources are sessions, ordered by the time of their last event. The events before the last one
    are context: seen when the session is evaluated, never trained on.

    Args:
        relation: Session → item relation; the first interaction relation by default.
        valid: Share of the sessions for validation.
        test: Share for test.
    """

    relation: str | None = None
    valid: Share = 0.1
    test: Share = 0.1

    def __post_init__(self) -> None:
        check_shares("session", self.valid, self.test)

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        time = _times(events, "session")
        after, length = ranks_from_end(events.source)
        last = after == 0
        ends = np.sort(time[last])
        n = len(ends)
        when = time[np.arange(len(after)) + after]  # time at which each event's session ended
        test_from = ends[min(n - 1, int(np.ceil(n * (1 - self.test))))] if n else 0
        valid_from = ends[min(n - 1, int(np.ceil(n * (1 - self.test - self.valid))))] if n else 0
        in_test = (when >= test_from) & (self.test > 0)
        in_valid = (when >= valid_from) & ~in_test & (self.valid > 0)
        stage = np.full(len(after), SplitPart.TRAIN, np.int8)
        stage[in_valid] = np.where(last[in_valid], SplitPart.VALID, SplitPart.VALID_CONTEXT)
        stage[in_test] = np.where(last[in_test], SplitPart.TEST, SplitPart.TEST_CONTEXT)
        stage[(length == 1) & (in_valid | in_test)] = SplitPart.DROPPED
        return stage

    def follow(self, events: Events, stage: Stages, other: Events, key: Key) -> Stages:
        """Hold the same sessions out of another interaction relation.

        What happened before the predicted event is context too, the rest shares its stage.
        """
        last = np.flatnonzero(np.diff(events.source, append=-1))
        size = max(int(ids.max(initial=-1)) for ids in (events.source, other.source)) + 1
        fate, until = np.zeros(size, np.int8), np.zeros(size, np.int64)
        fate[events.source[last]] = stage[last]
        until[events.source[last]] = _times(events, "session")[last]
        stages = fate[other.source]
        early = other.time is not None and other.time < until[other.source]
        stages[early & (stages == SplitPart.VALID)] = SplitPart.VALID_CONTEXT
        stages[early & (stages == SplitPart.TEST)] = SplitPart.TEST_CONTEXT
        return np.where(stages > 0, stages, follow_pairs(events, stage, other, key))


@protocol("cold_items")
class ColdItems:
    """Hold out all events of random targets (cold items).

    Args:
        relation: Interaction relation to predict; the first one by default.
        valid: Share of the targets that are new at validation.
        test: Share that is new at test.
    """

    relation: str | None = None
    valid: Share = 0.1
    test: Share = 0.1

    def __post_init__(self) -> None:
        check_shares("cold_items", self.valid, self.test)

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        return drawn(events.target, key.named("cold_items"), self.valid, self.test)

    def follow(self, events: Events, stage: Stages, other: Events, key: Key) -> Stages:
        """Hold the same nodes out of another interaction relation."""
        return follow_nodes(events.target, stage, other)


@protocol("cold_users")
class ColdUsers:
    """Hold out random sources (cold users): training sees none of their events.

    The evaluation sees their first `context` events and predicts the rest.

    Args:
        relation: Interaction relation to predict; the first one by default.
        valid: Share of the sources that are new at validation.
        test: Share that is new at test.
        context: Events that are known of a new source.
    """

    relation: str | None = None
    valid: Share = 0.1
    test: Share = 0.1
    context: int = Field(1, ge=0)

    def __post_init__(self) -> None:
        check_shares("cold_users", self.valid, self.test)

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        after, length = _from_end(events, key)
        early = length - 1 - after < self.context
        stage = drawn(events.source, key.named("cold_users"), self.valid, self.test)
        known = {SplitPart.VALID: SplitPart.VALID_CONTEXT, SplitPart.TEST: SplitPart.TEST_CONTEXT}
        return np.select(
            [early & (stage == held) for held in known], list(known.values()), stage
        ).astype(np.int8)

    def follow(self, events: Events, stage: Stages, other: Events, key: Key) -> Stages:
        """Hold the same nodes out of another interaction relation, without any context."""
        return follow_nodes(events.source, stage, other)


@protocol("fixed")
class Fixed:
    """Read the split from a column of the edges.

    The parts are used unchanged; :class:`~graphrec_pt.graph.split.Split` warns where one part
    repeats pairs of another.

    Args:
        relation: Interaction relation to predict; the first one by default.
        column: Edge column with the names.
        train: Name of training in that column.
        valid: Name of validation.
        test: Name of test.
    """

    relation: str | None = None
    column: str = "split"
    train: str = "train"
    valid: str = "valid"
    test: str = "test"
    given: ClassVar[bool] = True

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        columns = events.columns.columns if events.columns is not None else []
        if events.columns is None or self.column not in columns:
            raise GraphRecError(
                "fixed",
                f"an edge column {self.column!r} on {events.relation!r}",
                ", ".join(columns) or "no edge columns",
                did_you_mean(self.column, columns),
            )
        names = {
            self.train: SplitPart.TRAIN,
            self.valid: SplitPart.VALID,
            self.test: SplitPart.TEST,
        }
        parts = events.columns[self.column].cast(pl.String)
        other = sorted({str(name) for name in parts.unique()} - set(names))
        if other:
            raise GraphRecError("fixed", "one of " + ", ".join(names), ", ".join(other[:3]))
        return parts.replace_strict(names, return_dtype=pl.Int8).to_numpy().astype(np.int8)

    def follow(self, events: Events, stage: Stages, other: Events, key: Key) -> Stages:
        """Read another interaction relation's own column, or hold its pairs out."""
        if other.columns is not None and self.column in other.columns:
            return np.maximum(self.assign(other, key), follow_pairs(events, stage, other, key))
        return follow_pairs(events, stage, other, key)


def check_shares(who: str, valid: float, test: float) -> None:
    """Refuse shares of held-out events that leave nothing to train on."""
    if valid + test >= 1:
        raise GraphRecError(
            who, "valid + test < 1, so that something is left to train on", f"{valid:g} + {test:g}"
        )


def _from_end(events: Events, key: Key, *, shuffle: bool = False) -> tuple[Ints, Ints]:
    """Return rank from the end and history length; untimed histories are shuffled."""
    after, length = ranks_from_end(events.source)
    if events.time is not None and not shuffle:
        return after, length
    bits = draw32(key.named("shuffle"), events.edge.astype(np.uint32))
    mixed = np.lexsort((bits, events.source))
    shuffled = np.empty_like(after)
    shuffled[mixed] = after
    return shuffled, length


def _times(events: Events, who: str) -> Ints:
    if events.time is None:
        raise GraphRecError(
            who, "a timed relation", repr(events.relation), "leave_one_out or ratio"
        )
    return events.time


def drawn(nodes: Ints, key: Key, valid: float, test: float) -> Stages:
    """Return a stage per node; a node's draw depends on the key and on its id alone."""
    bits = draw32(key, nodes.astype(np.uint32)).astype(np.float64) / 2**32
    return np.select(
        [bits < test, bits < test + valid], [SplitPart.TEST, SplitPart.VALID], SplitPart.TRAIN
    ).astype(np.int8)
