"""A split protocol for sequences that belong to groups: other projects, other people."""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from graphrec_pt.core.key import Key, draw32
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.group_protocols import Groups, GroupsOf
from graphrec_pt.graph.protocol import Events, SplitPart, Stages, protocol, ranks_from_end

_SEEN = {SplitPart.VALID: SplitPart.VALID_CONTEXT, SplitPart.TEST: SplitPart.TEST_CONTEXT}


@protocol("group_histories")
class GroupHistories(Groups):
    """Hold out random groups of sources, and predict the last event of each of these sources.

    As the protocol `groups`, but the events of a held-out source before its last one are seen when
    it is evaluated: functions of other projects, sessions of other users. APIRecX (Kang et al.,
    EMNLP 2021) tests on other projects, and fine-tunes on a small `share` of what is left.

    Args:
        least: Events that a source must have to be evaluated; those of shorter ones are dropped.
        share: Share of the sources of the predicted relation that training keeps, fixed by the
            key; baselines learn from these alone too.
    """

    least: int = Field(2, ge=1)
    share: float = Field(1.0, gt=0, le=1)

    def on(self, graph: Graph) -> "GroupHistoriesOf":
        """Return the protocol for one graph.

        Raises:
            GraphRecError: For relations that reach neither the sources nor the targets.
        """
        found = super().on(graph)
        return GroupHistoriesOf(found.config, graph, found.by, found.group, found.at_target)


@dataclass(frozen=True, eq=False)
class GroupHistoriesOf(GroupsOf):
    """:class:`GroupHistories` with the groups of a graph."""

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        config = self.config
        assert isinstance(config, GroupHistories)
        stage = super().assign(events, key)
        after, length = ranks_from_end(events.source)
        for held, seen in _SEEN.items():
            stage = np.where((stage == held) & (after > 0), seen, stage)
        bits = draw32(key.named("group_histories.share"), events.source.astype(np.uint32))
        spared = bits.astype(np.float64) / 2**32 >= config.share
        train = stage == SplitPart.TRAIN
        dropped = np.where(train, spared, length < config.least)
        return np.where(dropped, SplitPart.DROPPED, stage).astype(np.int8)

    def _fate(self, events: Events, stage: Stages) -> Stages:
        """Return the stage of every node, by its group: int8 ``[N]``; few shots hold out none."""
        whole = np.zeros_like(stage)
        for held, seen in _SEEN.items():
            whole[(stage == held) | (stage == seen)] = held
        end = events.target if self.at_target else events.source
        of_group = np.zeros(len(self.group), np.int8)
        np.maximum.at(of_group, self.group[end], whole)
        fate: Stages = of_group[self.group]
        return fate
