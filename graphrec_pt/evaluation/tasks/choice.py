"""Choice: the one liked item among disliked ones, after a few liked items (zero-shot)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import polars as pl
import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, draw32
from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.baseline import baseline
from graphrec_pt.evaluation.metric import parse_metric
from graphrec_pt.evaluation.ranks import Ranks, read_ranks
from graphrec_pt.evaluation.seen import HISTORY
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.split import Split, When, keep_edges
from graphrec_pt.models.model import Model
from graphrec_pt.predict.likelihood import Likelihood, LikelihoodScorer
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.scorer import Scorer
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.linearizer import require
from graphrec_pt.training.stage import Stage

VALID = 0.1
"""Share of the users whose questions are asked at validation; the others' are the test."""


class Questions(NamedTuple):
    """Questions, one of each user.

    Args:
        user: int64 ``[n]`` global ids.
        shown: int64 ``[n, C]`` global ids of liked items.
        candidates: int64 ``[n, 1 + K]``, counted from the first item; the liked one is the first.
    """

    user: Tensor
    shown: Tensor
    candidates: Tensor


@dataclass(frozen=True, eq=False)
class UninformedScorer:
    """A scorer of the catalogue that knows nothing of the users that are asked about.

    Args:
        scorer: Fitted without them.
    """

    scorer: Scorer

    def of(self, questions: Questions) -> Tensor:
        """Return the scores of the candidates: float64 ``[n, 1 + K]``."""
        scores = self.scorer.scores(questions.user).double().cpu()
        return scores.gather(1, questions.candidates)


@dataclass(frozen=True, eq=False)
class PromptedModel:
    """A language model that is told a few liked items, and nothing else of a user.

    Args:
        scorer: Likelihoods of names after its prompts.
    """

    scorer: LikelihoodScorer

    def of(self, questions: Questions) -> Tensor:
        """Return the scores of the candidates: float64 ``[n, 1 + K]``."""
        size = questions.candidates.shape[1]
        row = torch.arange(len(questions.user)).repeat_interleave(size)
        item = questions.candidates.flatten()
        return self.scorer.of_histories(list(questions.shown), row, item).view(-1, size)


System = PromptedModel | UninformedScorer


@task("choice")
class Choice:
    """The rank of a liked item among disliked ones of the same user, after some liked items.

    The zero-shot protocol of Sileo et al. (ECIR 2022): of a user with enough likes and dislikes,
    `shown` liked items make the prompt; another liked item and `others` disliked ones are the
    candidates, ordered by the likelihood of their names. ``hr@1`` is the accuracy, ``1 / (1 +
    others)`` by chance. Users and items are drawn by Philox. One user in ten is asked at
    validation, others at test. Baselines are fitted without any event of the users that are asked
    about.

    Args:
        liked: Weight from which an edge is a like.
        disliked: Weight up to which it is a dislike.
        shown: Liked items in the prompt.
        others: Disliked candidates.
        likes: Likes that a user has at least.
        dislikes: Dislikes that a user has at least.
        users: Users at test at most.
        column: Text column of the candidates' names; their title by default.
        likelihood: How likelihoods become scores.
        seed: Of the draws.
    """

    file: ClassVar[str] = "ranks.parquet"
    metrics: ClassVar[tuple[str, ...]] = ("hr@1", "mrr", "ndcg@3")
    watch: ClassVar[str] = "hr@1"
    outcome: ClassVar[str] = "Ranks"
    family: ClassVar[Registry[Any]] = baseline

    liked: float = 5.0
    disliked: float = 2.0
    shown: int = Field(5, ge=1)
    others: int = Field(4, ge=1)
    likes: int = Field(21, ge=2)
    dislikes: int = Field(5, ge=1)
    users: int = Field(300, ge=1)
    column: str | None = None
    likelihood: Likelihood = Likelihood()
    seed: int = Field(0, ge=0)

    def check(self, stage: Stage) -> None:
        """Raise unless the linearizer of the stage writes text."""
        require("task choice", stage.linearizer, [Kind.TEXT])

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Raise for a relation without weights, too few users, and cut-offs beyond the candidates.

        Raises:
            GraphRecError: For these, and a node type without names.
        """
        relation = split.graph.schema.relation(split.relation)
        if not relation.weighted:
            raise GraphRecError("choice", "a weighted relation", f"{relation.name!r} without")
        self._column(split)
        for when in HISTORY:
            self.questions(split, when)
        cuts = {name: getattr(parse_metric(name), "k", None) for name in metrics}
        wide = [name for name, k in cuts.items() if k is not None and k > 1 + self.others]
        if wide:
            expected = f"cut-offs within {1 + self.others} candidates"
            raise GraphRecError("evaluate.metrics", expected, ", ".join(wide), "hr@1")

    def baselines(self, split: Split) -> tuple[str, ...]:
        """Return popularity: the others need a history that the model is not told."""
        return ("popularity",)

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return the only policy: no candidate is in the prompt."""
        return ("mask",)

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> PromptedModel:
        """Return a language model that is told a few liked items."""
        predictor = Predictor(model, split.history(when), stage=stage, relation=split.relation)
        return PromptedModel(
            LikelihoodScorer(predictor.reading, self._column(split), self.likelihood)
        )

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> UninformedScorer:
        """Return a baseline, fitted without the users that are asked about."""
        train, users = split.train, self.questions(split, when).user
        edges = train.edges(split.relation)
        kept = torch.ones(train.num_edge_ids, dtype=torch.bool)
        kept[edges.edge[torch.isin(edges.source, users)]] = False
        alone = keep_edges(train, kept)
        return UninformedScorer(baseline.build(config).fit(alone, split.relation).on(alone))

    def judge(
        self,
        system: PromptedModel | UninformedScorer,
        split: Split,
        when: When,
        policy: RankingConfig,
    ) -> Ranks:
        """Return the rank of the liked item of each question."""
        questions = self.questions(split, when)
        scores = system.of(questions)
        first = scores[:, :1]
        rank = 1 + (scores > first).sum(1) + ((scores == first).sum(1) - 1) / 2
        relation = split.graph.schema.relation(split.relation)
        tables, nodes = split.graph.tables, split.graph.nodes(relation.source)
        count = len(questions.user)
        table = pl.DataFrame(
            {
                "split": pl.Series([when]).new_from_index(0, count),
                "user": tables[relation.source][RAW_ID].gather(
                    (questions.user - nodes.start).numpy()
                ),
                "item": tables[relation.target][RAW_ID].gather(questions.candidates[:, 0].numpy()),
                "rank": rank.double().numpy(),
                "candidates": torch.full((count,), 1 + self.others).numpy(),
            }
        )
        chosen = f"one liked item among {self.others} disliked ones, after {self.shown} liked"
        policies = {"seen": "mask", "history": HISTORY[when], "candidates": chosen}
        return Ranks(table, policies)

    def beyond(self, system: Any, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return nothing: no lists are made."""
        return {}

    def read(self, path: Path) -> dict[str, Ranks]:
        """Return the saved ranks of each split."""
        return read_ranks(path)

    def questions(self, split: Split, when: When) -> Questions:
        """Return the questions of validation or of test.

        Raises:
            GraphRecError: When fewer than two users have enough likes and dislikes.
        """
        graph, key = split.graph, Key(self.seed).named("choice")
        edges = graph.edges(split.relation)
        assert edges.weight is not None
        table = pl.DataFrame(
            {
                "user": edges.source.numpy(),
                "item": edges.target.numpy() - graph.nodes(self._target(split)).start,
                "weight": edges.weight.numpy(),
                "draw": draw32(key.named("items"), edges.edge.numpy()),
            }
        )
        latest = table.unique(["user", "item"], keep="last", maintain_order=True)
        latest = latest.sort("user", "draw")
        lists = {
            name: latest.filter(chosen).group_by("user", maintain_order=True).agg("item")
            for name, chosen in (
                ("like", pl.col("weight") >= self.liked),
                ("dislike", pl.col("weight") <= self.disliked),
            )
        }
        both = lists["like"].join(lists["dislike"], on="user", suffix="_no", maintain_order="left")
        enough = (pl.col("item").list.len() >= max(self.likes, self.shown + 1)) & (
            pl.col("item_no").list.len() >= max(self.dislikes, self.others)
        )
        both = both.filter(enough)
        if len(both) < 2:
            expected = f"two users with {self.likes} likes and {self.dislikes} dislikes"
            hint = "evaluate.task.likes, dislikes, liked, disliked"
            raise GraphRecError("choice", expected, len(both), hint)
        drawn = draw32(key.named("users"), both["user"].to_numpy())
        both = both.with_columns(order=pl.Series(drawn)).sort("order", "user")
        apart = max(round(VALID * len(both)), 1)
        rows = both[:apart] if when == "valid" else both[apart : apart + self.users]
        like = torch.tensor([each[: self.shown + 1] for each in rows["item"].to_list()])
        dislike = torch.tensor([each[: self.others] for each in rows["item_no"].to_list()])
        start = graph.nodes(self._target(split)).start
        return Questions(
            torch.from_numpy(rows["user"].to_numpy().copy()),
            like[:, : self.shown] + start,
            torch.cat([like[:, self.shown :], dislike], dim=1),
        )

    def _target(self, split: Split) -> str:
        return split.graph.schema.relation(split.relation).target

    def _column(self, split: Split) -> str:
        node = split.graph.schema.node(self._target(split))
        column = self.column or node.title
        if column is None or column not in split.graph.tables[node.name].columns:
            got = "none" if column is None else repr(column)
            raise GraphRecError("choice", f"a name of each {node.name}", got, "column: title")
        return column
