"""Contestants that take turns, each in a process of its own: nobody pays for another's imports."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from sections.steps import Done, Step


class Turn:
    """A process that takes steps when it is asked to, and sleeps till then.

    Args:
        make: Builds the steps there; picklable.
        threads: Of torch.
        arguments: Of `make`.
    """

    def __init__(self, make: Callable[..., Step], threads: int, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        given = make, there, threads, arguments
        self._process = context.Process(target=_serve, args=given, daemon=True)
        self._process.start()
        self._here.recv()  # built

    def rate(self, seconds: float) -> tuple[float, float]:
        """Return targets and tokens per second over some seconds of steps."""
        self._here.send(seconds)
        measured: tuple[float, float] = self._here.recv()
        return measured

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def rate(step: Step, seconds: float) -> tuple[float, float]:
    """Return targets and tokens per second over some seconds of steps."""
    begin, total = time.perf_counter(), Done(0, 0)
    while (spent := time.perf_counter() - begin) < seconds:
        done = step()
        total = Done(total.targets + done.targets, total.tokens + done.tokens)
    return total.targets / spent, total.tokens / spent


def _serve(
    make: Callable[..., Step], there: Connection, threads: int, arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(threads)
    step = make(*arguments)
    there.send(None)
    while True:
        there.send(rate(step, there.recv()))


def ours(folder: Path, stage: dict[str, Any], way: str) -> Step:
    """Return our steps on a stored graph, packed or padded; made where they are taken."""
    from graphrec_pt.graph.split import split
    from graphrec_pt.graph.store import open_graph
    from sections.steps import model_of, packed, padded, stage_of

    train = split(open_graph(folder)).train
    given = train, stage_of(stage), model_of(train)
    return packed(*given) if way == "packed" else padded(*given, every_place=way == "padded")


def theirs(folder: Path, name: str, scratch: Path) -> Step:
    """Return RecBole's steps on a stored graph."""
    import os

    from graphrec_pt.graph.store import open_graph
    from sections.steps import recbole

    own = scratch / name
    own.mkdir()
    os.chdir(own)  # it writes where it runs
    return recbole(open_graph(folder), name, own)
