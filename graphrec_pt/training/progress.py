"""How far a run is: a bar on a terminal, a line of log now and then elsewhere."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Summary:
    """What happened since the last one.

    Args:
        step: Steps done.
        total: Steps of the run.
        losses: Mean loss of each objective over the steps that had one.
        rate: Tokens per second.
        waste: Share of padding, had every batch been padded to its longest sequence.
        left: Seconds to the end at the pace so far; None before the first step.
    """

    step: int
    total: int
    losses: dict[str, float]
    rate: float
    waste: float
    left: float | None

    def __str__(self) -> str:
        parts = [f"{name} {loss:.4g}" for name, loss in self.losses.items()]
        parts += [f"{self.rate:,.0f} tokens/s", f"{self.waste:.1%} padding"]
        if self.left is not None:
            parts.append(f"{timedelta(seconds=round(self.left))} left")
        return " · ".join(parts)


class Meter:
    """Sums up steps until somebody looks; losses stay on their device till then.

    Args:
        total: Steps of the run.
        start: Steps done before.
        clock: Returns seconds.
    """

    def __init__(
        self, total: int, start: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.start, self.clock = total, start, clock
        self.begun = clock()
        self._clear()

    def add(self, losses: Mapping[str, Tensor | float], tokens: int, waste: float) -> None:
        """Count a step.

        Args:
            losses: By objective; those without a loss in this step are left out.
            tokens: Tokens of the step.
            waste: Share of padding of the step, below 1.
        """
        for name, loss in losses.items():
            value = loss.detach() if isinstance(loss, Tensor) else loss
            self._losses[name] = self._losses[name] + value if name in self._losses else value
            self._steps[name] += 1
        self._tokens += tokens
        self._room += tokens / (1 - waste)

    def take(self, step: int) -> Summary:
        """Return what happened since the last look, and begin anew.

        Args:
            step: Steps done.
        """
        now = self.clock()
        done, spent = step - self.start, now - self.begun
        summary = Summary(
            step,
            self.total,
            {name: float(loss) / self._steps[name] for name, loss in self._losses.items()},
            self._tokens / max(now - self.since, 1e-9),
            1 - self._tokens / self._room if self._room else 0.0,
            spent / done * (self.total - step) if done else None,
        )
        self._clear()
        return summary

    def _clear(self) -> None:
        self.since = self.clock()
        self._losses: dict[str, Tensor | float] = {}
        self._steps: Counter[str] = Counter()
        self._tokens, self._room = 0, 0.0


class Progress:
    """Shows a summary every few seconds.

    Args:
        meter: Sums up.
        show: Called with each summary.
        every: Seconds between summaries.
    """

    def __init__(self, meter: Meter, show: Callable[[Summary], None], every: float) -> None:
        self.meter, self.show, self.every = meter, show, every
        self._step = self._shown = meter.start

    def update(
        self, step: int, losses: Mapping[str, Tensor | float], tokens: int, waste: float
    ) -> None:
        """Count a step, and show if it is time.

        Args:
            step: Steps done.
            losses: As for :meth:`Meter.add`.
            tokens: Likewise.
            waste: Likewise.
        """
        self.meter.add(losses, tokens, waste)
        self._step = step
        if self.meter.clock() - self.meter.since >= self.every:
            self._look()

    def close(self) -> None:
        """Show what was not shown yet."""
        if self._step > self._shown:
            self._look()

    def _look(self) -> None:
        self._shown = self._step
        self.show(self.meter.take(self._step))


@contextmanager
def progress(
    total: int, start: int = 0, *, every: float = 30.0, console: "Console | None" = None
) -> Iterator[Progress]:
    """Show a run: a bar of rich where there is a terminal, else lines of logging at level INFO.

    Args:
        total: Steps of the run.
        start: Steps done before.
        every: Seconds between lines of the log.
        console: Where the bar goes; standard error by default.
    """
    from rich.console import Console

    meter, console = Meter(total, start), console or Console(stderr=True)
    if console.is_terminal:
        with _bar(meter, console) as shown:
            yield shown
        return
    lines = Progress(meter, _log, every)
    try:
        yield lines
    finally:
        lines.close()


def _log(summary: Summary) -> None:
    logger.info("step %d of %d: %s", summary.step, summary.total, summary)


@contextmanager
def _bar(meter: Meter, console: "Console") -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("", total=meter.total, completed=meter.start)

        def show(summary: Summary) -> None:
            bars.update(task, completed=summary.step, description=str(summary))

        shown = Progress(meter, show, every=0.5)
        try:
            yield shown
        finally:
            shown.close()
