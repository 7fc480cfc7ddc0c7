"""Split protocols that hold out whole groups: the turns of a dialogue, the sets of an owner.

Other relations say which group an event belongs to, so these protocols read the graph first, in
their method ``on``.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import Events, Ints, SplitPart, Stages, follow_pairs, protocol
from graphrec_pt.graph.protocols import Share, check_shares, drawn

TEST = "test"
"""What a column of published parts says of the test."""
_CONTEXT = {SplitPart.VALID: SplitPart.VALID_CONTEXT, SplitPart.TEST: SplitPart.TEST_CONTEXT}


@protocol("groups")
class Groups:
    """Hold out random groups: all events of a group are held out together.

    A group is what the relations `by` join: the turns of a dialogue, the sessions of a user, the
    outfits of a designer, the visits of a patient. Groups that share a member are one group.
    Training sees no edge of a held-out group. What other relations say of its members (the movies
    that a turn names) is seen when the group is evaluated. Its members are then not linked to each
    other, because a later turn of a dialogue reveals the answer of an earlier one.

    Args:
        by: One or several relations that join the sources of the predicted relation, or its
            targets, with the nodes that group them; without any, each source is its own group.
        relation: Interaction relation to predict; the first one by default.
        valid: Share of the groups for validation.
        test: Share for test.
        linked: Whether the edges of `by` are seen when a held-out group is evaluated.
        published: Edge column of the predicted relation that says ``test`` for the published test
            part: the groups of such edges are the test, whole, and validation groups are drawn
            from the others. Published validation edges are trained on where they are not drawn.
    """

    by: str | tuple[str, ...] = ()
    relation: str | None = None
    valid: Share = 0.1
    test: Share = 0.1
    linked: bool = False
    published: str | None = None

    def __post_init__(self) -> None:
        check_shares("groups", self.valid, self.test)

    def assign(self, events: Events, key: Key) -> Stages:
        """Raise an error: only the protocol that :meth:`on` returns knows the groups of events."""
        raise GraphRecError("groups", "a graph with groups", "events alone", "split(graph, …)")

    def on(self, graph: Graph) -> "GroupsOf":
        """Return the protocol for one graph.

        Raises:
            GraphRecError: For relations that reach neither the sources nor the targets.
        """
        names = (self.by,) if isinstance(self.by, str) else self.by
        joining = [graph.schema.relation(name) for name in names]
        predicted = graph.schema.interaction(self.relation)
        types = {end for relation in joining for end in (relation.source, relation.target)}
        if joining and not types & {predicted.source, predicted.target}:
            ends = f"the ends of {predicted.name!r} ({predicted.source}, {predicted.target})"
            hint = "one of " + ", ".join(
                r.name
                for r in graph.schema.relations
                if not r.backward and {r.source, r.target} & {predicted.source, predicted.target}
            )
            raise GraphRecError("groups.by", f"a relation to {ends}", ", ".join(names), hint)
        at_target = bool(joining) and predicted.source not in types
        edges = [graph.edges(name) for name in names]
        none, size = np.empty(0, np.int64), graph.num_nodes()
        source = np.concatenate([none, *(part.source.numpy() for part in edges)])
        target = np.concatenate([none, *(part.target.numpy() for part in edges)])
        links = coo_array((np.ones(len(source), np.int8), (source, target)), shape=(size, size))
        _, label = connected_components(links, directed=False)
        first = np.full(int(label.max(initial=-1)) + 1, size)
        np.minimum.at(first, label, np.arange(size))  # a group has the number of its first node
        return GroupsOf(self, graph, frozenset(names), first[label], at_target)


@dataclass(frozen=True, eq=False)
class GroupsOf:
    """:class:`Groups` with the groups of a graph.

    Args:
        config: Its options.
        graph: The graph.
        by: Names of the relations that join a group.
        group: int64 ``[N]``, the first node of each node's group.
        at_target: Whether an event belongs to the group of its target instead of its source.
    """

    config: Groups
    graph: Graph
    by: frozenset[str]
    group: Ints
    at_target: bool

    def assign(self, events: Events, key: Key) -> Stages:
        """Return the stage of each event: int8 ``[n]``."""
        end = events.target if self.at_target else events.source
        group, config, key = self.group[end], self.config, key.named("groups")
        if config.published is None:
            return drawn(group, key, config.valid, config.test)
        columns = [] if events.columns is None else events.columns.columns
        if events.columns is None or config.published not in columns:
            expected = f"an edge column {config.published!r} on {events.relation!r}"
            got = ", ".join(columns) or "no edge columns"
            hint = did_you_mean(config.published, columns)
            raise GraphRecError("groups.published", expected, got, hint)
        named = events.columns[config.published].cast(pl.String) == TEST
        tested = np.isin(group, group[named.fill_null(False).to_numpy()])
        stages = drawn(group, key, config.valid, 0.0)
        return np.where(tested, SplitPart.TEST, stages).astype(np.int8)

    def follow(self, events: Events, stage: Stages, other: Events, key: Key) -> Stages:
        """Hold the same groups out of another interaction relation."""
        fate = self._fate(events, stage)
        stages = np.maximum(fate[other.source], fate[other.target])
        return np.where(stages > 0, stages, follow_pairs(events, stage, other, key))

    def beside(self, events: Events, stage: Stages) -> Stages:
        """Return the stages of plain edges, so that training sees none of a held-out group.

        Returns:
            int8 ``[edge ids]``.
        """
        fate = self._fate(events, stage)
        stages = np.zeros(self.graph.num_edge_ids, np.int8)
        for relation in self.graph.schema.relations:
            if relation.backward or relation.interaction or relation.derived:
                continue
            edges = self.graph.edges(relation.name)
            held = np.maximum(fate[edges.source.numpy()], fate[edges.target.numpy()])
            for when, seen in _CONTEXT.items():
                hidden = self._joins(relation.name) and not self.config.linked
                stages[edges.edge.numpy()[held == when]] = SplitPart.DROPPED if hidden else seen
        return stages

    def _joins(self, name: str) -> bool:
        return name in self.by or self.graph.schema.relation(name).inverse in self.by

    def _fate(self, events: Events, stage: Stages) -> Stages:
        """Return the stage of every node, by its group: int8 ``[N]``."""
        end = events.target if self.at_target else events.source
        of_group = np.zeros(len(self.group), np.int8)
        of_group[self.group[end]] = stage
        fate: Stages = of_group[self.group]
        return fate


@protocol("latest_sets")
class LatestSets:
    """Hold out random owners, and predict the content of their last set.

    Sources of the predicted relation are sets (visits hold codes, baskets items), and each belongs
    to one owner (a patient, a user). Training sees no edge of a drawn owner. The evaluation of an
    owner sees its earlier sets, and those edges of its last set whose relations are `given`, such
    as the diagnoses of a visit whose medication is predicted. No view shows anything later than
    the last set. G-BERT (Shang et al., IJCAI 2019) splits by patient too, and predicts every visit
    from the second on.

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

    def __post_init__(self) -> None:
        check_shares("latest_sets", self.valid, self.test)

    def assign(self, events: Events, key: Key) -> Stages:
        """Raise an error: only the protocol that :meth:`on` returns knows the owners of events."""
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

    def _stages(
        self, events: Events, predicted: Events, key: Key, *, known_of_last: bool
    ) -> Stages:
        held, after = self._fate(events, predicted, key)
        at_target = held[predicted.target] > 0  # a set stands at either end
        sets = np.where(at_target, predicted.target, predicted.source)
        stage = held[sets]  # of the owner
        place = after[sets]  # −1 before the last set, 0 in it, 1 after it
        context = (place < 0) | ((place == 0) & known_of_last)
        for when, seen in _CONTEXT.items():
            stage = np.where((held[sets] == when) & context, seen, stage)
        dropped = (stage != SplitPart.TRAIN) & (place > 0)
        return np.where(dropped, SplitPart.DROPPED, stage).astype(np.int8)

    def _fate(self, events: Events, predicted: Events, key: Key) -> tuple[Stages, Stages]:
        """Return, for every node, the stage of its owner and its place relative to the last set."""
        full = np.unique(events.source)
        order = np.lexsort((self.node, self.time, self.owner))
        owner, node = self.owner[order], self.node[order]
        row = np.arange(len(owner))
        filled = np.isin(node, full)
        numbered = (owner, node, events.source, predicted.source, predicted.target)
        size = max(int(ids.max(initial=-1)) for ids in numbered)
        last, count = np.full(size + 1, -1), np.zeros(size + 1, np.int64)
        np.maximum.at(last, owner[filled], row[filled])
        np.add.at(count, owner[filled], 1)
        wanted = self.config
        stage = drawn(owner, key.named("latest_sets"), wanted.valid, wanted.test)
        stage[count[owner] < wanted.least] = SplitPart.TRAIN
        held, after = np.zeros(size + 1, np.int8), np.zeros(size + 1, np.int8)
        held[node] = stage
        after[node] = np.sign(row - last[owner])
        return held, after
