"""The protocol of sets with owners: the last visit of a patient, the last basket of a user."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, draw32
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import Events, Ints, Stage, Stages, protocol

Share = Annotated[float, Field(ge=0, lt=1)]
_CONTEXT = {Stage.VALID: Stage.VALID_CONTEXT, Stage.TEST: Stage.TEST_CONTEXT}


@protocol("latest_sets")
class LatestSets:
    """Random owners are new, and what their last set holds is predicted.

    Sources of the predicted relation are sets (visits hold codes, baskets items), and each belongs
    to one owner (a patient, a user). Nothing of a drawn owner is trained on. What was in the
    earlier sets is seen when the owner is evaluated; so is what other interaction relations tell
    of the last set, as far as it is `given`: the diagnoses of a visit whose medication is asked
    for. What came after it is never seen. G-BERT (Shang et al., IJCAI 2019) splits by patient too,
    and predicts every visit from the second on.

    Args:
        owner: Timed relation from owners to their sets; says which set is the last.
        relation: Interaction relation to predict; the first one by default.
        given: Other interaction relations that are known of the last set; all by default.
        least: Sets, with events to predict, that an owner must have to be drawn.
        valid: Share of these owners for validation.
        test: Share for test.
    """

    owner: str
    relation: str | None = None
    given: tuple[str, ...] | None = None
    least: int = Field(2, ge=1)
    valid: Share = 0.1
    test: Share = 0.2

    def assign(self, events: Events, key: Key) -> Stages:
        """Raise: events do not tell their owners, :meth:`on` asks the graph."""
        raise GraphRecError("latest_sets", "a graph with owners", "events alone", "split(graph, …)")

    def on(self, graph: Graph) -> "OwnedSets":
        """Return the protocol for one graph.

        Raises:
            GraphRecError: For an owner relation without times, or to nodes that are no sources.
        """
        owner = graph.schema.relation(self.owner)
        predicted = graph.schema.interaction(self.relation)
        for name in self.given or ():
            graph.schema.interaction(name)
        edges = graph.edges(self.owner)
        if owner.target != predicted.source:
            expected = f"a relation to the sources of {predicted.name!r} ({predicted.source})"
            raise GraphRecError("latest_sets", expected, f"{owner.name!r} (→ {owner.target})")
        if edges.time is None:
            raise GraphRecError("latest_sets", "a timed relation", repr(owner.name))
        return OwnedSets(self, edges.source.numpy(), edges.target.numpy(), edges.time.numpy())


@dataclass(frozen=True, eq=False)
class OwnedSets:
    """:class:`LatestSets` with the sets of a graph.

    Args:
        config: Its options.
        owner: int64 ``[S]``.
        node: int64 ``[S]``, the set.
        time: int64 ``[S]``.
    """

    config: LatestSets
    owner: Ints
    node: Ints
    time: Ints

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        return self._stages(events, events, key, known_of_last=False)

    def follow(self, events: Events, stage: Stages, other: Events, key: Key) -> Stages:
        """Return the stages of another interaction relation of the same sets."""
        given = self.config.given
        known = given is None or other.relation in given
        return self._stages(events, other, key, known_of_last=known)

    def _stages(self, events: Events, asked: Events, key: Key, *, known_of_last: bool) -> Stages:
        held, after = self._fate(events, asked, key)
        stage = held[asked.source]  # of the owner
        place = after[asked.source]  # −1 before the last set, 0 in it, 1 after it
        context = (place < 0) | ((place == 0) & known_of_last)
        for when, seen in _CONTEXT.items():
            stage = np.where((held[asked.source] == when) & context, seen, stage)
        dropped = (stage != Stage.TRAIN) & (place > 0)
        return np.where(dropped, Stage.DROPPED, stage).astype(np.int8)

    def _fate(self, events: Events, asked: Events, key: Key) -> tuple[Stages, Stages]:
        """Return, for every node, the stage of its owner and where it stands by the last set."""
        full = np.unique(events.source)
        order = np.lexsort((self.node, self.time, self.owner))
        owner, node = self.owner[order], self.node[order]
        row = np.arange(len(owner))
        filled = np.isin(node, full)
        size = max(int(ids.max(initial=-1)) for ids in (owner, node, events.source, asked.source))
        last, count = np.full(size + 1, -1), np.zeros(size + 1, np.int64)
        np.maximum.at(last, owner[filled], row[filled])
        np.add.at(count, owner[filled], 1)
        bits = draw32(key.named("latest_sets"), owner.astype(np.uint32)).astype(np.float64) / 2**32
        wanted, drawn = self.config, count[owner] >= self.config.least
        stage = np.select(
            [drawn & (bits < wanted.test), drawn & (bits < wanted.test + wanted.valid)],
            [Stage.TEST, Stage.VALID],
            Stage.TRAIN,
        )
        held, after = np.zeros(size + 1, np.int8), np.zeros(size + 1, np.int8)
        held[node] = stage
        after[node] = np.sign(row - last[owner])
        return held, after
