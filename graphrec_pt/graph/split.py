"""Splits: training and history graphs without held-out interactions, over one numbering."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.assemble import fingerprint
from graphrec_pt.graph.derive import derive, without_derived
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.held_out import HeldOut, events_of, later, telling_events
from graphrec_pt.graph.protocol import (
    DEFAULT_SPLIT,
    SPLIT_OF_CARD,
    Events,
    SplitPart,
    SplitProtocol,
    Stages,
    follow_pairs,
    protocol,
)
from graphrec_pt.kernels.csr import SegmentedCSR

When = Literal["valid", "test"]
SEEN: dict[str, tuple[SplitPart, ...]] = {
    "train": (SplitPart.TRAIN,),
    "valid": (SplitPart.TRAIN, SplitPart.VALID_CONTEXT),
    "test": (SplitPart.TRAIN, SplitPart.VALID_CONTEXT, SplitPart.VALID, SplitPart.TEST_CONTEXT),
}


class Targets(NamedTuple):
    """Interactions to predict.

    Args:
        source: int64 ``[n]`` global ids.
        target: int64 ``[n]`` global ids.
        time: int64 ``[n]`` or None.
        edge: int64 ``[n]`` edge ids in the whole graph.
    """

    source: Tensor
    target: Tensor
    time: Tensor | None
    edge: Tensor

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, eq=False)
class Split:
    """A graph split into views that a system may see and targets that it must predict.

    Args:
        graph: The whole graph; no model or baseline should read it.
        relation: The interaction relation that is predicted.
        stage: int8 ``[edge ids]`` of :class:`~graphrec_pt.graph.protocol.SplitPart`; edges that are
            no interactions are TRAIN.
        protocol: Config of the protocol.
        seed: Of the key.
        warnings: Held-out pairs that the train view still shows, and the edges that were removed
            because they repeat held-out pairs; a sentence for each relation.
        joining: int64 global ids of undeclared event nodes, and int8, the first view that shows
            each (0 train, 1 valid, 2 test).
    """

    graph: Graph
    relation: str
    stage: Tensor
    protocol: Mapping[str, Any]
    seed: int
    warnings: tuple[str, ...] = ()
    joining: tuple[Tensor, Tensor] | None = None
    _views: dict[str, Graph] = field(default_factory=dict, repr=False)

    @property
    def train(self) -> Graph:
        """The graph to learn from: held-out edges, inverses, events and derivations are absent."""
        return self._view("train")

    @cached_property
    def valid(self) -> Targets:
        """What to predict at validation."""
        return self._targets(SplitPart.VALID)

    @cached_property
    def test(self) -> Targets:
        """What to predict at test."""
        return self._targets(SplitPart.TEST)

    def history(self, when: When) -> Graph:
        """Return the graph that inference may see at validation or at test.

        Raises:
            GraphRecError: When `when` is neither ``"valid"`` nor ``"test"``.
        """
        if when not in ("valid", "test"):
            raise GraphRecError("history", "'valid' or 'test'", repr(when))
        return self._view(when)

    def _view(self, when: str) -> Graph:
        if when == "valid" and not bool((self.stage == SplitPart.VALID_CONTEXT).any()):
            when = "train"
        if when not in self._views:
            self._views[when] = self._made(when)
        return self._views[when]

    def _made(self, when: str) -> Graph:
        seen = torch.isin(self.stage, torch.tensor(SEEN[when], dtype=torch.int8))
        warnings = {"warnings": list(self.warnings)} if self.warnings else {}
        provenance = {"split": {**self.protocol, "seed": self.seed, "view": when, **warnings}}
        given = without_derived(self.graph)  # derived relations contain held-out edges
        telling = telling_events(given, seen)
        if self.joining is not None:
            nodes, level = self.joining
            shown = {"train": 0, "valid": 1, "test": 2}[when]
            telling = torch.cat([telling, nodes[level > shown]])
        return derive(keep_edges(given, seen, telling, provenance))

    def _targets(self, stage: SplitPart) -> Targets:
        edges = self.graph.edges(self.relation)
        rows = self.stage[edges.edge] == stage
        time = None if edges.time is None else edges.time[rows]
        return Targets(edges.source[rows], edges.target[rows], time, edges.edge[rows])


def split(
    graph: Graph, how: str | Mapping[str, Any] | SplitProtocol | None = None, seed: int = 0
) -> Split:
    """Cut a graph into training, validation and test without leaks.

    Held-out interactions are absent from ``train`` in both directions, together with the nodes
    that *are* those interactions (their reviews; their columns and raw ids are emptied) or are
    of that kind and link the same pair, and, in other interaction relations, the events of the
    same pair that did not happen strictly before. Every other relation between the same node types
    is compared pair by pair (:mod:`graphrec_pt.graph.leaks` says how): in copies and mirrors the
    held-out pairs are absent too, and where a relation says something else and shows some of
    them, ``warnings`` counts them. Derived relations are computed anew from what each view may see.

    A split cannot detect the following leaks; a card should avoid them or name them in its notes:

    - Relations between other node types stay whole, weights included. One made from the rows of an
      interaction table (a user "opens" the sessions that hold the clicks) shows held-out rows;
      :func:`~graphrec_pt.data.describe.describe` names such relations.
    - ``duplicates: sum`` adds up repeats before the split, later ones included.
    - Node columns are taken as given: averages, counters and prices over all time, the labels of a
      category, and ``quantiles`` bins see the whole data. So do a k-core (a node with fewer
      training edges than the core has held-out ones) and the counts in ``provenance``.
    - Edge ids do not change, so that targets can be looked up: gaps reveal how many edges a node
      lost and, without times, between which targets. Never use edge ids as a feature.
    - With ``seed=None`` in :func:`~graphrec_pt.data.build.build`, ids keep the order of the raw
      ids, which often is the order of first appearance.

    Args:
        graph: The whole graph.
        how: A protocol's name, config or object; by default that of the graph's card, else
            leave-one-out.
        seed: Seed of protocols that draw at random.

    Raises:
        GraphRecError: When the protocol does not fit the graph, or leaves nothing to train on.

    Example:
        >>> parts = split(checkerboard(10), "leave_one_out")
        >>> parts.train.num_edges("likes"), len(parts.valid), len(parts.test)
        (20, 10, 10)
    """
    if how is None:
        how = graph.provenance.get(SPLIT_OF_CARD) or DEFAULT_SPLIT
    named = protocol.build(how)
    chosen = named.on(graph) if hasattr(named, "on") else named
    key = Key(seed).named("split")
    relation = graph.schema.interaction(named.relation)
    events = events_of(graph, relation.name)
    config = protocol.config(named)
    made = HeldOut(graph, np.full(graph.num_edge_ids, SplitPart.TRAIN, np.int8))
    assigned = made.add(events, chosen.assign(events, key), getattr(chosen, "given", False))
    if len(assigned) and not (assigned == SplitPart.TRAIN).any():
        raise _nothing_to_train_on(events, assigned, config)
    follow = getattr(chosen, "follow", follow_pairs)
    for other in graph.schema.interactions:
        if other.name != relation.name:
            also = events_of(graph, other.name)
            stages: Stages = follow(events, assigned, also, key)
            made.stage[also.edge] = stages
    if hasattr(chosen, "beside"):
        made.stage[:] = later(made.stage, chosen.beside(events, assigned))
    made.hide_copies(relation)
    joining = made.joining_nodes(relation)
    stage = torch.from_numpy(made.stage)
    return Split(graph, relation.name, stage, config, seed, tuple(made.notes), joining)


def _nothing_to_train_on(
    events: Events, stages: Stages, config: Mapping[str, Any]
) -> GraphRecError:
    options = [name for name in ("valid", "test", "valid_from", "test_from") if name in config]
    held = {name: int((stages == stage).sum()) for name, stage in _HELD.items()}
    got = ", ".join(f"{count:,} {name}" for name, count in held.items() if count)
    same = events.time is not None and len(events.time) > 1 and not np.ptp(events.time)
    got += f"; all {len(events.time):,} have one time" if same and events.time is not None else ""
    hint = "smaller " + " and ".join(f"`{option}`" for option in options[:2]) if options else ""
    if isinstance(config.get("train"), str):
        hint = "`train:` with the name of the training part"
    if same and config["name"] in ("global_time", "session"):
        hint = "leave_one_out or ratio, or another `time:` in the card"
    return GraphRecError(
        f"split {config['name']!r}", f"events of {events.relation!r} to train on", got, hint
    )


_HELD = {
    "at validation": SplitPart.VALID,
    "at test": SplitPart.TEST,
    "context at validation": SplitPart.VALID_CONTEXT,
    "context at test": SplitPart.TEST_CONTEXT,
    "dropped": SplitPart.DROPPED,
}


def keep_edges(
    graph: Graph,
    kept: Tensor,
    isolated: Tensor | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Graph:
    """Return the graph without some edges; both directions of an edge are kept or removed.

    Node ids, edge ids and relations do not change; the extra columns of removed edges are emptied.

    Args:
        graph: The graph.
        kept: bool ``[edge ids]``.
        isolated: int64 global ids of nodes that lose every edge, all their columns and the raw id.
        provenance: Entries to add to the provenance of the graph.
    """
    csr = graph.csr
    assert csr.edge is not None
    stays = kept[csr.edge.long()]
    if isolated is not None and len(isolated):
        gone = torch.zeros(csr.num_nodes, dtype=torch.bool)
        gone[isolated] = True
        incident = gone[csr.indices.long()] | gone[_sources(csr)]
        touched = torch.zeros(len(kept), dtype=torch.bool)
        touched[csr.edge[incident].long()] = True
        stays &= ~touched[csr.edge.long()]
    before = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cumsum(stays, 0)])
    smaller = SegmentedCSR(
        csr.offset,
        csr.slots,
        csr.base,
        before[csr.segment],
        csr.indices[stays],
        None if csr.time is None else csr.time[stays],
        None if csr.weight is None else csr.weight[stays],
        csr.edge[stays],
    )
    tables = _blanked(graph, isolated) if isolated is not None and len(isolated) else graph.tables
    made = replace(
        graph,
        csr=smaller,
        tables=tables,
        edge_tables=_without_rows(graph, kept),
        folder=None,
        edge_ids=graph.num_edge_ids,
        provenance={**graph.provenance, **(provenance or {})},
    )
    return replace(made, fingerprint=fingerprint(made))


def _sources(csr: SegmentedCSR) -> Tensor:
    """Return the source node of every stored edge: int64 ``[E]``."""
    nodes = torch.arange(csr.num_nodes)
    low, high = csr.bounds(nodes)
    return torch.repeat_interleave(nodes, high - low)


def _blanked(graph: Graph, nodes: Tensor) -> dict[str, pl.DataFrame]:
    """Return the node tables with the columns of some nodes emptied."""
    types = graph.csr.node_type(nodes)
    tables = {name: graph.tables[name] for name in graph.schema.node_names}
    for index in set(types.tolist()):
        name = graph.schema.node_names[index]
        table = tables[name]
        gone = torch.zeros(len(table), dtype=torch.bool)
        gone[nodes[types == index] - graph.nodes(name).start] = True
        mask = pl.Series(gone.numpy())
        # The raw id is emptied as well: that of a review often names its user and its item.
        opaque = pl.format("hidden #{}", pl.int_range(pl.len()))
        tables[name] = table.with_columns(
            pl.when(~mask).then(pl.col(c)).otherwise(opaque if c == RAW_ID else None).alias(c)
            for c in table.columns
        )
    return tables


def _without_rows(graph: Graph, kept: Tensor) -> dict[str, pl.DataFrame]:
    """Return the edge tables with the rows of removed edges emptied."""
    tables = {}
    for name, table in graph.edge_tables.items():
        first = graph.edge_offset[name]
        mask = pl.Series(kept[first : first + len(table)].numpy())
        tables[name] = table.with_columns(
            pl.when(mask).then(pl.col(c)).otherwise(None).alias(c) for c in table.columns
        )
    return tables
