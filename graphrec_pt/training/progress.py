"""Progress of a run: mean losses per row, as a bar on a terminal, otherwise as log lines.

There is one way to reduce losses. A row is the mean over the steps since the row before it, at most
``log_every`` of them; ``metrics.jsonl``, the console, the log and the report all show rows.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Summary:
    """The means of a row.

    Args:
        step: Steps of the stage done.
        total: Steps of the stage.
        losses: Mean loss of each objective over the steps of the row that had one.
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
    """Sums of the steps of a row; losses stay on their device until :meth:`take`.

    Args:
        total: Steps of the stage.
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
            self._steps[name] = self._steps.get(name, 0) + 1
        self._tokens += tokens
        self._room += tokens / (1 - waste)

    def take(self, step: int) -> Summary:
        """Return the means of the row, and begin the next one.

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

    def restart_clock(self) -> None:
        """Restart the clock of the row, so that time outside of steps does not count."""
        self.since = self.clock()

    def state(self) -> dict[str, Any]:
        """Return the sums of the row as JSON values, for a checkpoint."""
        losses = {name: float(loss) for name, loss in self._losses.items()}
        steps = dict(self._steps)
        return {"losses": losses, "steps": steps, "tokens": self._tokens, "room": self._room}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on with the row of a checkpoint."""
        self._losses.update(state["losses"])
        self._steps.update(state["steps"])
        self._tokens, self._room = state["tokens"], state["room"]

    def _clear(self) -> None:
        self.since = self.clock()
        self._losses: dict[str, Tensor | float] = {}
        self._steps: dict[str, int] = {}
        self._tokens, self._room = 0, 0.0


class Progress:
    """Shows the last row every few seconds.

    Args:
        show: Called with the row.
        every: Seconds between two of them.
        advance: Called with the steps done, after every step.
        clock: Returns seconds.
    """

    def __init__(
        self,
        show: Callable[[Summary], None],
        every: float,
        advance: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.show, self.every, self.advance, self.clock = show, every, advance, clock
        self._shown = clock()
        self._latest: Summary | None = None

    def step(self, done: int) -> None:
        """Count a step."""
        if self.advance is not None:
            self.advance(done)

    def row(self, summary: Summary) -> None:
        """Take a row, and show it if it is time."""
        self._latest = summary
        if self.clock() - self._shown >= self.every:
            self.close()

    def close(self) -> None:
        """Show the last row, unless it was shown."""
        if self._latest is not None:
            self.show(self._latest)
            self._shown, self._latest = self.clock(), None


@contextmanager
def progress(
    total: int, start: int = 0, *, every: float = 30.0, console: "Console | None" = None
) -> Iterator[Progress]:
    """Show a stage: a bar of rich where there is a terminal, else lines of logging at level INFO.

    Args:
        total: Steps of the stage.
        start: Steps done before.
        every: Seconds between lines of the log.
        console: Console of the bar; standard error by default.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    if console.is_terminal:
        with _bar(total, start, console) as shown:
            yield shown
        return
    lines = Progress(_log, every)
    try:
        yield lines
    finally:
        lines.close()


def _log(summary: Summary) -> None:
    logger.info("step %d of %d: %s", summary.step, summary.total, summary)


@contextmanager
def _bar(total: int, start: int, console: "Console") -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("", total=total, completed=start)

        def show(summary: Summary) -> None:
            bars.update(task, completed=summary.step, description=str(summary))

        def advance(done: int) -> None:
            bars.update(task, completed=done)

        shown = Progress(show, 0.5, advance)
        try:
            yield shown
        finally:
            shown.close()
