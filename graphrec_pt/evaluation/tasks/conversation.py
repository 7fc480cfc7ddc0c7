"""Conversation: what a turn of a dialogue recommends, and the words of its response."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import polars as pl
import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.baseline import baseline
from graphrec_pt.evaluation.conversations import COLUMNS, Conversations, read_conversations
from graphrec_pt.evaluation.lists import beyond_accuracy
from graphrec_pt.evaluation.metric import parse_metric
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.evaluation.responses import (
    Responses,
    Writer,
    filled,
    model_writer,
    reference_texts,
    templates,
    writes,
)
from graphrec_pt.evaluation.seen import targets_of
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.split import Split, When
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.turn_item import TurnItem
from graphrec_pt.objectives.turn_links import facts_of
from graphrec_pt.predict.lists import Lists, best_of
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.scorer import Scorer
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.predict.taught import Taught
from graphrec_pt.sampling.turns import Context
from graphrec_pt.training.stage import Stage

LISTED = 10
"""Length of the lists that coverage and novelty are measured on."""
TEMPLATE = "Have you seen {item}?"


class System(NamedTuple):
    """A system in a conversation.

    Args:
        scorer: Ranks the catalogue for a turn.
        writer: Writes responses; None for a system that fills the template.
    """

    scorer: Scorer
    writer: Writer | None = None


@task("conversation")
class Conversation:
    """Recommendation in dialogue: the items that a turn recommends, and its response.

    Sources of the predicted relation are turns. Every item of a turn is an instance of its own,
    ranked among the whole catalogue. Metrics come in pairs: over all instances, and over the novel
    ones, whose item the dialogue had not named before. ``seen: keep`` ranks all candidates, as
    papers do; ``mask`` leaves out what was named. A system that writes no text answers with the
    template, filled with its best candidate.

    Args:
        context: What counts as named before a turn.
        dialogue: Relation from a turn to its dialogue: intervals and tests resample dialogues.
            Without one, each turn is its own dialogue.
        reference: Text column of the turns with the true response, for text metrics.
        template: Response of systems that write nothing, with ``{item}``.
        blank: Text in responses of models that their best items take the place of, such as
            ``<item>``; see :class:`~graphrec_pt.tokens.mentions.Mentions`.

    Example:
        >>> named = {"mentions": ["names_item"]}
        >>> task.build({"name": "conversation", "context": named}).watch
        'recall_novel@10'
    """

    file: ClassVar[str] = "conversations.parquet"
    metrics: ClassVar[tuple[str, ...]] = (
        *(f"recall_{which}@{k}" for k in (1, 10, 50) for which in ("all", "novel")),
        *(f"{name}_{which}@10" for name in ("mrr", "ndcg") for which in ("all", "novel")),
        "text_recall_all",
        "text_recall_novel",
        "items_per_response",
    )
    watch: ClassVar[str] = "recall_novel@10"
    outcome: ClassVar[str] = "Conversations"
    family: ClassVar[Registry[Any]] = baseline

    context: Context = Field(default_factory=Context)
    dialogue: str | None = None
    reference: str | None = None
    template: str = TEMPLATE
    blank: str | None = Field(None, min_length=1)

    def check(self, stage: Stage) -> None:
        """Raise unless an objective of the stage ranks candidates.

        Raises:
            GraphRecError: Also for a stage without `roots`: it would predict what turns name in
                place of what they recommend, and learn the responses of all turns, held-out ones
                among them, because columns of nodes are in every view.
        """
        taught = Taught.by(stage)
        taught.ranking()
        if stage.roots is None and (writes(taught) or _has_turns(taught)):
            expected = "roots that are edges, each hidden once, so that no held-out turn is learned"
            hint = "roots: the predicted RELATION"
            raise GraphRecError(f"stage {stage.name!r}", expected, "all turns", hint)

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Raise for relations and columns that the data lacks, and metrics without their pair."""
        schema = split.graph.schema
        relation = schema.relation(split.relation)
        self.context.check(schema, relation.source)
        hiding = [each.name for each in schema.relations if each.event == relation.source]
        if hiding:
            expected = f"turns that stay when they are evaluated, not events of {hiding[0]!r}"
            hint = f"data.without: [{', '.join(hiding)}]"
            raise GraphRecError("conversation", expected, repr(relation.source), hint)
        if self.dialogue is not None and schema.relation(self.dialogue).source != relation.source:
            expected = f"a relation that leaves the turns ({relation.source!r})"
            raise GraphRecError("conversation.dialogue", expected, repr(self.dialogue))
        columns = schema.node(relation.source).columns
        texts = [name for name, kind in columns.items() if kind == "text"]
        if self.reference is not None and self.reference not in texts:
            expected = f"a text column of {relation.source!r}"
            hint = "one of " + ", ".join(texts) if texts else ""
            raise GraphRecError("conversation.reference", expected, repr(self.reference), hint)
        if "{item}" not in self.template:
            raise GraphRecError("conversation.template", "a text with {item}", self.template)
        catalogue = split.graph.num_nodes(relation.target)
        for name in metrics:
            pair = _pair(name)
            if pair is not None and pair not in metrics:
                raise GraphRecError("evaluate.metrics", f"{pair} beside {name}", "only one of them")
            k = getattr(parse_metric(name), "k", None)
            if k is not None and k > catalogue:
                expected = f"cut-offs within the catalogue of {catalogue:,} items"
                raise GraphRecError("evaluate.metrics", expected, name)
            if self.reference is None and getattr(parse_metric(name), "needs", None) == "reference":
                hint = f"task: {{name: conversation, reference: COLUMN}} ({', '.join(texts)})"
                raise GraphRecError(name, "a column with the true responses", "none", hint)

    def baselines(self, split: Split) -> tuple[str | Mapping[str, Any], ...]:
        """Return popularity, repetition, neighbours of what was named, and items it links to."""
        context = self.context.model_dump(mode="json")
        names = ["repeat", "mention_knn"]
        if facts_of(split.graph, split.graph.schema.relation(split.relation).source):
            names.append("linked_items")
        return ("popularity", *({"name": name, "context": context} for name in names))

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return masking alone, or both where turns recommend what was named before."""
        return ("mask", "keep") if self._named(split, "test").any() else ("mask",)

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> System:
        """Return a trained model as a system."""
        nodes, shown = torch.unique(targets_of(split, when).source), split.history(when)
        predictor = Predictor(model, shown, stage=stage, relation=split.relation)
        writer = model_writer(predictor) if writes(Taught.by(stage)) else None
        return System(predictor.scorer(nodes), writer)

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> System:
        """Return a baseline as a system, which fills the template."""
        fitted = baseline.build(config).fit(split.train, split.relation)
        return System(fitted.on(split.history(when)))

    def judge(
        self, system: System, split: Split, when: When, policy: RankingConfig
    ) -> Conversations:
        """Return rank and response for every instance."""
        history, relation = split.history(when), split.graph.schema.relation(split.relation)
        left_out = partial(self.context.items, history, split.relation)
        ranks = rank_targets(system.scorer, split, when, seen=policy.seen, left_out=left_out)
        turns = torch.unique(targets_of(split, when).source)
        blank: str | None
        if system.writer is None:
            responses, how, blank = templates(self.template, len(turns)), "template", "{item}"
        else:
            responses, how, blank = system.writer(turns), "model", self.blank
        if blank is not None:
            most = max((text.count(blank) for text in responses.texts), default=0)
            k = min(max(most, 1), split.graph.num_nodes(relation.target))
            best = self._lists(system.scorer, split, when, turns, k, policy.seen)
            responses = filled(responses, blank, best.items.tolist(), split.graph)
        turn = split.graph.node_ids(relation.source, ranks.table["user"])
        item = split.graph.node_ids(relation.target, ranks.table["item"])
        row = torch.searchsorted(turns, turn)
        table = ranks.table.with_columns(
            pl.Series("dialogue", self._dialogues(split, turn), pl.String),
            pl.Series("named", self._is_named(split, when, turn, item).numpy(), pl.Boolean),
            *self._texts(split, responses, turns, row, item),
        )
        return Conversations(table.select(*COLUMNS), {**ranks.policy, "responses": how})

    def beyond(self, system: System, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return coverage, Gini index, novelty and popularity of the lists of test turns."""
        turns = torch.unique(split.test.source)
        catalogue = split.graph.num_nodes(split.graph.schema.relation(split.relation).target)
        k = min(LISTED, catalogue)
        lists = self._lists(system.scorer, split, "test", turns, k, policy.seen)
        return beyond_accuracy(lists, split.train, split.relation)

    def read(self, path: Path) -> dict[str, Conversations]:
        """Return the saved outcome of each split."""
        return read_conversations(path)

    def _lists(
        self, scorer: Scorer, split: Split, when: When, turns: Tensor, k: int, seen: SeenPolicy
    ) -> Lists:
        """Return the best candidates of turns, without what was named if it is masked."""
        history, relation = split.history(when), split.relation
        left_out = self.context.items(history, relation, turns) if seen == "mask" else None
        return best_of(scorer, history, relation, turns, k, left_out=left_out)

    def _named(self, split: Split, when: When) -> Tensor:
        """Return whether each target had been named: bool ``[n]``."""
        targets = targets_of(split, when)
        return self._is_named(split, when, targets.source, targets.target)

    def _is_named(self, split: Split, when: When, turn: Tensor, item: Tensor) -> Tensor:
        """Return whether each item had been named before its turn: bool ``[n]``."""
        history = split.history(when)
        nodes, row = torch.unique(turn, return_inverse=True)
        among = history.nodes(history.schema.relation(split.relation).target)
        ptr, column = self.context.items(history, split.relation, nodes)
        owner = torch.arange(len(nodes)).repeat_interleave(ptr.diff())
        pairs = row * len(among) + item - among.start
        return torch.isin(pairs, owner * len(among) + column)

    def _dialogues(self, split: Split, turn: Tensor) -> list[str]:
        """Return the raw id of the dialogue of each turn; that of the turn without a dialogue."""
        graph = split.graph
        kind = graph.schema.relation(split.relation).source
        own = graph.tables[kind][RAW_ID].gather((turn - graph.nodes(kind).start).numpy())
        if self.dialogue is None:
            return own.to_list()
        edges = graph.edges(self.dialogue)
        start, of = graph.nodes(kind).start, torch.full((len(graph.nodes(kind)),), -1)
        of[edges.source - start] = edges.target
        kept = of[turn - start].tolist()
        return [graph.raw_id(d) if d >= 0 else o for d, o in zip(kept, own, strict=True)]

    def _texts(
        self, split: Split, responses: Responses, turns: Tensor, row: Tensor, item: Tensor
    ) -> list[pl.Series]:
        """Return the columns about the responses."""
        rows, items = row.tolist(), item.tolist()
        true: Sequence[str | None] = [None] * len(turns)
        if self.reference is not None:
            true = reference_texts(split.graph, turns, self.reference)
        inside = [i in responses.items[r] for r, i in zip(rows, items, strict=True)]
        return [
            pl.Series("response", [responses.texts[r] for r in rows], pl.String),
            pl.Series("reference", [true[r] for r in rows], pl.String),
            pl.Series("items_in_response", [len(responses.items[r]) for r in rows], pl.Int64),
            pl.Series("in_response", inside, pl.Boolean),
        ]


def _has_turns(taught: Taught) -> bool:
    return any(isinstance(each, TurnItem) for each in taught.objectives.values())


def _pair(name: str) -> str | None:
    """Return the metric that belongs beside another one: over all, or over novel instances."""
    kind, at, cutoff = name.partition("@")
    for mine, other in (("_all", "_novel"), ("_novel", "_all")):
        if kind.endswith(mine):
            return kind.removesuffix(mine) + other + at + cutoff
    return None
