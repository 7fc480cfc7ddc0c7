"""Axes of small charts: round ticks, and where a value stands."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, log10

STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """A linear axis.

    Args:
        low: Value at `start`.
        high: Value at `stop`.
        start: A coordinate.
        stop: Another one.
    """

    low: float
    high: float
    start: float
    stop: float

    @classmethod
    def around(
        cls, values: Iterable[float], start: float, stop: float, margin: float = 0.0
    ) -> "Axis":
        """Return the axis that holds all values, with a share of their range on either side."""
        known = list(values)
        low, high = min(known), max(known)
        room = margin * (high - low) or abs(high) / 10 or 1.0
        return cls(low - room, high + room, start, stop)

    def at(self, value: float) -> float:
        """Return the coordinate of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """Return (coordinate, label) at round values, at most so many."""
        exact = (self.high - self.low) / most
        power = 10.0 ** floor(log10(exact))
        # 0.9999: a step that is round but for rounding is taken.
        step = next(power * each for each in STEPS if power * each >= exact * 0.9999)
        digits = max(-floor(log10(step) + 1e-9), 0)
        first = -floor(-self.low / step)
        last = floor(self.high / step)
        return [(self.at(n * step), f"{n * step:,.{digits}f}") for n in range(first, last + 1)]
