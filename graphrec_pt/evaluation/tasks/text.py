"""Text: what a system writes about a pair, beside the text of the data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.facts import Facts
from graphrec_pt.evaluation.seen import HISTORY, targets_of
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.evaluation.text_baseline import (
    KnownTexts,
    LikelyTexts,
    TextSystem,
    text_baseline,
)
from graphrec_pt.evaluation.text_writers import GroundedWriter, Quotes, check_writer, writer_of
from graphrec_pt.evaluation.written import VOCABULARY, Written, read_written, written_table
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.split import Split, Targets, When
from graphrec_pt.models.model import Model
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.tokens.answer_text import AnswerText
from graphrec_pt.training.stage import Stage


@task("text")
class TextTask:
    """A text about each held-out pair, such as an explanation, against the text of the data.

    The last stage has an objective that writes (``language_model``), or one that decodes paths
    (``path_autoregression``), whose path is then put into words. Held-out texts are read as
    references only. Targets without one are written about, too; metrics that compare leave them
    out, and the report counts them.

    Args:
        answer: Which text of the data is the reference.
        entities: Node types whose names in texts are facts and features; by default all but those
            of the sources and of interactions.
        phrases: Relation → words that state it in a text; they also put a decoded path into words.
        writer: ``model`` writes what the model says; ``grounded`` only what the history graph has,
            see :class:`~graphrec_pt.evaluation.text_writers.GroundedWriter`.
        most: Targets of validation and of test at most, evenly spaced; writing takes time.
    """

    file: ClassVar[str] = "texts.parquet"
    metrics: ClassVar[tuple[str, ...]] = (
        "rouge_l",
        "rouge@1",
        "rouge@2",
        "bleu@1",
        "bleu@4",
        "distinct@2",
        "usr",
        "fmr",
        "grounded",
        "facts",
    )
    watch: ClassVar[str] = "rouge_l"
    outcome: ClassVar[str] = "Written"
    family: ClassVar[Registry[Any]] = text_baseline

    answer: AnswerText
    entities: tuple[str, ...] | None = None
    phrases: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    writer: Literal["model", "grounded"] = "model"
    most: int | None = Field(None, ge=1)

    def check(self, stage: Stage) -> None:
        """Raise unless an objective of the stage writes or decodes paths."""
        check_writer(stage)

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Raise unless some held-out targets have references, and types and relations exist."""
        Facts.of(split.train, split.relation, self.entities, self.phrases)
        for when in HISTORY:
            targets = self._targets(split, when)
            if len(targets) and not any(self._references(split, targets)):
                got = f"{len(targets):,} targets of {when} without one"
                hint = "another `answer:`, or a split that holds out edges with texts"
                raise GraphRecError("text", "targets with a reference", got, hint)

    def baselines(self, split: Split) -> tuple[str, ...]:
        """Return one text for all pairs, and those that repeat training texts of the item."""
        return ("constant_text", "commonest_text", "medoid_text", "random_text", "neighbor_text")

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return the only policy; seen items do not matter here."""
        return ("mask",)

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> TextSystem:
        """Return a trained model as a writer."""
        writer = writer_of(model, stage, split, when, self.phrases)
        if self.writer == "model":
            return writer
        facts = self._facts(split, when)
        return GroundedWriter(facts, Quotes(known_texts(split, self.answer), facts), writer)

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> TextSystem:
        """Return a baseline as a writer; it learns from training texts alone."""
        system: TextSystem = text_baseline.build(config).fit(known_texts(split, self.answer))
        return system

    def judge(self, system: TextSystem, split: Split, when: When, policy: RankingConfig) -> Written:
        """Return what a system writes about every target, and the facts that it states."""
        targets = self._targets(split, when)
        source, target, edge = targets.source, targets.target, targets.edge
        texts = system.write(source, target, edge)
        if len(texts) != len(targets):
            raise GraphRecError("text", f"{len(targets)} texts of the system", len(texts))
        facts = self._facts(split, when)
        relation = split.graph.schema.relation(split.relation)
        rows = pl.DataFrame(
            {
                "user": _raw(split, relation.source, source),
                "item": _raw(split, relation.target, target),
                "reference": pl.Series(self._references(split, targets), dtype=pl.String),
                "text": pl.Series(texts, dtype=pl.String),
            }
        )
        texts_and_pairs = zip(
            rows.select("text", "reference").iter_rows(),
            source.tolist(),
            target.tolist(),
            strict=True,
        )
        read = pl.DataFrame(
            [_facts(facts, text, gold, u, i) for (text, gold), u, i in texts_and_pairs],
            schema_overrides={name: pl.List(pl.String) for name in ("features", "gold")},
        )
        likely = None
        if isinstance(system, LikelyTexts):
            nll, tokens = system.nll(source, target, edge)
            known = torch.tensor([text is not None for text in rows["reference"]])
            likely = nll.tolist(), torch.where(known, tokens.cpu(), 0).tolist()
        table = written_table(when, pl.concat([rows, read], how="horizontal"), likely)
        return Written(table, {"history": HISTORY[when], VOCABULARY: str(facts.vocabulary)})

    def beyond(self, system: TextSystem, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return nothing: there are no lists."""
        return {}

    def read(self, path: Path) -> dict[str, Written]:
        """Return the saved texts of each split."""
        return read_written(path)

    def _facts(self, split: Split, when: When) -> Facts:
        return Facts.of(split.history(when), split.relation, self.entities, self.phrases)

    def _targets(self, split: Split, when: When) -> Targets:
        targets = targets_of(split, when)
        if self.most is None or len(targets) <= self.most:
            return targets
        kept = torch.arange(self.most) * len(targets) // self.most
        time = None if targets.time is None else targets.time[kept]
        return Targets(targets.source[kept], targets.target[kept], time, targets.edge[kept])

    def _references(self, split: Split, targets: Targets) -> list[str | None]:
        """Return the references; None where the data has no text, or an empty one."""
        pairs = torch.stack([targets.source, targets.target], dim=1)
        rows = self.answer.rows(split.graph, pairs, targets.edge)
        return [text.strip() or None for text in self.answer.texts(split.graph, rows)]


def known_texts(split: Split, answer: AnswerText) -> KnownTexts:
    """Return the texts of all training edges."""
    edges = split.train.edges(split.relation)
    pairs = torch.stack([edges.source, edges.target], dim=1)
    texts = answer.texts(split.graph, answer.rows(split.graph, pairs, edges.edge))
    kept = [row for row, text in enumerate(texts) if text.strip()]
    return KnownTexts(
        edges.source[kept].tolist(),
        edges.target[kept].tolist(),
        [texts[row].strip() for row in kept],
        split.train,
        split.relation,
    )


def _raw(split: Split, kind: str, nodes: Tensor) -> pl.Series:
    rows = (nodes - split.graph.nodes(kind).start).numpy()
    return split.graph.tables[kind][RAW_ID].gather(rows)


def _facts(
    facts: Facts, text: str, reference: str | None, source: int, target: int
) -> dict[str, Any]:
    """Return the columns of the table of texts that the names in a text make."""
    stated = facts.stated(text, source, target)
    names, gold = facts.named(text), facts.named(reference or "")
    items = facts.graph.nodes(facts.relation.target)
    return {
        "features": [text[each.start : each.end].lower() for each in names],
        "gold": [(reference or "")[each.start : each.end].lower() for each in gold],
        "items": sum(each.name[0] in items for each in names),
        "gold_items": sum(each.name[0] in items for each in gold),
        "stated": len(stated),
        "grounded": sum(fact.true for fact in stated),
    }
