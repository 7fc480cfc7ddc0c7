"""Measurements of interaction histories that may distort an evaluation: ties, repeats, id order."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec_pt.core.printable import counted
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import Relation

Ints = npt.NDArray[np.int64]

TELLING = 0.5
"""Rank correlation from which an id order is worth a warning."""
NEXT_OVER_CHANCE = 10
"""Ratio to chance of steps to "the last id + 1" from which a warning is given."""


@dataclass(frozen=True)
class IdOrder:
    """How well ids predict the order in which targets first appear.

    Args:
        ids: Which ids: ``"raw"`` or ``"node"``.
        appearance: Largest rank correlation (Spearman) of ids with first appearance, either in
            time or in histories read one after the other by raw source id; None if incomputable.
        exact: Whether ids never fall from one first appearance to the next.
        successor: Share of steps of a history that go from an id to the id + 1.
    """

    ids: str
    appearance: float | None
    exact: bool
    successor: float


@dataclass(frozen=True)
class Histories:
    """The histories of one interaction relation.

    Args:
        relation: Its name.
        sources: Sources with a history.
        targets: Targets in some history.
        duplicates: Edges equal to another in source, target and time.
        repeats: Further edges that join a pair at another time.
        ties: Steps of a history between different targets at one time.
        tied_sources: Sources with such a step.
        tied_last: Sources whose last step is one.
        short: Sources with fewer than three edges.
        cold_last: Sources whose last target is in no other place of any history.
        orders: Order of raw ids (if they are numbers) and of node ids.
    """

    relation: str
    sources: int
    targets: int
    duplicates: int
    repeats: int
    ties: int
    tied_sources: int
    tied_last: int
    short: int
    cold_last: int
    orders: tuple[IdOrder, ...]


def measure(graph: Graph, relation: Relation) -> Histories:
    """Measure the histories of an interaction relation.

    Args:
        graph: The graph.
        relation: A forward relation of it.
    """
    edges = graph.edges(relation.name)
    source = (edges.source - graph.nodes(relation.source).start).numpy()
    target = (edges.target - graph.nodes(relation.target).start).numpy()
    time = None if edges.time is None else edges.time.numpy()
    degree = graph.degree(relation.name).numpy()
    n = graph.num_nodes(relation.target)

    step = source[1:] == source[:-1]  # [E − 1], whether two rows are of one history
    same_target = step & (target[1:] == target[:-1])
    tied = np.zeros_like(step) if time is None else step & (time[1:] == time[:-1])
    duplicates = int((same_target if time is None else same_target & tied).sum())
    tied &= ~same_target
    pairs = np.sort(source * n + target)
    distinct = int((pairs[1:] != pairs[:-1]).sum()) + min(len(pairs), 1)

    last = (np.cumsum(degree) - 1)[degree > 0]  # rows of the last edges
    tied_last = tied[last[last > 0] - 1] if len(step) else step
    places = np.bincount(target, minlength=n)
    cold = places[target[last]] == np.bincount(target[last], minlength=n)[target[last]]
    return Histories(
        relation=relation.name,
        sources=len(last),
        targets=int((places > 0).sum()),
        duplicates=duplicates,
        repeats=len(pairs) - distinct - duplicates,
        ties=int(tied.sum()),
        tied_sources=len(np.unique(source[1:][tied])),
        tied_last=int(tied_last.sum()),
        short=int(((degree > 0) & (degree < 3)).sum()),
        cold_last=int(cold.sum()),
        orders=tuple(_orders(graph, relation, source, target, time, degree, step)),
    )


def _orders(
    graph: Graph,
    relation: Relation,
    source: Ints,
    target: Ints,
    time: Ints | None,
    degree: Ints,
    step: npt.NDArray[np.bool_],
) -> Iterator[IdOrder]:
    n = graph.num_nodes(relation.target)
    firsts = []
    if time is not None and graph.schema.time_unit != "ordinal":
        firsts.append(_first(target, time, n))
    reader = _numeric(graph.tables[relation.source][RAW_ID])
    if reader is not None:  # the row of every edge when histories are read by raw source id
        ordered = np.argsort(reader, kind="stable")
        begins = np.empty_like(degree)
        begins[ordered] = np.cumsum(degree[ordered]) - degree[ordered]
        shift = begins - (np.cumsum(degree) - degree)
        firsts.append(_first(target, np.arange(len(source)) + shift[source], n))
    every = {"raw": _numeric(graph.tables[relation.target][RAW_ID]), "node": np.arange(n)}
    for name, ids in every.items():
        if ids is None:
            continue
        agreements = [_agreement(ids, first) for first in firsts]
        follows = step & (ids[target[1:]] == ids[target[:-1]] + 1)
        yield IdOrder(
            name,
            max((rho for rho, _ in agreements), default=None),
            any(exact for _, exact in agreements),
            float(follows.sum() / max(int(step.sum()), 1)),
        )


def _numeric(raw: pl.Series) -> Ints | None:
    """Return raw ids as numbers (``i17`` is 17) where nearly all of them are; −1 for the others."""
    numbers = raw.str.extract(r"^\D*(\d{1,18})$").cast(pl.Int64)
    if len(raw) == 0 or numbers.null_count() > 0.01 * len(raw):
        return None
    ids: Ints = numbers.fill_null(-1).to_numpy()
    return ids


def _first(target: Ints, when: Ints, n: int) -> Ints:
    """Return the first time of each target; the largest integer for targets without events."""
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, target, when)
    return first


def _agreement(ids: Ints, first: Ints) -> tuple[float, bool]:
    """Return the rank correlation of ids with first appearances, and whether they agree exactly."""
    from scipy.stats import rankdata

    seen = np.flatnonzero(first < np.iinfo(np.int64).max)
    if len(seen) < 3:
        return 0.0, False
    ids, first = ids[seen], first[seen]
    by_id = first[np.argsort(ids, kind="stable")]
    if by_id.min() == by_id.max():
        return 0.0, False
    exact = bool((by_id[1:] >= by_id[:-1]).all())
    by_rank: npt.NDArray[np.float64] = np.asarray(np.corrcoef(rankdata(ids), rankdata(first)))
    return float(by_rank[0, 1]), exact


def warnings_of(summary: Histories) -> Iterator[str]:
    """Yield warnings about the histories, a sentence each."""
    name, steps = summary.relation, summary.sources
    if summary.duplicates:
        edges = counted(summary.duplicates, "duplicate edge")
        yield f"{name}: {edges} (same source, target and time)"
    if summary.repeats:
        yield (
            f"{name}: {counted(summary.repeats, 'repeat')} (a pair joined again at another time); "
            "whether seen items may be recommended matters"
        )
    if summary.ties:
        yield (
            f"{name}: {counted(summary.ties, 'step')} between equal times, in "
            f"{summary.tied_sources:,} of {counted(steps, 'history')}; "
            "their order is left to chance"
        )
    if summary.tied_last:
        yield (
            f"{name}: {_some(summary.tied_last, steps, 'ends', 'end')} in a tie between two items; "
            "leave-one-out picks one by chance"
        )
    if summary.short:
        yield (
            f"{name}: {_some(summary.short, steps, 'is', 'are')} shorter than 3; "
            "leave-one-out leaves nothing to train on"
        )
    if summary.cold_last:
        yield (
            f"{name}: {_some(summary.cold_last, steps, 'ends', 'end')} in an item that is met "
            "nowhere else; "
            "held out, it is cold"
        )
    for order in summary.orders:
        yield from _order_warnings(summary, order)


def _order_warnings(summary: Histories, order: IdOrder) -> Iterator[str]:
    rho, chance = order.appearance, 1 / max(summary.targets, 1)
    sentences = []
    if rho is not None and (order.exact or rho >= TELLING):
        how = "exactly" if order.exact else f"nearly (rank correlation {rho:.2f})"
        sentences.append(f"targets turn up {how} in the order of their {order.ids} ids")
    if order.successor >= 0.001 and order.successor > NEXT_OVER_CHANCE * chance:
        times = f"{order.successor / chance:,.0f} times chance"
        sentences.append(f"{order.successor:.1%} of steps go to the next {order.ids} id ({times})")
    if sentences:
        remedy = {
            "raw": "make no feature or tie-break of raw ids",
            "node": "build with a permutation seed",
        }[order.ids]
        yield f"{summary.relation}: {' and '.join(sentences)}; {remedy}"


def _some(part: int, whole: int, one: str, many: str) -> str:
    share = f"{counted(part, 'history')} ({part / max(whole, 1):.1%})"
    return f"{share} {one if part == 1 else many}"
