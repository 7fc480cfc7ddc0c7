"""Recommendations from the folder of a finished run; the raw data set is not needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import trusting
from graphrec_pt.evaluation.tasks.text import TextTask
from graphrec_pt.predict.path_words import PathWords
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.recipe.folder import Run, open_run, predictor_of
from graphrec_pt.serve.explain import Explainer, ExplanationPath, decoded

User = str | Sequence[str]
"""The raw id of a known user, or the history of a new one: raw ids of items, oldest first."""


@dataclass(frozen=True)
class Item:
    """A recommended item.

    Args:
        id: Raw id.
        title: The item's title column, else its raw id.
        score: Higher is better; comparable within one user only.
        paths: Explanation paths, best first; empty unless requested, or if none exists.
    """

    id: str
    title: str
    score: float
    paths: tuple[ExplanationPath, ...] = ()


@dataclass(frozen=True)
class Recommended:
    """The recommendations for one user.

    Args:
        user: Raw id; None for a new user.
        history: Raw ids of items that the user has interacted with, oldest first.
        items: Recommended items, best first.
        by: Ranked by the ``"model"``, or by the ``"popularity"`` of the items for a user without
            any history.
    """

    user: str | None
    history: tuple[str, ...]
    items: tuple[Item, ...]
    by: Literal["model", "popularity"] = "model"


class Recommender:
    """Recommends from the history graph of a run: training and validation edges.

    The list of a known user is therefore the ranking that the test measured. A user without any
    history gets the most popular items, and the result says so.

    Args:
        predictor: The predictor of the trained model.
        seen: Whether items that a user has interacted with are left out or kept.
        phrases: Relation → words that state it in sentences; made of its name by default.

    Example:
        >>> recommender = from_pretrained("runs/sasrec")
        >>> recommender.recommend(["u1", ["i3", "i7"]], k=5)[0].items[0].title
    """

    def __init__(
        self,
        predictor: Predictor,
        seen: SeenPolicy = "mask",
        phrases: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.predictor, self.seen = predictor, seen
        self.words = PathWords(predictor.graph, phrases or {})
        relation = predictor.reading.relation
        self.history, self.relation = predictor.graph, relation.name
        self.user_type, self.item_type = relation.source, relation.target
        self.items = predictor.reading.items

    @cached_property
    def explainer(self) -> Explainer:
        """Finds explanation paths; made on first use."""
        return Explainer(self.history, self.relation)

    def recommend(
        self,
        users: Sequence[User],
        k: int = 10,
        *,
        explain: bool | int = False,
        unknown: Literal["refuse", "popularity"] = "refuse",
    ) -> list[Recommended]:
        """Return the best items of each user; equal scores go to the lower node id.

        Args:
            users: Raw ids of known users, or histories of new ones, in any mixture.
            k: Items per user; fewer when the catalogue has too few items that are not masked.
            explain: Paths per item at most; True for three. A path language model returns at most
                one path per item, the decoded one.
            unknown: What to do about a raw id that the graph does not have.

        Raises:
            GraphRecError: For users and items outside the graph, `k` beyond the catalogue, and new
                users of a model that can only rank for its training users.
        """
        if isinstance(users, str):
            raise GraphRecError("recommend", "a list of users", repr(users), f"[{users!r}]")
        if not 1 <= k <= len(self.items):
            raise GraphRecError("recommend", f"1 <= k <= {len(self.items)}, the catalogue", k)
        top = 3 if explain is True else int(explain)
        nodes = self._nodes(users, unknown)
        histories = [self._item_nodes(user) for user in users if not isinstance(user, str)]
        known = iter(
            self._known([node for node in nodes if node is not None and node >= 0], k, top)
        )
        new = iter(self._new([history for history in histories if len(history)], k, top))
        made = []
        for user, node in zip(users, nodes, strict=True):
            if node is not None and node >= 0:
                made.append(next(known))
            elif isinstance(user, str) or not len(user):
                made.append(self._popular(user if isinstance(user, str) else None, k))
            else:
                made.append(next(new))
        return made

    def sentence(self, path: ExplanationPath) -> str:
        """Return an explanation path as a sentence to the user, which states its edges alone."""
        known = self.history.type_of(path.nodes[0]) == self.user_type
        after = None if known else self.relation
        return self.words.sentence(path.nodes, path.relations, after).text

    def _nodes(self, users: Sequence[User], unknown: str) -> list[int | None]:
        """Return the node of each known user, −1 where there is none, None for histories."""
        named = [user for user in users if isinstance(user, str)]
        known = self.history.node_ids(self.user_type, named).tolist()
        for user, node in zip(named, known, strict=True):
            if node < 0 and unknown == "refuse":
                self.history.node_id(self.user_type, user)  # raises
        following = iter(known)
        return [next(following) if isinstance(user, str) else None for user in users]

    def _known(self, nodes: Sequence[int], k: int, explain: int) -> list[Recommended]:
        if not nodes:
            return []
        users = torch.tensor(nodes)
        best, reading = self.predictor.rank(users, k, seen=self.seen), self.predictor.reading
        made = []
        for row, node in enumerate(nodes):
            items = best.items[row][best.items[row] >= 0]
            history = self.history.neighbors(node, self.relation)
            paths: list[list[ExplanationPath]] = [[] for _ in items]
            if explain and reading.taught.decodes and len(items):
                paths = decoded(self.predictor, node, items.tolist())
            elif explain:
                paths = self.explainer.paths(history.tolist(), items.tolist(), node, explain)
            made.append(
                self._made(self.history.raw_id(node), history, items, best.score[row], paths)
            )
        return made

    def _new(self, histories: Sequence[Tensor], k: int, explain: int) -> list[Recommended]:
        if not histories:
            return []
        best, made = self.predictor.rank(histories, k, seen=self.seen), []
        for row, history in enumerate(histories):
            items = best.items[row][best.items[row] >= 0]
            paths: list[list[ExplanationPath]] = [[] for _ in items]
            if explain:
                paths = self.explainer.paths(history.tolist(), items.tolist(), None, explain)
            made.append(self._made(None, history, items, best.score[row], paths))
        return made

    def _popular(self, user: str | None, k: int) -> Recommended:
        """Return the most popular items, for a user without any history."""
        items, score = self._most_popular
        none = torch.empty(0, dtype=torch.int64)
        paths: list[list[ExplanationPath]] = [[] for _ in range(k)]
        return self._made(user, none, items[:k], score[:k], paths, by="popularity")

    @cached_property
    def _most_popular(self) -> tuple[Tensor, Tensor]:
        """Items by descending number of interactions, and these numbers."""
        edges = self.history.edges(self.relation)
        count = torch.bincount(edges.target - self.items.start, minlength=len(self.items))
        score, place = torch.sort(count.float(), descending=True, stable=True)
        return place + self.items.start, score

    def _item_nodes(self, raw_ids: Sequence[str]) -> Tensor:
        ids = [self.history.node_id(self.item_type, raw) for raw in raw_ids]
        return torch.tensor(ids, dtype=torch.int64)

    def _made(
        self,
        user: str | None,
        history: Tensor,
        items: Tensor,
        scores: Tensor,
        paths: Sequence[Sequence[ExplanationPath]],
        by: Literal["model", "popularity"] = "model",
    ) -> Recommended:
        raw, title = self.history.raw_id, self.history.title
        listed = tuple(
            Item(raw(item), title(item), float(score), tuple(why))
            for item, score, why in zip(items.tolist(), scores.tolist(), paths, strict=False)
        )
        return Recommended(user, tuple(raw(item) for item in history.tolist()), listed, by)


def from_pretrained(run: str | Path | Run, *, trust_code: bool = False) -> Recommender:
    """Return a recommender with the model of a finished run.

    Args:
        run: The run, or its folder.
        trust_code: Allow recipe and model to name code outside the library, which is then run.

    Raises:
        GraphRecError: When there is no finished run.
    """
    opened = run if isinstance(run, Run) else open_run(run, trust_code=trust_code)
    with trusting(trust_code):
        wanted = opened.recipe.evaluate
        phrases = wanted.asked.phrases if isinstance(wanted.asked, TextTask) else None
        return Recommender(predictor_of(opened), wanted.seen, phrases)
