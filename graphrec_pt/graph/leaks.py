"""Held-out pairs that another relation repeats: which of them a split hides, and which it reports.

A split holds events of one relation out. Other relations between the same two node types, in
either direction, may hold the same pairs. For every interaction relation I with the set P of pairs,
and every plain relation R with the set Q (unordered pairs where both ends have one type):

- **R is a copy of I** when Q = P, when R holds little but I (nine tenths of Q are in P), or when R
  holds nearly all of I and not much more (nine tenths of P are in Q, and half of Q are in P).
  Shares are counted beyond chance, ``(share − chance) / (1 − chance)``, with the density of the
  other set as chance: in a dense graph an unrelated relation agrees with I and is still no copy.
  The rule covers mirrors that were coalesced, reweighted, cut or made a bit longer, and selections
  such as "rated four stars". A split hides all held-out pairs in copies. Of the parallel edges of a
  pair, a view shows as many as it shows events of I: a pair that was bought before, in training,
  stays in both relations, so that its absence reveals nothing. With times, a split also hides every
  edge that is not strictly earlier than a hidden event of its pair.
- **Any other relation stays whole.** Removing the held-out pairs from a wish list, a page of offers
  or ``also_bought`` would falsify it, and a model would learn that the missing pairs are the
  answer. The split counts the held-out pairs that such a relation shows, including those that agree
  by chance, and ``describe`` and every report warn of them.
- **An undeclared event node type**: nine tenths of its nodes join one source with one target, and
  hardly any of these pairs lies outside P. A split treats such nodes as the events of I: the nodes
  of hidden pairs lose their edges, columns and raw ids.

A copy of several interaction relations follows the one that it resembles most.

In I itself, a split also hides the events of a hidden pair at the same time or later (all of them
where events have no times). When I is undirected (nine tenths of its pairs, beyond chance, occur in
both directions), it hides the reverse pair too. Where the data contain the split (``fixed``),
events keep the stage that the data give, and reports warn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import Events, Ints, SplitPart, Stages
from graphrec_pt.graph.schema import Relation

COPY = 0.9
"""Share of pairs, beyond chance, from which one relation is a copy of another."""
HALF = 0.5
"""Share of a relation's pairs that must be interactions when it holds more than those."""
LEVEL = np.array([0, 2, 3, 1, 2, 3], np.int8)
"""Stage → the first view that shows it: train, valid, test, none."""
UNPREDICTED = np.array(
    [SplitPart.TRAIN, SplitPart.VALID_CONTEXT, SplitPart.TEST_CONTEXT, SplitPart.DROPPED], np.int8
)
"""First view that shows an event → stage of an event that is not predicted."""
Levels = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Overlap:
    """The overlap of the pairs of a relation with those of an interaction relation.

    Args:
        relation: The relation.
        interaction: The interaction relation.
        shared: Pairs that both join.
        pairs: Pairs that the interaction relation joins.
        own: Pairs that the relation joins.
        copy: Whether the relation is a copy, so that a split hides held-out pairs in it.
    """

    relation: str
    interaction: str
    shared: int
    pairs: int
    own: int
    copy: bool

    def likeness(self) -> float:
        """Return the share of pairs that both join among those that one joins."""
        return self.shared / (self.pairs + self.own - self.shared)


def overlaps(graph: Graph) -> Iterator[Overlap]:
    """Yield the overlaps of plain relations with each interaction relation, empty ones left out."""
    for interaction in graph.schema.interactions:
        for other in beside(graph, interaction):
            compared = overlap(graph, interaction, other)
            if compared.shared:
                yield compared


def beside(graph: Graph, interaction: Relation) -> list[Relation]:
    """Return the given plain relations between the node types of an interaction relation."""
    ends = sorted((interaction.source, interaction.target))
    return [
        r
        for r in graph.schema.relations
        if not (r.backward or r.interaction or r.derived) and sorted((r.source, r.target)) == ends
    ]


def overlap(graph: Graph, interaction: Relation, other: Relation) -> Overlap:
    """Compare the pairs of a relation with those of an interaction relation."""
    mine = np.unique(pairs_of(graph, interaction, interaction))
    theirs = np.unique(pairs_of(graph, other, interaction))
    return _compared(graph, interaction, other.name, mine, theirs)


def pairs_of(graph: Graph, relation: Relation, interaction: Relation) -> Ints:
    """Return a number for the pair of each edge, as the interaction relation is directed: ``[n]``.

    Both directions of a pair have one number where the ends have one type.
    """
    edges = graph.edges(relation.name)
    source, target = edges.source.numpy(), edges.target.numpy()
    if interaction.source == interaction.target:
        return _key(np.minimum(source, target), np.maximum(source, target))
    if relation.source != interaction.source:
        source, target = target, source
    return _key(source, target)


def undirected(graph: Graph, relation: Relation) -> bool:
    """Whether a relation from a type to itself lists nearly every edge in both directions."""
    if relation.source != relation.target:
        return False
    edges = graph.edges(relation.name)
    source, target = edges.source.numpy(), edges.target.numpy()
    ahead = np.unique(_key(source, target)[source != target])
    if not len(ahead):
        return False
    both = float(np.isin(_key(ahead & 0xFFFFFFFF, ahead >> 32), ahead, assume_unique=True).mean())
    n = graph.num_nodes(relation.source)
    return both == 1 or _beyond_chance(both, len(ahead) / (n * (n - 1))) >= COPY


def without_repeats(events: Events, stage: Stages, *, backwards: bool) -> tuple[Stages, int]:
    """Hide events that repeat a hidden event of the same relation.

    Args:
        events: The events.
        stage: int8 ``[n]``, what the protocol assigned.
        backwards: Whether (b, a) counts as a repeat of (a, b).

    Returns:
        The stages, and how many training events were hidden.
    """
    level = LEVEL[stage]
    ahead, back = _key(events.source, events.target), _key(events.target, events.source)
    pair = np.minimum(ahead, back) if backwards else ahead
    rows = np.flatnonzero(np.isin(pair, pair[level > 0]))
    if not len(rows):
        return stage, 0
    time = np.zeros(len(rows), np.int64) if events.time is None else events.time[rows]
    needed = _latest_so_far(pair[rows], time, level[rows])
    if backwards:
        directed = pl.DataFrame({"ahead": ahead[rows], "back": back[rows], "level": level[rows]})
        first = directed.group_by("ahead").agg(pl.col("level").min().alias("other"))
        mirrored = directed.join(
            first, left_on="back", right_on="ahead", how="left", maintain_order="left"
        )
        needed = np.maximum(needed, mirrored["other"].fill_null(0).to_numpy())
    raised = needed > level[rows]
    changed = stage.copy()
    changed[rows[raised]] = UNPREDICTED[needed[raised]]
    return changed, int((raised & (level[rows] == 0)).sum())


def levels_of_copy(
    graph: Graph, other: Relation, interaction: Relation, events: Events, stage: Stages
) -> Levels:
    """Return the first view that shows each edge of a copy: int8 ``[m]``, as in ``LEVEL``.

    Args:
        graph: The whole graph.
        other: The copy.
        interaction: The interaction relation.
        events: The events of the interaction relation.
        stage: int8 ``[n]``, the stages of the events.
    """
    edges = graph.edges(other.name)
    ahead = _key(edges.source.numpy(), edges.target.numpy())
    back = _key(edges.target.numpy(), edges.source.numpy())
    mine = _key(events.source, events.target)
    if interaction.source != interaction.target:
        pair, turned = (ahead if other.source == interaction.source else back), None
    else:  # either direction is possible: the one that says more
        known = [int(np.isin(np.unique(keys), mine).sum()) for keys in (ahead, back)]
        pair, turned = (ahead, back) if known[0] >= known[1] else (back, ahead)
    time = None if edges.time is None or events.time is None else edges.time.numpy()
    shown = _levels_by_pair(events, stage, mine, pair, time)
    if turned is not None:
        against = ~np.isin(pair, mine)
        shown[against] = _levels_by_pair(events, stage, mine, turned, time)[against]
    return shown


def _levels_by_pair(
    events: Events, stage: Stages, pair: Ints, other: Ints, time: Ints | None
) -> Levels:
    level = LEVEL[stage]
    shown = np.zeros(len(other), np.int8)
    rows = np.flatnonzero(np.isin(other, pair[level > 0]))
    if not len(rows):
        return shown
    mine = np.flatnonzero(np.isin(pair, other[rows]))
    by_level = mine[np.lexsort((level[mine], pair[mine]))]
    by_time = rows[np.lexsort((rows if time is None else time[rows], other[rows]))]
    # The n-th edge of a pair has the level of the pair's n-th event, further ones that of the last.
    keys, begin, count = np.unique(pair[by_level], return_index=True, return_counts=True)
    at = np.searchsorted(keys, other[by_time])
    first = np.flatnonzero(np.diff(other[by_time], prepend=-1))
    rank = np.arange(len(by_time)) - np.repeat(first, np.diff(np.append(first, len(by_time))))
    shown[by_time] = level[by_level][begin[at] + np.minimum(rank, count[at] - 1)]
    if time is not None and events.time is not None:
        hidden = mine[level[mine] > 0]
        both = np.concatenate([pair[hidden], other[rows]])
        times = np.concatenate([events.time[hidden], time[rows]])
        levels = np.concatenate([level[hidden], np.zeros(len(rows), np.int8)])
        late = _latest_so_far(both, times, levels)[len(hidden) :]
        shown[rows] = np.maximum(shown[rows], late)
    return shown


@dataclass(frozen=True, eq=False)
class JoiningNodes:
    """Nodes that each join one source and one target, and are not declared as events.

    Args:
        name: Their type.
        node: int64 ``[m]`` global ids.
        pair: int64 ``[m]``.
    """

    name: str
    node: Ints
    pair: Ints

    def levels(self, events: Events, stage: Stages) -> Levels:
        """Return the first view that shows each node: int8 ``[m]``, as in ``LEVEL``."""
        mine = _key(events.source, events.target)
        return _levels_by_pair(events, stage, mine, self.pair, None)


def undeclared_events(graph: Graph, interaction: Relation) -> Iterator[JoiningNodes]:
    """Yield the node types whose nodes repeat the pairs of an interaction relation."""
    source, target = interaction.source, interaction.target
    declared = {relation.event for relation in graph.schema.interactions}
    mine: Ints | None = None
    for name in graph.schema.node_names:
        if name in declared or name in (source, target) or source == target:
            continue
        to_source, to_target = (_single(graph, name, end) for end in (source, target))
        if to_source is None or to_target is None:
            continue
        touched = (to_source != -1) | (to_target != -1)
        single = (to_source >= 0) & (to_target >= 0)
        if not single.any() or single.sum() < COPY * touched.sum():
            continue
        node = np.flatnonzero(single) + graph.nodes(name).start
        pair = _key(to_source[single], to_target[single])
        mine = np.unique(pairs_of(graph, interaction, interaction)) if mine is None else mine
        if _compared(graph, interaction, name, mine, np.unique(pair)).copy:
            yield JoiningNodes(name, node, pair)


def _single(graph: Graph, name: str, end: str) -> Ints | None:
    """Return the one neighbor of a type for each node: −1 for none, −2 for several; ``[n]``.

    None where no plain relation joins the types.
    """
    span = graph.nodes(name)
    low = np.full(len(span), np.iinfo(np.int64).max)
    high = np.full(len(span), -1)
    linked = False
    for relation in graph.schema.relations:
        if relation.backward or relation.interaction or relation.derived:
            continue
        if {relation.source, relation.target} != {name, end}:
            continue
        edges = graph.edges(relation.name)
        node, other = edges.source.numpy(), edges.target.numpy()
        if relation.source != name:
            node, other = other, node
        np.minimum.at(low, node - span.start, other)
        np.maximum.at(high, node - span.start, other)
        linked = True
    return np.where(high < 0, -1, np.where(low == high, high, -2)) if linked else None


def _compared(graph: Graph, interaction: Relation, name: str, mine: Ints, theirs: Ints) -> Overlap:
    shared = int(np.isin(theirs, mine, assume_unique=True).sum())
    n, m = graph.num_nodes(interaction.source), graph.num_nodes(interaction.target)
    possible = n * (n + 1) // 2 if interaction.source == interaction.target else n * m
    copy = shared == len(mine) == len(theirs)
    if shared and not copy:
        of_other = _beyond_chance(shared / len(theirs), len(mine) / possible)
        of_interaction = _beyond_chance(shared / len(mine), len(theirs) / possible)
        copy = of_other >= COPY or (of_interaction >= COPY and of_other >= HALF)
    return Overlap(name, interaction.name, shared, len(mine), len(theirs), copy)


def _beyond_chance(share: float, chance: float) -> float:
    return (share - chance) / (1 - chance) if chance < 1 else 0.0


def _latest_so_far(pair: Ints, time: Ints, level: Levels) -> Levels:
    """Return for each row the highest level of rows of its pair that are not later: ``[n]``."""
    order = np.lexsort((time, pair))
    pair, time = pair[order], time[order]
    new = np.diff(pair, prepend=pair[:1] - 1) != 0
    group = np.cumsum(new)
    so_far = np.maximum.accumulate(group * 4 + level[order]) - group * 4
    ends = np.flatnonzero(np.append(new[1:] | (np.diff(time) != 0), True))  # of one pair and time
    at_end = np.repeat(so_far[ends], np.diff(np.append(-1, ends)))
    latest = np.empty(len(pair), np.int8)
    latest[order] = at_end
    return latest


def _key(source: Ints, target: Ints) -> Ints:
    return source << 32 | target


def hidden_pairs(pair: Ints, stage: Stages) -> Ints:
    """Return the pairs of which training shows no event: int64, ascending."""
    seen = LEVEL[stage] == 0
    return np.setdiff1d(pair[~seen], pair[seen])


def readable(pair: Ints, level: Levels, other: Ints, shown: Levels) -> tuple[int, int]:
    """Return how many pairs are hidden from training, and how many of them another relation shows.

    Args:
        pair: int64 ``[n]``, pairs of the interaction relation.
        level: int8 ``[n]``, the first views that show them.
        other: int64 ``[m]``, pairs of the other relation.
        shown: int8 ``[m]``, the first views that show those.
    """
    first = pl.DataFrame({"pair": pair, "level": level}).group_by("pair").min()
    hidden = first.filter(pl.col("level") > 0)
    there = pl.DataFrame({"pair": other, "shown": shown}).join(hidden, on="pair", how="semi")
    both = hidden.join(there.group_by("pair").min(), on="pair")
    return len(hidden), len(both.filter(pl.col("shown") < pl.col("level")))
