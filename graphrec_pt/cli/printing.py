"""What commands print, and bars for what takes long."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

BAR_AFTER = 2.0  # seconds before a progress bar appears


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a progress callback; its bar shows on anything that takes over two seconds."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("starting", total=None)

    def tell(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total or None)

    late = Timer(BAR_AFTER, bar.start)
    if bar.console.is_terminal:  # elsewhere a bar leaves nothing but an empty line
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
def told() -> Iterator[None]:
    """Show what the library tells of a run, on standard error."""
    logger = logging.getLogger("graphrec_pt")
    shown, level = logging.StreamHandler(), logger.level
    shown.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(shown)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(shown)
        logger.setLevel(level)
