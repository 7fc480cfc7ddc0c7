"""Split protocols: a protocol assigns a stage (training, validation, test) to every interaction."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated
from typing import Protocol as Interface

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import Registry

Ints = npt.NDArray[np.int64]
Stages = npt.NDArray[np.int8]


class SplitPart(IntEnum):
    """The stage of an interaction: which views show it, and whether it is a target."""

    TRAIN = 0
    """Always seen."""
    VALID = 1
    """Predicted at validation, seen at test."""
    TEST = 2
    """Predicted at test, never seen."""
    VALID_CONTEXT = 3
    """Not trained on, seen from validation on (the start of a validation session)."""
    TEST_CONTEXT = 4
    """Not trained on, seen at test only."""
    DROPPED = 5
    """Never seen, never predicted."""


@dataclass(frozen=True)
class Events:
    """The interactions of one relation, in the order of :class:`~graphrec_pt.graph.graph.Edges`.

    Args:
        source: int64 ``[n]`` global ids.
        target: int64 ``[n]`` global ids.
        time: int64 ``[n]``, or None for an untimed relation.
        edge: int64 ``[n]`` edge ids.
        columns: Extra edge columns, row *i* for event *i*, or None.
        relation: Name of the relation.
    """

    source: Ints
    target: Ints
    time: Ints | None
    edge: Ints
    columns: pl.DataFrame | None
    relation: str


class SplitProtocol(Interface):
    """Assigns a stage to every interaction.

    A protocol that needs more than the events has a method ``on(graph)``, which returns the
    protocol for that graph.
    """

    relation: str | None
    """The interaction relation to predict; the first one by default."""

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event of the predicted relation: int8 ``[n]``."""
        ...


DEFAULT_SPLIT = "leave_one_out"
"""The protocol where neither a recipe nor a card names one."""
SPLIT_OF_CARD = "split_by_default"
"""Where a graph's provenance keeps the protocol of its card."""
protocol: Registry[SplitProtocol] = Registry("protocol")
"""``@protocol("name")`` makes a class usable as a split.

Example:
    >>> @protocol("first_half")
    ... @dataclass(frozen=True)
    ... class FirstHalf:
    ...     relation: str | None = None
    ...
    ...     def assign(self, events, key):
    ...         late = np.arange(len(events.source)) % 2
    ...         return np.where(late, SplitPart.TEST, SplitPart.TRAIN).astype(np.int8)
    >>> len(split(checkerboard(10), "first_half").test)
    20
"""

ProtocolField = Annotated[SplitProtocol, protocol]
"""Type of a config field that holds a split protocol."""

Follow = Callable[[Events, Stages, Events, Key], Stages]


def follow_pairs(events: Events, stage: Stages, other: Events, key: Key) -> Stages:
    """Return the stages of another interaction relation, copied from events of the same pairs.

    An event of the other relation between a held-out pair, in either direction, gets the stage of
    the held-out event, unless it happened strictly before it (a view before the purchase is known
    in advance).
    """
    held = stage != SplitPart.TRAIN
    pairs = pl.DataFrame(
        {
            "pair": _pairs(events)[held],
            "stage": stage[held],
            "from": np.zeros(int(held.sum()), np.int64)
            if events.time is None or other.time is None
            else events.time[held],
        }
    ).sort("pair", "from")
    rows = pl.DataFrame({"pair": _pairs(other)}).with_row_index("row")
    happened = np.zeros(len(other.source), np.int64)
    if events.time is not None and other.time is not None:
        happened = other.time
    matches = rows.with_columns(pl.Series("time", happened)).join(pairs, on="pair", how="inner")
    matches = matches.filter(pl.col("time") >= pl.col("from"))
    # An event after several held-out ones gets the latest of their stages.
    latest = matches.sort("row", "from").group_by("row", maintain_order=True).last()
    stages = np.zeros(len(other.source), np.int8)
    stages[latest["row"].to_numpy()] = latest["stage"].to_numpy()
    return stages


def follow_nodes(node: Ints, stage: Stages, other: Events) -> Stages:
    """Return the stages of another interaction relation, copied from the nodes of its events.

    Args:
        node: int64 ``[n]``, the node that decides about each event of the predicted relation.
        stage: int8 ``[n]``, the stages of those events.
        other: Events that may touch the nodes at either end.
    """
    known = {SplitPart.VALID_CONTEXT: SplitPart.VALID, SplitPart.TEST_CONTEXT: SplitPart.TEST}
    size = max(int(ids.max(initial=-1)) for ids in (node, other.source, other.target)) + 1
    fate = np.zeros(size, np.int8)
    for held in (SplitPart.VALID, SplitPart.TEST):  # the later stage wins
        fate[node[(stage == held) | np.isin(stage, [c for c in known if known[c] == held])]] = held
    return np.maximum(fate[other.source], fate[other.target])


def _pairs(events: Events) -> Ints:
    """Return one number per unordered pair of nodes: int64 ``[n]``."""
    low, high = np.minimum(events.source, events.target), np.maximum(events.source, events.target)
    return low << 32 | high


def ranks_from_end(source: Ints) -> tuple[Ints, Ints]:
    """Return each event's rank from the end of its source's history, and the history's length."""
    starts = np.flatnonzero(np.diff(source, prepend=-1))
    length = np.diff(np.append(starts, len(source)))
    after = np.repeat(starts + length - 1, length) - np.arange(len(source))
    return after, np.repeat(length, length)
