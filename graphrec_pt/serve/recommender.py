"""Recommendations from the folder of a finished run; the raw data set is not needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import counted
from graphrec_pt.core.registry import trusting
from graphrec_pt.evaluation.tasks.text import TextTask
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.predict.best import best_lists, joined
from graphrec_pt.predict.lists import Lists
from graphrec_pt.predict.path_words import PathWords
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.seen import SeenPolicy, seen_pairs
from graphrec_pt.recipe.folder import Run, open_run
from graphrec_pt.recipe.refit import serving_of
from graphrec_pt.serve.explain import Explainer, ExplanationPath, decoded
from graphrec_pt.serve.filters import allowed
from graphrec_pt.serve.newcomers import on_newer_graph, reads_attributes

User = str | Sequence[str]
"""The raw id of a known user, or the history of a new one: raw ids of items, oldest first."""
Unknown = Literal["refuse", "popularity"]
"""What to do about a raw id that the graph does not have."""
BLOCK = 512
"""Users whose lists are made at once."""


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
    """Recommends with the model of a run; :attr:`edges` says which edges it reads.

    After a refit these are all edges. Before, they are training and validation edges, and the list
    of a known user is the ranking that the test measured. A user without any history whom the model
    cannot know gets the most popular items, and the result says so.

    Args:
        predictor: The predictor of the trained model.
        seen: Whether items that a user has interacted with are left out or kept.
        edges: Which edges the model was trained on and reads.
        rankable: bool ``[V]``, items that the model can rank; all by default.
        phrases: Relation → words that state it in sentences; made of its name by default.

    Example:
        >>> recommender = from_pretrained("runs/sasrec")
        >>> recommender.recommend(["u1", ["i3", "i7"]], k=5)[0].items[0].title
    """

    def __init__(
        self,
        predictor: Predictor,
        seen: SeenPolicy = "mask",
        *,
        edges: str = "",
        rankable: Tensor | None = None,
        phrases: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.predictor, self.seen, self.rankable = predictor, seen, rankable
        self.words = PathWords(predictor.graph, phrases or {})
        relation = predictor.reading.relation
        self.history, self.relation = predictor.graph, relation.name
        self.user_type, self.item_type = relation.source, relation.target
        self.items = predictor.reading.items
        count = self.history.num_edges(self.relation)
        self.edges = edges or f"{counted(count, 'edge')} of {self.relation}"

    @cached_property
    def explainer(self) -> Explainer:
        """Finds explanation paths; made on first use."""
        return Explainer(self.history, self.relation)

    def on(self, graph: Graph, *, trust_code: bool = False) -> "Recommender":
        """Return a recommender of the same model on a newer graph.

        New users are known by their events and, where the model reads them, their attributes; new
        items by their content. New items without content are never recommended.

        Args:
            graph: With the same types and relations, such as one that
                :func:`~graphrec_pt.data.append.append` made.
            trust_code: Allow the saved stage to name code outside the library, which is then run.
        """
        newer = on_newer_graph(self.predictor, graph, trust_code=trust_code)
        count = graph.num_edges(self.relation)
        edges = f"{counted(count, 'edge')} of {self.relation} in the given graph"
        if newer.new:
            some = (f"{number:,} of {kind}" for kind, number in newer.new.items())
            edges += f"; nodes that the model was not trained on: {', '.join(some)}"
        phrases = self.words.phrases
        return Recommender(
            newer.predictor, self.seen, edges=edges, rankable=newer.rankable, phrases=phrases
        )

    def sentence(self, path: ExplanationPath) -> str:
        """Return an explanation path as a sentence to the user, which states its edges alone."""
        known = self.history.type_of(path.nodes[0]) == self.user_type
        after = None if known else self.relation
        return self.words.sentence(path.nodes, path.relations, after).text

    def recommend(
        self,
        users: Sequence[User],
        k: int = 10,
        *,
        explain: bool | int = False,
        unknown: Unknown = "refuse",
        only: Sequence[str] = (),
        exclude: Sequence[str] = (),
        excluded: Mapping[str, Sequence[str]] | None = None,
    ) -> list[Recommended]:
        """Return the best items of each user; equal scores go to the lower node id.

        Args:
            users: Raw ids of known users, or histories of new ones, in any mixture.
            k: Items per user; fewer when the catalogue has too few items that are not masked.
            explain: Paths per item at most; True for three. A path language model returns at most
                one path per item, the decoded one.
            unknown: What to do about a raw id that the graph does not have.
            only: Filters such as ``genre=Comedy``, see :func:`~graphrec_pt.serve.filters.allowed`.
            exclude: Raw ids of items that nobody gets.
            excluded: Known user → raw ids of items that the user does not get.

        Raises:
            GraphRecError: For users and items outside the graph, `k` beyond the catalogue, and new
                users of a model that can only rank for its training users.
        """
        if isinstance(users, str):
            raise GraphRecError("recommend", "a list of users", repr(users), f"[{users!r}]")
        if not 1 <= k <= len(self.items):
            raise GraphRecError("recommend", f"1 <= k <= {len(self.items)}, the catalogue", k)
        top = 3 if explain is True else int(explain)
        among = self.among(only, exclude)
        nodes = self.user_nodes(users, unknown)
        histories = [self._item_nodes(user) for user in users if not isinstance(user, str)]
        known = [node for node in nodes if node is not None and self.knows(node)]
        lists = iter(self._known(known, k, top, among, excluded or {}))
        some = [history for history in histories if len(history)]
        new = iter(self._new(some, k, top, among))
        made = []
        for user, node in zip(users, nodes, strict=True):
            if node is not None and self.knows(node):
                made.append(next(lists))
            elif isinstance(user, str) or not len(user):
                name = user if isinstance(user, str) else None
                refused = (excluded or {}).get(name or "", ())
                made.append(self._popular(name, k, among, refused))
            else:
                made.append(next(new))
        return made

    def among(self, only: Sequence[str] = (), exclude: Sequence[str] = ()) -> Tensor | None:
        """Return which items may be recommended: bool ``[V]``, None for all."""
        if not only and not exclude:
            return self.rankable
        mask = allowed(self.history, self.item_type, only, exclude)
        return mask if self.rankable is None else mask & self.rankable

    def user_nodes(self, users: Sequence[User], unknown: Unknown = "refuse") -> list[int | None]:
        """Return the node of each known user, −1 where there is none, None for histories."""
        named = [user for user in users if isinstance(user, str)]
        known = self.history.node_ids(self.user_type, named).tolist()
        for user, node in zip(named, known, strict=True):
            if node < 0 and unknown == "refuse":
                self.history.node_id(self.user_type, user)  # raises
        following = iter(known)
        return [next(following) if isinstance(user, str) else None for user in users]

    def knows(self, node: int) -> bool:
        """Return whether the model has anything to go by: events of the user, or attributes."""
        if node < 0:
            return False
        active = bool(self._degree[node - self.history.nodes(self.user_type).start])
        return active or reads_attributes(self.predictor)

    @cached_property
    def _degree(self) -> Tensor:
        return self.history.degree(self.relation)

    def lists(
        self,
        nodes: Tensor,
        k: int,
        *,
        among: Tensor | None = None,
        excluded: tuple[Tensor, Tensor] | None = None,
    ) -> Lists:
        """Return the best items of known users as arrays, in blocks of users.

        Args:
            nodes: int64 ``[Q]`` global ids, ascending.
            k: Items per user; places without an item hold −1.
            among: bool ``[V]``, items that may be recommended.
            excluded: Pointers ``[Q + 1]`` and items, counted from the first, that a user does not
                get; ascending for each user.
        """
        left_out = None
        if self.seen == "mask":
            left_out = seen_pairs(self.history, self.relation, nodes)
        if excluded is not None:
            left_out = excluded if left_out is None else joined(left_out, excluded)
        scorer, graph = self.predictor.scorer(nodes), self.history
        return best_lists(scorer, graph, self.relation, nodes, k, left_out=left_out, among=among)

    def _known(
        self,
        nodes: Sequence[int],
        k: int,
        explain: int,
        among: Tensor | None,
        excluded: Mapping[str, Sequence[str]],
    ) -> list[Recommended]:
        made, reading = [], self.predictor.reading
        names, row = torch.unique(torch.tensor(nodes, dtype=torch.int64), return_inverse=True)
        blocks = [
            self.lists(block, k, among=among, excluded=self.excluded_pairs(block, excluded))
            for block in torch.split(names, BLOCK)
            if len(block)
        ]
        for node, at in zip(nodes, row.tolist(), strict=True):
            best, place = blocks[at // BLOCK], at % BLOCK
            items = best.items[place][best.items[place] >= 0]
            history = self.history.neighbors(node, self.relation)
            paths: list[list[ExplanationPath]] = [[] for _ in items]
            if explain and reading.taught.decodes and len(items):
                paths = decoded(self.predictor, node, items.tolist())
            elif explain:
                paths = self.explainer.paths(history.tolist(), items.tolist(), node, explain)
            made.append(
                self._made(self.history.raw_id(node), history, items, best.score[place], paths)
            )
        return made

    def excluded_pairs(
        self, block: Tensor, excluded: Mapping[str, Sequence[str]]
    ) -> tuple[Tensor, Tensor] | None:
        """Return the excluded items of a block of users as pairs."""
        if not excluded:
            return None
        parts = [excluded.get(self.history.raw_id(node), ()) for node in block.tolist()]
        columns = [
            torch.unique(ids[ids >= 0] - self.items.start)
            for ids in (self.history.node_ids(self.item_type, part) for part in parts)
        ]
        count = torch.tensor([0, *map(len, columns)])
        return count.cumsum(0), torch.cat(columns)

    def _new(
        self, histories: Sequence[Tensor], k: int, explain: int, among: Tensor | None
    ) -> list[Recommended]:
        if not histories:
            return []
        allowed_items = None
        if among is not None:
            allowed_items = among.nonzero().squeeze(1) + self.items.start
        best = self.predictor.rank(histories, k, seen=self.seen, among=allowed_items)
        made = []
        for row, history in enumerate(histories):
            items = best.items[row][best.items[row] >= 0]
            paths: list[list[ExplanationPath]] = [[] for _ in items]
            if explain:
                paths = self.explainer.paths(history.tolist(), items.tolist(), None, explain)
            made.append(self._made(None, history, items, best.score[row], paths))
        return made

    def _popular(
        self, user: str | None, k: int, among: Tensor | None, refused: Sequence[str] = ()
    ) -> Recommended:
        """Return the most popular items, for a user without any history."""
        items, score = self.most_popular
        keep = torch.ones(len(items), dtype=torch.bool) if among is None else among.clone()
        if len(refused):
            ids = self.history.node_ids(self.item_type, list(refused))
            keep[ids[ids >= 0] - self.items.start] = False
        kept = keep[items - self.items.start]
        items, score = items[kept][:k], score[kept][:k]
        none = torch.empty(0, dtype=torch.int64)
        paths: list[list[ExplanationPath]] = [[] for _ in items]
        return self._made(user, none, items, score, paths, by="popularity")

    @cached_property
    def most_popular(self) -> tuple[Tensor, Tensor]:
        """Items by descending number of interactions, and these numbers."""
        edges = self.history.edges(self.relation)
        count = torch.bincount(edges.target - self.items.start, minlength=len(self.items))
        score, place = torch.sort(count.float(), descending=True, stable=True)
        return place + self.items.start, score

    def _item_nodes(self, raw_ids: Sequence[str]) -> Tensor:
        nodes = self.history.node_ids(self.item_type, raw_ids)
        for row in (nodes < 0).nonzero().flatten().tolist():
            self.history.node_id(self.item_type, raw_ids[row])  # raises
        return nodes

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
        ids = self.history.tables[self.item_type][RAW_ID]
        past = ids.gather((history - self.items.start).cpu().numpy())
        return Recommended(user, tuple(map(str, past)), listed, by)


def from_pretrained(
    run: str | Path | Run, *, measured: bool = False, trust_code: bool = False
) -> Recommender:
    """Return a recommender with the model of a finished run, refitted on all edges if it was.

    Args:
        run: The run, or its folder.
        measured: Take the model and the edges that the test measured, even after a refit.
        trust_code: Allow recipe and model to name code outside the library, which is then run.

    Raises:
        GraphRecError: When there is no finished run.
    """
    opened = run if isinstance(run, Run) else open_run(run, trust_code=trust_code)
    with trusting(trust_code):
        served = serving_of(opened, measured=measured)
        wanted = opened.recipe.evaluate
        phrases = wanted.asked.phrases if isinstance(wanted.asked, TextTask) else None
        return Recommender(served.predictor, wanted.seen, edges=served.edges, phrases=phrases)
