"""The terminal: printing, progress bars, and the log of a run."""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import (
    Console,
    ConsoleOptions,
    HighlighterType,
    JustifyMethod,
    OverflowMethod,
    RenderableType,
)
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from graphrec_pt.core.printable import printable

BAR_AFTER = 2.0  # seconds before a progress bar appears


class Terminal(Console):
    """A console to which titles, names and paths are data: no markup, no control characters.

    Args:
        stderr: Write to standard error.
        width: Of a line; that of the terminal by default.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False)

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        emoji: bool | None = None,
        markup: bool | None = None,
        highlight: bool | None = None,
        highlighter: HighlighterType | None = None,
    ) -> Text:
        """Return a text whose control characters are written out, so that its width is known."""
        return super().render_str(
            printable(text),
            style=style,
            justify=justify,
            overflow=overflow,
            emoji=emoji,
            markup=markup,
            highlight=highlight,
            highlighter=highlighter,
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render something; control segments of rich itself stay as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a progress callback; its bar appears after two seconds."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    bar = Progress(*columns, console=Terminal(stderr=True), transient=True)
    task = bar.add_task("starting", total=None)

    def tell(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total or None)

    late = Timer(BAR_AFTER, bar.start)
    if bar.console.is_terminal:  # in a file a bar would leave an empty line
        late.start()
    try:
        yield tell
    finally:
        late.cancel()
        if bar.live.is_started:
            bar.stop()


def print_json(value: object) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


@contextmanager
def run_log() -> Iterator[None]:
    """Print the log of a run on standard error."""
    logger = logging.getLogger("graphrec_pt")
    shown, level = logging.StreamHandler(), logger.level
    shown.setFormatter(_Printable("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(shown)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(shown)
        logger.setLevel(level)


@contextmanager
def compile_notice() -> Iterator[None]:
    """Say on standard error when kernels are compiled, as the first command on a machine does."""
    logger = logging.getLogger("graphrec_pt.kernels")
    shown, level, propagated = logging.StreamHandler(), logger.level, logger.propagate
    logger.addHandler(shown)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # the log of a run would show it again
    try:
        yield
    finally:
        logger.removeHandler(shown)
        logger.setLevel(level)
        logger.propagate = propagated


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
