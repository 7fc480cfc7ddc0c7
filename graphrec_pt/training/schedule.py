"""Schedules: a factor as a pure function of the step, of learning rates and objective weights.

A schedule keeps no count, so a run that resumes at step *t* goes on with the factor of step *t*.
Any of them may drive a learning rate or the weight of an objective::

    cosine(warmup=0.1)                       learning rate
    curriculum(points=[(0, 0), (0.3, 1)])    an objective that joins at 30 % of the run
    alternate(which=1)                       an objective of every second step
"""

from collections.abc import Sequence
from itertools import pairwise
from math import cos, pi
from typing import Annotated, Protocol

from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry


class Schedule(Protocol):
    """A frozen config that turns a step into a factor.

    Example:
        >>> @schedule("half_way")
        ... class HalfWay:
        ...     def factor(self, step: int, total: int) -> float:
        ...         return 1.0 if 2 * step < total else 0.5
        >>> schedule.build("half_way").factor(8, 10)
        0.5
    """

    def factor(self, step: int, total: int) -> float:
        """Return the factor of an optimiser step.

        Args:
            step: Steps done before it, from 0.
            total: Steps of the whole run.
        """
        ...


schedule: Registry[Schedule] = Registry("schedule")
"""``@schedule("name")`` makes a class usable as a schedule."""

ScheduleField = Annotated[Schedule, schedule]
"""Type of a config field that holds a schedule."""


@schedule("constant")
class Constant:
    """A linear rise from 0, then 1.

    Args:
        warmup: Steps of the rise; their share of all steps when below 1.
    """

    warmup: float = Field(0, ge=0)

    def factor(self, step: int, total: int) -> float:
        """Return ``min(1, t / w)``."""
        return _rise(step, _steps(self.warmup, total))


@schedule("linear")
class LinearSchedule:
    """A linear rise from 0 to 1, then a linear fall.

    Args:
        warmup: Steps of the rise; their share of all steps when below 1.
        floor: What the fall ends at.
    """

    warmup: float = Field(0, ge=0)
    floor: float = Field(0, ge=0, le=1)

    def factor(self, step: int, total: int) -> float:
        """Return ``t / w`` before step w, then ``f + (1 − f) · (T − t) / (T − w)``."""
        warmup = _steps(self.warmup, total)
        if step < warmup:
            return _rise(step, warmup)
        return self.floor + (1 - self.floor) * (1 - _fall(step, warmup, total))


@schedule("cosine")
class Cosine:
    """A linear rise from 0 to 1, then half a cosine (Loshchilov & Hutter, SGDR, ICLR 2017).

    Args:
        warmup: Steps of the rise; their share of all steps when below 1.
        floor: What the fall ends at.
    """

    warmup: float = Field(0, ge=0)
    floor: float = Field(0, ge=0, le=1)

    def factor(self, step: int, total: int) -> float:
        """Return ``t / w`` before step w, then ``f + (1 − f) · ½ (1 + cos(π (t − w)/(T − w)))``."""
        warmup = _steps(self.warmup, total)
        if step < warmup:
            return _rise(step, warmup)
        return self.floor + (1 - self.floor) * (1 + cos(pi * _fall(step, warmup, total))) / 2


@schedule("curriculum")
class Curriculum:
    """Stairs: each factor holds from a share of the run on, until the next one does.

    Args:
        points: (share of the run, factor), shares ascending from 0.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        _check_points("curriculum", self.points)

    def factor(self, step: int, total: int) -> float:
        """Return the factor of the last point with ``share · T ≤ t``."""
        return [factor for share, factor in self.points if share * total <= step][-1]


@schedule("ramp")
class Ramp:
    """Straight lines between factors at shares of the run; the last one holds to the end.

    Args:
        points: (share of the run, factor), shares ascending from 0.
    """

    points: tuple[tuple[float, float], ...] = ((0, 0), (1, 1))

    def __post_init__(self) -> None:
        _check_points("ramp", self.points)

    def factor(self, step: int, total: int) -> float:
        """Return ``a + (b − a) (t/T − p) / (q − p)`` between points (p, a) and (q, b)."""
        progress = step / max(1, total)
        for (p, a), (q, b) in pairwise(self.points):
            if progress < q:
                return a + (b - a) * (progress - p) / (q - p)
        return self.points[-1][1]


@schedule("alternate")
class Alternate:
    """Turns: 1 while it is this one's turn, else 0.

    Args:
        which: Number of the turn, from 0.
        period: Steps of a turn.
        turns: How many take turns.
    """

    which: int = Field(0, ge=0)
    period: int = Field(1, ge=1)
    turns: int = Field(2, ge=1)

    def __post_init__(self) -> None:
        if self.which >= self.turns:
            raise GraphRecError("alternate", f"which in [0, {self.turns})", self.which)

    def factor(self, step: int, total: int) -> float:
        """Return 1 where ``⌊t / period⌋ mod turns = which``, else 0."""
        return float(step // self.period % self.turns == self.which)


def _steps(warmup: float, total: int) -> float:
    return warmup * total if warmup < 1 else warmup


def _rise(step: int, warmup: float) -> float:
    return step / warmup if step < warmup else 1.0


def _fall(step: int, warmup: float, total: int) -> float:
    """Return how much of the steps after warm-up is done: 0 to 1."""
    return min(1.0, (step - warmup) / max(1, total - warmup))


def _check_points(who: str, points: Sequence[tuple[float, float]]) -> None:
    shares = [share for share, _ in points]
    ascending = all(p < q for p, q in pairwise(shares))
    if not shares or shares[0] != 0 or not ascending or shares[-1] > 1:
        raise GraphRecError(who, "shares of the run ascending from 0 to at most 1", shares)
