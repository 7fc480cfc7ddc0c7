"""Three users: their history, their recommendations, and paths between the two as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from graphrec_pt.data.draw import draw_subgraph
from graphrec_pt.data.picture import Picture
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.folder import Run
from graphrec_pt.serve.explain import ExplanationPath
from graphrec_pt.serve.recommender import Recommended, Recommender, from_pretrained

PLACES = (0.1, 0.5, 0.9)
"""Users to show: places of their best target's rank in the order of all users."""
LATEST, TOP, DRAWN = 8, 10, 6
"""Events of a history, recommendations, and paths of a picture."""


@dataclass(frozen=True)
class Target:
    """A held-out item of a user, its rank, and the number of ranked items."""

    id: str
    title: str
    rank: float
    candidates: int


@dataclass(frozen=True)
class Offer:
    """A recommended item; `held` if it is a held-out one; `path` and `sentence` tell how to it."""

    id: str
    title: str
    score: float
    held: bool
    path: str
    sentence: str


@dataclass(frozen=True)
class UserExample:
    """One user.

    Args:
        id: Raw id.
        title: Shown name of the user.
        place: How well the model does for the user, in words.
        events: How many the history holds.
        latest: Titles of the last of them, the newest first.
        targets: Held-out items, best rank first.
        offers: Recommendations, best first.
        picture: The first path to each of the best; None where no path is known.
    """

    id: str
    title: str
    place: str
    events: int
    latest: tuple[str, ...]
    targets: tuple[Target, ...]
    offers: tuple[Offer, ...]
    picture: Picture | None


def user_examples(run: Run) -> list[UserExample]:
    """Return three users at fixed places of the ranking of all users, so none is hand-picked.

    Args:
        run: With ranks, history and model.
    """
    recommender = from_pretrained(run, measured=True)
    chosen = chosen_users(run)
    k = min(TOP, len(recommender.items))
    given = recommender.recommend([user for user, _ in chosen], k, explain=1)
    return [
        _example(run, recommender, each, place)
        for each, (_, place) in zip(given, chosen, strict=True)
    ]


def chosen_users(run: Run) -> list[tuple[str, str]]:
    """Return (raw id, how good its best rank is) of the users to show, the best first."""
    table = run.ranks["test"].table
    users = table.group_by("user").agg(pl.col("rank").min()).sort("rank", "user")["user"]
    rows = [round(place * (len(users) - 1)) for place in PLACES]
    words = [
        f"held-out items rank at least as high as those of {1 - place:.0%} of users"
        for place in PLACES
    ]
    return list({users[row]: word for row, word in zip(rows, words, strict=True)}.items())


def _example(run: Run, recommender: Recommender, given: Recommended, place: str) -> UserExample:
    graph, kind = recommender.history, recommender.item_type
    rows = run.ranks["test"].table.filter(pl.col("user") == given.user).sort("rank", "item")
    targets = tuple(
        Target(item, _title(graph, kind, item), rank, candidates)
        for item, rank, candidates in rows.select("item", "rank", "candidates").iter_rows()
    )
    held = {target.id for target in targets}
    offers = tuple(
        Offer(
            item.id,
            item.title,
            item.score,
            item.id in held,
            item.paths[0].in_words(graph) if item.paths else "",
            recommender.sentence(item.paths[0]) if item.paths else "",
        )
        for item in given.items
    )
    latest = tuple(_title(graph, kind, item) for item in given.history[: -LATEST - 1 : -1])
    why = [item.paths[0] for item in given.items if item.paths][:DRAWN]
    return UserExample(
        str(given.user),
        _title(graph, recommender.user_type, str(given.user)),
        place,
        len(given.history),
        latest,
        targets,
        offers,
        picture(graph, why) if why else None,
    )


def picture(graph: Graph, paths: Sequence[ExplanationPath]) -> Picture:
    """Return paths as one picture; a node that several paths share stands in it once.

    Args:
        graph: The graph that holds them.
        paths: One or more that start at the same node.
    """
    links = [
        link
        for path in paths
        for link in zip(path.nodes, path.nodes[1:], path.relations, strict=False)
    ]
    nodes = [node for path in paths for node in path.nodes]
    return draw_subgraph(
        graph, nodes, links, about="; ".join(path.in_words(graph) for path in paths)
    )


def _title(graph: Graph, kind: str, raw_id: str) -> str:
    return graph.title(graph.node_id(kind, raw_id))
