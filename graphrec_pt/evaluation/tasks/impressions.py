"""Impressions: the clicked items of a list above the others that it showed (MIND)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.impressions import Impressions, read_impressions
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.seen import HISTORY, targets_of
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.evaluation.value_baselines import Same
from graphrec_pt.evaluation.values import Known, Values, value_baseline
from graphrec_pt.graph.assemble import fingerprint
from graphrec_pt.graph.derive import derive, without_derived
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.graph.split import Split, When, keep_edges
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.shown import Asked, ShownReadout
from graphrec_pt.predict.reading import Reading
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.predict.taught import Found, Taught
from graphrec_pt.sampling.edges import segment_edges
from graphrec_pt.sampling.shown import interaction_with_lists, is_clicked, shown_items
from graphrec_pt.training.stage import Stage

ITEMS = 2048
"""Items that are scored at once, unless one list has more."""


class Lists(NamedTuple):
    """The lists of a part, and what each showed.

    Args:
        node: int64 ``[L]`` global ids of lists.
        user: int64 ``[L]`` global ids.
        length: int64 ``[L]``, items of each.
        item: int64 ``[n]`` global ids, list by list.
        label: bool ``[n]``, whether each was clicked.
        skipped: Lists left out because all their items have one label.
    """

    node: Tensor
    user: Tensor
    length: Tensor
    item: Tensor
    label: Tensor
    skipped: int

    def spread(self, values: Tensor) -> Tensor:
        """Return a value of each list for all its items: ``[L]`` to ``[n]``."""
        return values.repeat_interleave(self.length, output_size=len(self.item))


@dataclass(frozen=True, eq=False)
class ListModel:
    """A trained model that scores what lists show.

    Args:
        reading: Its sampler, linearizer and network, on a graph that holds the lists.
        found: The objective that learned it, with its readout.
    """

    reading: Reading
    found: Found

    def of(self, lists: Lists) -> Tensor:
        """Return the score of every item: float64 ``[n]``."""
        readout = self.found.readout
        assert isinstance(readout, ShownReadout)
        reading, parts = self.reading, [torch.zeros(0, dtype=torch.float64)]
        head = reading.head(self.found)
        ends = lists.length.cumsum(0)
        first = 0
        with reading.at_rest():
            while first < len(lists.node):
                before = int(ends[first - 1]) if first else 0
                last = int(torch.searchsorted(ends, before + ITEMS, right=True))
                last = max(last, first + 1)
                rows = slice(first, last)
                count, items = lists.length[rows], lists.item[before : int(ends[last - 1])]
                tokens = reading.tokens(lists.node[rows])
                asked = Asked(reading.graph, tokens, lists.node[rows], count, items)
                views, given = readout.sees(asked)
                given = {name: each.to(reading.device) for name, each in given.items()}
                encoded = [reading.model.encode(view.to(reading.device)) for view in views]
                scores = readout.scores(encoded, given, reading.model, head)
                parts.append(scores.double().cpu())
                first = last
        return torch.cat(parts)


@dataclass(frozen=True)
class ListValues:
    """A baseline that scores pairs of a user and an item, whatever else the list shows.

    Args:
        values: The fitted baseline.
    """

    values: Values

    def of(self, lists: Lists) -> Tensor:
        """Return the score of every item: float64 ``[n]``."""
        return self.values.values(lists.spread(lists.user), lists.item).double().cpu()


@task("impressions")
class ImpressionsTask:
    """How well the clicked items of a list are put above the others that it showed.

    AUC, MRR, NDCG@5 and NDCG@10 of each list, and their mean over lists: the protocol of MIND (Wu
    et al., ACL 2020). Lists are the event nodes of held-out interactions, so the split must hold
    out whole lists (``last_lists``, or a cut in time). What they showed is given; what became of it
    is in no graph that a system sees. Lists whose items have one label are skipped and counted.
    Baselines know the item alone: its clicks, the time of its last one, and its share of clicks
    among the times that it was shown, which on ratings is hard to beat.

    Args:
        sees: Relation from users to lists, with an inverse.
        shows: Relation from lists to items.
        above: Weight from which an interaction is a click; every interaction is one for None.
    """

    file: ClassVar[str] = "impressions.parquet"
    metrics: ClassVar[tuple[str, ...]] = (
        "impression_auc",
        "impression_mrr",
        "impression_ndcg@5",
        "impression_ndcg@10",
    )
    watch: ClassVar[str] = "impression_auc"
    outcome: ClassVar[str] = "Impressions"
    family: ClassVar[Registry[Any]] = value_baseline

    sees: str = "sees"
    shows: str = "shows"
    above: float | None = None

    def check(self, stage: Stage) -> None:
        """Raise unless an objective of the stage scores what lists show."""
        _learned(Taught.by(stage))

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Raise unless whole lists are held out, and some of them have both labels.

        Raises:
            GraphRecError: For these, and for relations that the graph lacks.
        """
        relation = self._relation(split)
        if self.above is not None and not relation.weighted:
            got = f"{relation.name!r} without weights"
            raise GraphRecError("impressions", "a weighted relation", got, "above: null")
        for when in HISTORY:
            if not len(targets_of(split, when)):
                continue
            seen = self._events(split, split.history(when).edges(split.relation).edge)
            parted = int(torch.isin(self.lists(split, when).node, seen).sum())
            if parted:
                got = f"{parted} lists that are asked about at {when} are known in part"
                hint = "data.split: last_lists"
                raise GraphRecError("impressions", "whole lists held out", got, hint)
            evaluate(self.judge(ListValues(Same(0.5)), split, when, RankingConfig()), metrics)

    def baselines(self, split: Split) -> tuple[str, ...]:
        """Return popularity, recency where there are times, and the item's rate of clicks."""
        timed = split.graph.schema.relation(split.relation).timed
        return ("click_count", *(("last_click",) if timed else ()), "popularity_rate")

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return the only policy; seen items do not matter here."""
        return ("mask",)

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> ListModel:
        """Return a trained model that scores what lists show."""
        taught = Taught.of(model, stage)
        graph = self._asked(split, when)
        relation = split.graph.schema.relation(split.relation)
        return ListModel(Reading(model, taught, graph, relation), _learned(taught))

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> ListValues:
        """Return a baseline, fitted on what training lists showed."""
        return ListValues(value_baseline.build(config).fit(self._known(split)))

    def judge(
        self, system: ListModel | ListValues, split: Split, when: When, policy: RankingConfig
    ) -> Impressions:
        """Return score and label of every item of every list with both labels."""
        lists = self.lists(split, when)
        graph, relation = split.graph, self._relation(split)

        def raw(kind: str, nodes: Tensor) -> pl.Series:
            rows = (nodes - graph.nodes(kind).start).numpy()
            return graph.tables[kind][RAW_ID].gather(rows)

        assert relation.event is not None
        table = pl.DataFrame(
            {
                "split": pl.Series([when], dtype=pl.String).new_from_index(0, len(lists.item)),
                "user": raw(relation.source, lists.spread(lists.user)),
                "impression": raw(relation.event, lists.spread(lists.node)),
                "item": raw(relation.target, lists.item),
                "value": lists.label.double().numpy(),
                "predicted": system.of(lists).numpy(),
            }
        )
        labels = "clicks" if self.above is None else f"weights from {self.above:g}"
        each = [(part, self.lists(split, part)) for part in HISTORY]
        skipped = "; ".join(
            f"{part}: {one.skipped:,} of {one.skipped + len(one.node):,}" for part, one in each
        )
        made_with = {"labels": labels, "lists of one label, skipped": skipped}
        return Impressions(table, {"history": HISTORY[when], **made_with})

    def beyond(self, system: Any, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return nothing: no list is made."""
        return {}

    def read(self, path: Path) -> dict[str, Impressions]:
        """Return the saved outcome of each split."""
        return read_impressions(path)

    def lists(self, split: Split, when: When) -> Lists:
        """Return the held-out lists with both labels, with what they showed."""
        graph, relation = split.graph, self._relation(split)
        node = torch.unique(self._events(split, targets_of(split, when).edge))
        shown = shown_items(graph, node, self.shows)
        label = is_clicked(graph, relation, node[shown.row], shown.item, self.above)
        count = torch.bincount(shown.row, minlength=len(node))
        clicked = torch.bincount(shown.row[label], minlength=len(node))
        both = (clicked > 0) & (clicked < count)
        kept = both[shown.row]
        inverse = graph.schema.relation(self.sees).inverse
        if inverse is None:
            got = f"{self.sees!r}, which has none"
            raise GraphRecError("impressions", "sees: with an inverse", got, "inverse: in the card")
        position, row = segment_edges(graph, node, inverse)
        user = torch.full_like(node, -1)
        user[row] = graph.csr.indices[position].long()
        skipped = int((~both).sum())
        return Lists(node[both], user[both], count[both], shown.item[kept], label[kept], skipped)

    def _relation(self, split: Split) -> Relation:
        schema = split.graph.schema
        return interaction_with_lists(schema, split.relation, schema.relation(self.shows).source)

    def _events(self, split: Split, edge: Tensor) -> Tensor:
        """Return the lists of some interactions, without those that have none: int64."""
        graph, relation = split.graph, self._relation(split)
        assert relation.event is not None
        column = graph.edge_tables[relation.name]["event"].fill_null(-1).to_torch().long()
        event = column[edge - graph.edge_offset[relation.name]]
        return event[event >= 0] + graph.nodes(relation.event).start

    def _asked(self, split: Split, when: When) -> Graph:
        """Return the history graph with the held-out lists: who saw them and what they showed.

        The clicks of these lists are absent from it.
        """
        history, whole = split.history(when), without_derived(split.graph)
        assert history.csr.edge is not None
        kept = torch.zeros(max(whole.num_edge_ids, history.num_edge_ids), dtype=torch.bool)
        kept[history.csr.edge.long()] = True
        kept = kept[: whole.num_edge_ids]
        node = torch.unique(self._events(split, targets_of(split, when).edge))
        for name in (self.sees, self.shows):
            edges = whole.edges(name)
            here = torch.isin(edges.source, node) | torch.isin(edges.target, node)
            kept[edges.edge[here]] = True
        made = replace(keep_edges(whole, kept), tables=history.tables)
        made = replace(made, edge_tables={**made.edge_tables, **_without_lists(history)})
        return derive(replace(made, fingerprint=fingerprint(made)))

    def _known(self, split: Split) -> Known:
        """Return what training lists showed, with clicks as values, and interactions beside."""
        train, relation = split.train, self._relation(split)
        shown, every = train.edges(self.shows), train.edges(relation.name)
        clicked = is_clicked(train, relation, shown.source, shown.target, self.above)
        column = train.edge_tables[relation.name]["event"].fill_null(-1).to_torch()
        alone = column[every.edge - train.edge_offset[relation.name]] < 0  # in no list
        liked = torch.ones(len(every.source), dtype=torch.bool)
        if self.above is not None and every.weight is not None:
            liked = every.weight >= self.above
        time = None
        if shown.time is not None and every.time is not None:
            time = torch.cat([shown.time, every.time[alone]])
        return Known(
            torch.cat([shown.source, every.source[alone]]),
            torch.cat([shown.target, every.target[alone]]),
            torch.cat([clicked, liked[alone]]).double(),
            train.num_nodes(),
            time,
        )


def _learned(taught: Taught) -> Found:
    return taught.first(ShownReadout, "an objective that scores what lists show, such as choice")


def _without_lists(history: Graph) -> dict[str, pl.DataFrame]:
    """Return the edge tables of interactions as the history has them."""
    return {
        relation.name: history.edge_tables[relation.name]
        for relation in history.schema.interactions
        if relation.name in history.edge_tables
    }
