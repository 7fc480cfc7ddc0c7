"""Splits that cannot leak: held-out interactions are absent, not hidden."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.derive import derive
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import (
    Events,
    SplitProtocol,
    Stage,
    Stages,
    follow_pairs,
    protocol,
)
from graphrec_pt.graph.subset import keep_edges

When = Literal["valid", "test"]
SEEN: dict[str, tuple[Stage, ...]] = {
    "train": (Stage.TRAIN,),
    "valid": (Stage.TRAIN, Stage.VALID_CONTEXT),
    "test": (Stage.TRAIN, Stage.VALID_CONTEXT, Stage.VALID, Stage.TEST_CONTEXT),
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
    """A graph cut into what may be seen and what is to be predicted.

    Args:
        graph: The whole graph; nothing that learns should touch it.
        relation: The interaction relation that is predicted.
        stage: int8 ``[edge ids]`` of :class:`~graphrec_pt.graph.protocol.Stage`; edges that are
            no interactions are TRAIN.
        protocol: Config of the protocol.
        seed: Of the key.
    """

    graph: Graph
    relation: str
    stage: Tensor
    protocol: Mapping[str, Any]
    seed: int
    _views: dict[str, Graph] = field(default_factory=dict, repr=False)

    @property
    def train(self) -> Graph:
        """The graph to learn from: held-out edges, inverses, events and derivations are absent."""
        return self._view("train")

    @cached_property
    def valid(self) -> Targets:
        """What to predict at validation."""
        return self._targets(Stage.VALID)

    @cached_property
    def test(self) -> Targets:
        """What to predict at test."""
        return self._targets(Stage.TEST)

    def history(self, when: When) -> Graph:
        """Return the graph that inference may see at validation or at test."""
        return self._view(when)

    def _view(self, when: str) -> Graph:
        if when == "valid" and not bool((self.stage == Stage.VALID_CONTEXT).any()):
            when = "train"
        if when not in self._views:
            self._views[when] = self._made(when)
        return self._views[when]

    def _made(self, when: str) -> Graph:
        seen = torch.isin(self.stage, torch.tensor(SEEN[when], dtype=torch.int8))
        provenance = {"split": {**self.protocol, "seed": self.seed, "view": when}}
        return derive(keep_edges(self.graph, seen, self._unseen_events(seen), provenance))

    def _unseen_events(self, seen: Tensor) -> Tensor:
        """Return the nodes that are interactions not seen: reviews of held-out edges, say."""
        gone = [torch.empty(0, dtype=torch.int64)]
        for relation in self.graph.schema.interactions:
            if relation.event:
                first = self.graph.edge_offset[relation.name]
                node = self.graph.edge_tables[relation.name]["event"].fill_null(-1).to_torch()
                hidden = ~seen[first : first + len(node)] & (node >= 0)
                gone.append(node[hidden].long() + self.graph.nodes(relation.event).start)
        return torch.cat(gone)

    def _targets(self, stage: Stage) -> Targets:
        edges = self.graph.edges(self.relation)
        rows = self.stage[edges.edge] == stage
        time = None if edges.time is None else edges.time[rows]
        return Targets(edges.source[rows], edges.target[rows], time, edges.edge[rows])


def split(
    graph: Graph, how: str | Mapping[str, Any] | SplitProtocol = "leave_one_out", seed: int = 0
) -> Split:
    """Cut a graph into training, validation and test without leaks.

    Held-out interactions are absent from ``train`` in both directions, together with the nodes
    that *are* those interactions (their reviews) and, in other interaction relations, the events
    of the same pair that did not happen strictly before. Derived relations of the schema are
    computed from what each view may see.

    Args:
        graph: The whole graph.
        how: A protocol's name, config or object.
        seed: For protocols that draw.

    Raises:
        GraphRecError: When the protocol does not fit the graph.
    """
    chosen = protocol.build(how)
    key = Key(seed).named("split")
    relation = graph.schema.interaction(chosen.relation)
    events = _events(graph, relation.name)
    assigned = chosen.assign(events, key)
    stage = np.full(graph.num_edge_ids, Stage.TRAIN, np.int8)
    stage[events.edge] = assigned
    follow = getattr(chosen, "follow", follow_pairs)
    for other in graph.schema.interactions:
        if other.name != relation.name:
            also = _events(graph, other.name)
            stages: Stages = follow(events, assigned, also, key)
            stage[also.edge] = stages
    return Split(graph, relation.name, torch.from_numpy(stage), protocol.config(chosen), seed)


def _events(graph: Graph, relation: str) -> Events:
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
