"""Rates of contestants measured in turn, so that a noisy machine disturbs all of them alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Settings:
    """How long a section may take.

    Args:
        quick: Small graphs, to see that everything runs.
        rounds: How often each contestant runs.
    """

    quick: bool = False
    rounds: int = 7


@dataclass(frozen=True)
class Row:
    """One line of the table: our rate beside a peer's.

    Args:
        op: What was done.
        graph: On which graph.
        unit: Of both rates, e.g. ``"M steps/s"``.
        ours: Our median rate.
        peer: Name of the peer; empty when there is none.
        theirs: Its median rate.
        ratio: Median over rounds of ours / theirs, both from the same round.
        target: The ratio to reach, if one is set.
        note: What else a reader must know.
    """

    op: str
    graph: str
    unit: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    target: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Contestant:
    """Somebody who does the work.

    Args:
        name: Of the library.
        run: Does the work once and returns how many units that was.
        target: The ratio ours / theirs to reach.
        note: What else a reader must know.
    """

    name: str
    run: Callable[[], int]
    target: float | None = None
    note: str = ""


def contest(
    op: str,
    graph: str,
    unit: str,
    ours: Callable[[], int],
    peers: Sequence[Contestant],
    settings: Settings,
    scale: float = 1e6,
) -> list[Row]:
    """Run everybody in turn and return a row per peer, or one alone when there is none.

    The first round warms caches and compiled code and is not counted.
    """
    everyone = [Contestant("ours", ours), *peers]
    rates: dict[str, list[float]] = {contestant.name: [] for contestant in everyone}
    for number in range(settings.rounds + 1):
        for contestant in everyone:
            begin = time.perf_counter()
            work = contestant.run()
            rate = work / (time.perf_counter() - begin) / scale
            if number:
                rates[contestant.name].append(rate)
    mine = rates["ours"]
    if not peers:
        return [Row(op, graph, unit, median(mine))]
    return [
        Row(
            op,
            graph,
            unit,
            ours=median(mine),
            peer=peer.name,
            theirs=median(rates[peer.name]),
            ratio=median(a / b for a, b in zip(mine, rates[peer.name], strict=True)),
            target=peer.target,
            note=peer.note,
        )
        for peer in peers
    ]
