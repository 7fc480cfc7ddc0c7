"""Recommendations of a finished run, without the data set at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import trusting
from graphrec_pt.evaluation.model_scorer import Sample
from graphrec_pt.evaluation.pair_scorer import RERANK, Scoring, scorer_of
from graphrec_pt.evaluation.path_scorer import PathScorer
from graphrec_pt.evaluation.scorer import Scorer
from graphrec_pt.evaluation.seen import SeenPolicy, seen_pairs
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.recipe.folder import Run, open_run
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.serve.explain import Explainer, Path, decoded
from graphrec_pt.training.stage import Stage

User = str | Sequence[str]
"""The raw id of a known user, or the history of a new one: raw ids of items, oldest first."""


@dataclass(frozen=True)
class Item:
    """A recommended item.

    Args:
        id: Raw id.
        title: What a person calls it.
        score: Higher is better; of one user's items alone comparable.
        paths: Why, best first; empty unless asked for, or where nothing links it to the history.
    """

    id: str
    title: str
    score: float
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Recommended:
    """What a user is recommended.

    Args:
        user: Raw id; None for a new user.
        history: Raw ids of what the user met, oldest first.
        items: Best first.
    """

    user: str | None
    history: tuple[str, ...]
    items: tuple[Item, ...]


class Recommender:
    """Recommends from what the graph of a run shows: training and validation edges.

    So the list of a known user is the ranking that the test measured.

    Args:
        model: Trained.
        stage: The last one that it was trained by.
        history: What may be seen.
        relation: Leads from users to items.
        seen: Whether what a user has met is left out or kept.
        rerank: Items of each user that a model of subgraphs puts in order.
        scoring: How such a model scores the catalogue; the way it was taught by default.
    """

    def __init__(
        self,
        model: Model,
        stage: Stage,
        history: Graph,
        relation: str,
        seen: SeenPolicy = "mask",
        rerank: int = RERANK,
        scoring: Scoring | None = None,
    ) -> None:
        self.model, self.stage, self.history = model, stage, history
        self.relation, self.seen, self.rerank = relation, seen, rerank
        self.scoring = scoring
        found = history.schema.relation(relation)
        self.user_type, self.item_type = found.source, found.target
        self.items = history.nodes(found.target)

    @cached_property
    def explainer(self) -> Explainer:
        """What finds paths; made when it is first asked."""
        return Explainer(self.history, self.relation)

    def recommend(
        self, users: Sequence[User], k: int = 10, *, explain: bool | int = False
    ) -> list[Recommended]:
        """Return the best items of each user; equal scores go to the lower node id.

        Args:
            users: Raw ids of known users, or histories of new ones, in any mixture.
            k: Items per user; fewer where the catalogue has no more that are not left out.
            explain: Paths per item at most; True for three. A path language model tells the one
                that it decoded, and none for an item that it decoded no path to.

        Raises:
            GraphRecError: For users and items that the graph does not know, `k` beyond the
                catalogue, and new users of a model that knows its users only.
        """
        if isinstance(users, str):
            raise GraphRecError("recommend", "a list of users", repr(users), f"[{users!r}]")
        if not 1 <= k <= len(self.items):
            raise GraphRecError("recommend", f"1 <= k <= {len(self.items)}, the catalogue", k)
        known = [user for user in users if isinstance(user, str)]
        new = [list(user) for user in users if not isinstance(user, str)]
        found = iter(self._known(known, k, int(explain) if explain is not True else 3))
        fresh = iter(self._new(new, k, int(explain) if explain is not True else 3))
        return [next(found if isinstance(user, str) else fresh) for user in users]

    def _known(self, users: Sequence[str], k: int, explain: int) -> list[Recommended]:
        nodes = torch.tensor([self.history.node_id(self.user_type, user) for user in users])
        if not len(nodes):
            return []
        asked, row = torch.unique(nodes, return_inverse=True)
        scorer = self._scorer(asked)
        scores = scorer.scores(asked)[row]  # [B, V]
        ptr, met = seen_pairs(self.history, self.relation, nodes)
        histories = [self.history.neighbors(int(node), self.relation) for node in nodes]
        ways = scorer if isinstance(scorer, PathScorer) else None
        return [
            self._told(
                user,
                histories[n],
                scores[n],
                met[ptr[n] : ptr[n + 1]],
                int(nodes[n]),
                k,
                explain,
                ways,
            )
            for n, user in enumerate(users)
        ]

    def _new(self, histories: Sequence[Sequence[str]], k: int, explain: int) -> list[Recommended]:
        if not histories:
            return []
        met = [self._item_nodes(history) for history in histories]

        def sample(rows: Tensor, window: int | None) -> Subgraphs:
            return events_of(self.history, self.relation, [met[int(n)] for n in rows], window)

        numbers = torch.arange(len(met))
        scores = self._scorer(numbers, sample).scores(numbers)
        return [
            self._told(None, nodes, scores[n], nodes - self.items.start, None, k, explain)
            for n, nodes in enumerate(met)
        ]

    def _scorer(self, nodes: Tensor, sample: Sample | None = None) -> Scorer:
        given = self.model, self.stage, self.history, self.relation, nodes
        return scorer_of(*given, sample=sample, rerank=self.rerank, scoring=self.scoring)

    def _item_nodes(self, raw_ids: Sequence[str]) -> Tensor:
        ids = [self.history.node_id(self.item_type, raw) for raw in raw_ids]
        return torch.tensor(ids, dtype=torch.int64)

    def _told(
        self,
        user: str | None,
        history: Tensor,
        scores: Tensor,
        met: Tensor,
        node: int | None,
        k: int,
        explain: int,
        ways: PathScorer | None = None,
    ) -> Recommended:
        scores = scores.cpu().float()
        if bool(scores.isnan().any()):
            raise GraphRecError(
                "recommend", "scores without NaN", f"NaN for {user or 'a new user'}"
            )
        if self.seen == "mask":
            scores = scores.index_fill(0, met, -torch.inf)
        value, place = torch.sort(scores, descending=True, stable=True)
        best = (place[:k] + self.items.start)[value[:k] > -torch.inf].tolist()
        paths: list[list[Path]] = [[] for _ in best]
        if explain and ways is not None and node is not None and best:
            paths = decoded(ways, node, best)
        elif explain:
            paths = self.explainer.paths(history.tolist(), best, node, explain)
        raw, title = self.history.raw_id, self.history.title
        items = tuple(
            Item(raw(item), title(item), float(score), tuple(why))
            for item, score, why in zip(best, value.tolist(), paths, strict=False)
        )
        return Recommended(user, tuple(raw(item) for item in history.tolist()), items)


def events_of(
    graph: Graph, relation: str, histories: Sequence[Tensor], window: int | None = None
) -> Subgraphs:
    """Return histories that no graph holds, as the history sampler would return them.

    Args:
        graph: Knows the items.
        relation: By which they were met.
        histories: int64 ``[n]`` global ids each, oldest first.
        window: Events at most, the latest ones.

    Returns:
        Sequences of a root that stands for nobody (the first source) and its events, untimed.
    """
    found = graph.schema.relation(relation)
    kept = [each if window is None else each[max(len(each) - window, 0) :] for each in histories]
    nobody = torch.tensor([graph.nodes(found.source).start])
    node = torch.cat([part for each in kept for part in (nobody, each)])
    size = torch.tensor([len(each) + 1 for each in kept])
    ptr = torch.cat([size.new_zeros(1), size.cumsum(0)])
    event = torch.ones_like(node)
    event[ptr[:-1]] = 0
    index = graph.schema.relation_index(relation)
    return Subgraphs(
        node=node,
        ptr=ptr,
        parent=event - 1,
        relation=torch.where(event > 0, index, -1),
        hop=event,
        slot=event,
        score=torch.zeros(len(node)),
        position=torch.full_like(node, -1),
    )


def from_pretrained(run: str | FilePath | Run, *, trust_code: bool = False) -> Recommender:
    """Return what recommends with the model of a finished run.

    Args:
        run: The run, or its folder.
        trust_code: Let recipe and model name code outside the library, which is then run.

    Raises:
        GraphRecError: When there is no finished run.
    """
    opened = run if isinstance(run, Run) else open_run(run, trust_code=trust_code)
    with trusting(trust_code):
        model = opened.model()
    return Recommender(
        model,
        opened.recipe.stages[-1],
        opened.history,
        opened.relation,
        opened.recipe.evaluate.seen,
        opened.recipe.evaluate.rerank,
        opened.recipe.evaluate.scoring,
    )
