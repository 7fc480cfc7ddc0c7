"""Edges that a split hides beside the held-out events, because they repeat those events.

:mod:`graphrec_pt.graph.leaks` states the rule; this module applies it relation by relation.
"""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.leaks import (
    LEVEL,
    UNPREDICTED,
    Overlap,
    beside,
    hidden_pairs,
    levels_of_copy,
    overlap,
    pairs_of,
    readable,
    undeclared_events,
    undirected,
    without_repeats,
)
from graphrec_pt.graph.protocol import Events, Stages
from graphrec_pt.graph.schema import Relation


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The stages of all edges while a split is made, and warnings for reports.

    Args:
        graph: The whole graph.
        stage: int8 ``[edge ids]``, filled by the methods.
        notes: Sentences for reports, added by the methods.
    """

    graph: Graph
    stage: Stages
    notes: list[str] = field(default_factory=list)

    def add(self, events: Events, assigned: Stages, given: bool) -> Stages:
        """Set the stages of the predicted relation and return them.

        Args:
            events: Its events.
            assigned: The stages that the protocol returned.
            given: Whether the data contain the split: repeats of a hidden event are then reported,
                not hidden.
        """
        name = events.relation
        relation = self.graph.schema.relation(name)
        both_ways = undirected(self.graph, relation)
        stages, count = without_repeats(events, assigned, backwards=both_ways)
        how = "in the reverse direction or " if both_ways else ""
        again = f"repeat{'s' if count == 1 else ''} a held-out pair {how}not earlier"
        if given and count:
            self.notes.append(
                f"{name}: {_edges(count)} of the training part {again}; the parts are used as they "
                "are given"
            )
        elif count:
            self.notes.append(
                f"{name}: {_edges(count)} that {again} {_were(count)} left out of training"
            )
        stages = assigned if given else stages
        if relation.source == relation.target and not both_ways:
            self._tell_reciprocal(events, stages)
        self.stage[events.edge] = stages
        return stages

    def hide_copies(self, predicted: Relation) -> None:
        """Hide held-out pairs in copies of an interaction relation; count them elsewhere."""
        by_relation: dict[str, list[Overlap]] = {}
        for interaction in self.graph.schema.interactions:
            for other in beside(self.graph, interaction):
                by_relation.setdefault(other.name, []).append(
                    overlap(self.graph, interaction, other)
                )
        for name, compared in by_relation.items():
            other = self.graph.schema.relation(name)
            copied = max((one for one in compared if one.copy), key=Overlap.likeness, default=None)
            if copied is not None:
                self._hide_copy(self.graph.schema.relation(copied.interaction), other)
            elif other in beside(self.graph, predicted):
                self._tell_readable(predicted, other)

    def _hide_copy(self, interaction: Relation, other: Relation) -> None:
        events = events_of(self.graph, interaction.name)
        stages = self.stage[events.edge]
        level = levels_of_copy(self.graph, other, interaction, events, stages)
        edge = self.graph.edges(other.name).edge.numpy()
        self.stage[edge] = later(self.stage[edge], UNPREDICTED[level])
        if count := int((level > 0).sum()):
            self.notes.append(
                f"{other.name}: says what {interaction.name} says; {_edges(count)} "
                f"of held-out pairs {_were(count)} left out of training"
            )

    def joining_nodes(self, predicted: Relation) -> tuple[Tensor, Tensor] | None:
        """Return undeclared event nodes, and the first view that shows each of them."""
        nodes, levels = list[Tensor](), list[Tensor]()
        for joining in undeclared_events(self.graph, predicted):
            events = events_of(self.graph, predicted.name)
            level = joining.levels(events, self.stage[events.edge])
            nodes.append(torch.from_numpy(joining.node))
            levels.append(torch.from_numpy(level))
            if count := int((level > 0).sum()):
                self.notes.append(
                    f"{joining.name}: each node joins a pair of {predicted.name}; {count:,} "
                    f"of held-out pairs {_were(count)} emptied (name them in `event:`)"
                )
        return (torch.cat(nodes), torch.cat(levels)) if nodes else None

    def _tell_readable(self, predicted: Relation, other: Relation) -> None:
        pair, shown = (pairs_of(self.graph, r, predicted) for r in (predicted, other))
        level, seen = (
            LEVEL[self.stage[self.graph.edges(r.name).edge.numpy()]] for r in (predicted, other)
        )
        hidden, count = readable(pair, level, shown, seen)
        if count:
            self.notes.append(
                f"{other.name}: shows {count:,} of {hidden:,} held-out pairs of {predicted.name}; "
                "it says something else, so they stay (`without:` leaves out a card's relation)"
            )

    def _tell_reciprocal(self, events: Events, stages: Stages) -> None:
        ahead = events.source << 32 | events.target
        hidden = hidden_pairs(ahead, stages)
        seen = (events.target << 32 | events.source)[LEVEL[stages] == 0]
        count = int(np.isin(hidden, seen).sum())
        if count:
            self.notes.append(
                f"{events.relation}: {count:,} of {len(hidden):,} held-out pairs stand in training "
                "in the reverse direction"
            )


def telling_events(graph: Graph, seen: Tensor) -> Tensor:
    """Return the event nodes that would reveal a hidden interaction.

    They are the event nodes of hidden interactions, and other event nodes of that type that link
    the same two nodes, such as a second review of the pair, unless one belongs to a visible
    interaction.

    Args:
        graph: The graph.
        seen: bool ``[edge ids]``, whether the view shows the edge.

    Returns:
        int64 global ids; repeats are possible.
    """
    telling = [torch.empty(0, dtype=torch.int64)]
    for relation in graph.schema.interactions:
        if relation.event is None:
            continue
        edges = graph.edges(relation.name)
        row = edges.edge - graph.edge_offset[relation.name]
        event = graph.edge_tables[relation.name]["event"].fill_null(-1).to_torch().long()[row]
        event = torch.where(event >= 0, event + graph.nodes(relation.event).start, -1)
        hidden = ~seen[edges.edge]
        telling.append(event[hidden & (event >= 0)])
        pairs = pl.DataFrame(
            {"source": edges.source[hidden].numpy(), "target": edges.target[hidden].numpy()}
        )
        linking = _linking(graph, relation, pairs)
        telling.append(linking[~torch.isin(linking, event[~hidden])])
    return torch.cat(telling)


def _linking(graph: Graph, relation: Relation, pairs: pl.DataFrame) -> Tensor:
    """Return the event nodes of a relation that have edges to both ends of one of the pairs."""
    assert relation.event is not None
    beside = []
    for other in graph.schema.relations:
        if other.backward or relation.event not in (other.source, other.target):
            continue
        edges = graph.edges(other.name)
        source, target = edges.source.numpy(), edges.target.numpy()
        if other.source == relation.event:
            beside.append(pl.DataFrame({"event": source, "node": target}))
        if other.target == relation.event:
            beside.append(pl.DataFrame({"event": target, "node": source}))
    if not beside or pairs.is_empty():
        return torch.empty(0, dtype=torch.int64)
    ends = pl.concat(beside).lazy()
    sources = ends.filter(pl.col("node").is_in(pairs["source"].unique().implode()))
    targets = ends.filter(pl.col("node").is_in(pairs["target"].unique().implode()))
    both = sources.rename({"node": "source"}).join(targets.rename({"node": "target"}), on="event")
    linking = both.join(pairs.lazy(), on=["source", "target"], how="semi")
    return linking.select("event").unique().collect()["event"].to_torch()


def later(one: Stages, two: Stages) -> Stages:
    """Return, for each edge, the one of two stages that fewer views show."""
    return np.where(LEVEL[two] > LEVEL[one], two, one)


def events_of(graph: Graph, relation: str) -> Events:
    """Return the edges of an interaction relation as events."""
    edges = graph.edges(relation)
    table = graph.edge_tables.get(relation)
    return Events(
        edges.source.numpy(),
        edges.target.numpy(),
        None if edges.time is None else edges.time.numpy(),
        edges.edge.numpy(),
        None if table is None else table[(edges.edge - graph.edge_offset[relation]).numpy()],
        relation,
    )


def _edges(count: int) -> str:
    return "1 edge" if count == 1 else f"{count:,} edges"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
