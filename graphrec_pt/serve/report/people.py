"""Three users: what they met, what they are recommended, and why, as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

import polars as pl

from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.folder import Run
from graphrec_pt.serve.explain import ExplanationPath
from graphrec_pt.serve.recommender import Recommended, Recommender, from_pretrained

PLACES = (0.1, 0.5, 0.9)
"""Which users are shown: by the place of their best target among those of all users."""
LATEST, TOP, DRAWN = 8, 10, 6
WIDTH, ROW, PILL, GAP = 760.0, 46.0, 36.0, 34.0
LABEL = 6.6
"""Width of a common letter of a label."""


@dataclass(frozen=True)
class Pill:
    """A node of a picture.

    Args:
        x: Left end.
        y: Middle.
        width: Of the pill.
        label: Short enough for it.
        title: The whole one.
        by: The relation that leads to it, empty for the first.
        colour: Number of the colour of its type.
    """

    x: float
    y: float
    width: float
    label: str
    title: str
    by: str
    colour: int


@dataclass(frozen=True)
class Picture:
    """Paths as columns of pills from left to right.

    Args:
        height: Of the picture.
        pills: All nodes.
        links: SVG paths of the edges.
        types: (name, colour) of the node types there are.
        about: The same in words.
    """

    height: float
    pills: tuple[Pill, ...]
    links: tuple[str, ...]
    types: tuple[tuple[str, int], ...]
    about: str


@dataclass(frozen=True)
class Target:
    """A held-out item of a user, where the model put it, and among how many."""

    id: str
    title: str
    rank: float
    candidates: int


@dataclass(frozen=True)
class Offer:
    """A recommended item; `held` when it is one of the held-out ones, `why` is a path in words."""

    id: str
    title: str
    score: float
    held: bool
    why: str


@dataclass(frozen=True)
class Person:
    """One user.

    Args:
        id: Raw id.
        title: What a person calls the user.
        place: How well the model does for the user, in words.
        met: How many items the history holds.
        latest: Titles of the last of them, the newest first.
        targets: Held-out items, best rank first.
        offers: Recommendations, best first.
        picture: Why; None where no path is known.
    """

    id: str
    title: str
    place: str
    met: int
    latest: tuple[str, ...]
    targets: tuple[Target, ...]
    offers: tuple[Offer, ...]
    picture: Picture | None


def people(run: Run) -> list[Person]:
    """Return three users at fixed places of the ranking of all users, so none is hand-picked.

    Args:
        run: With ranks, history and model.
    """
    recommender = from_pretrained(run)
    chosen = chosen_users(run)
    k = min(TOP, len(recommender.items))
    given = recommender.recommend([user for user, _ in chosen], k, explain=1)
    return [
        _person(run, recommender, each, place)
        for each, (_, place) in zip(given, chosen, strict=True)
    ]


def chosen_users(run: Run) -> list[tuple[str, str]]:
    """Return (raw id, place in words) of the users to show, those that are served best first."""
    table = run.ranks["test"].table
    users = table.group_by("user").agg(pl.col("rank").min()).sort("rank", "user")["user"]
    rows = [round(place * (len(users) - 1)) for place in PLACES]
    words = [f"served at least as well as {1 - place:.0%} of users" for place in PLACES]
    return list({users[row]: word for row, word in zip(rows, words, strict=True)}.items())


def _person(run: Run, recommender: Recommender, given: Recommended, place: str) -> Person:
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
            item.paths[0].told(graph) if item.paths else "",
        )
        for item in given.items
    )
    latest = tuple(_title(graph, kind, item) for item in given.history[: -LATEST - 1 : -1])
    why = [item.paths[0] for item in given.items if item.paths]
    why = [path for path in why if len(path.nodes) == len(why[0].nodes)][:DRAWN]
    return Person(
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
    """Return paths of equal length laid out; a node that several share stands once per column.

    Args:
        graph: They are of.
        paths: At least one.
    """
    columns = len(paths[0].nodes)
    wide = (WIDTH - (columns - 1) * GAP - 4) / columns
    stops = [_stops(path) for path in paths]
    order = [list(dict.fromkeys(row[column] for row in stops)) for column in range(columns)]
    height = ROW * max(len(column) for column in order) + 8
    where: dict[tuple[int, int, str], Pill] = {}
    for column, members in enumerate(order):
        top = (height - ROW * len(members)) / 2
        for row, (node, by) in enumerate(members):
            where[column, node, by] = Pill(
                round(2 + column * (wide + GAP), 1),
                round(top + ROW * (row + 0.5), 1),
                round(wide, 1),
                fitted(graph.title(node), wide - 20),
                graph.title(node),
                by,
                graph.schema.node_index(graph.type_of(node)),
            )
    links = dict.fromkeys(
        _link(where[column, *row[column]], where[column + 1, *row[column + 1]])
        for row in stops
        for column in range(columns - 1)
    )
    kinds = dict.fromkeys(graph.type_of(node) for path in paths for node in path.nodes)
    types = tuple((kind, graph.schema.node_index(kind)) for kind in kinds)
    about = "; ".join(path.told(graph) for path in paths)
    return Picture(height, tuple(where.values()), tuple(links), types, about)


def fitted(text: str, width: float) -> str:
    """Return as much of a label as fits; Chinese and Japanese letters are twice as wide."""
    text, room = " ".join(text.split()), width / LABEL
    for place, letter in enumerate(text):
        room -= 2 if east_asian_width(letter) in "WF" else 1
        if room < 0:
            return text[: max(place - 1, 1)].rstrip() + "…"
    return text


def _stops(path: ExplanationPath) -> list[tuple[int, str]]:
    return list(zip(path.nodes, ("", *path.relations), strict=True))


def _link(one: Pill, two: Pill) -> str:
    left, right = one.x + one.width, two.x
    middle = (left + right) / 2
    return f"M{left:g} {one.y:g}C{middle:g} {one.y:g} {middle:g} {two.y:g} {right:g} {two.y:g}"


def _title(graph: Graph, kind: str, raw_id: str) -> str:
    return graph.title(graph.node_id(kind, raw_id))
