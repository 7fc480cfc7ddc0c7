"""Synthetic data sets with known clusters: typed, timed, with texts, of any size, from a key.

Users and items belong to clusters. A user mostly takes items of its cluster, popular items more
often (a power law), and often takes the fixed successor of its last item in a cycle through the
cluster. Attributes, title words, ratings and ages depend on the cluster. So popularity,
collaborative, content, knowledge-graph and sequential models all have a signal to learn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.graph.graph import Graph

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def uniform(n: int, key: Key) -> Floats:
    """Return numbers in [0, 1), 53 random bits each: float64 ``[n]``.

    They come from numpy's Philox 4×64 in C, which is much faster than
    :func:`graphrec_pt.core.key.draw32` and gives a different stream.
    """
    words = np.array([key.seed, key.stream << 32 | key.epoch], np.uint64)
    bits = np.random.Philox(key=words).random_raw(n) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def below(bound: int, n: int, key: Key) -> Ints:
    """Return integers in [0, bound): int64 ``[n]``."""
    return (uniform(n, key) * bound).astype(np.int64)


def shuffled(values: Ints, key: Key) -> Ints:
    """Return the values in random order."""
    return values[np.argsort(uniform(len(values), key), kind="stable")]


AT_HOME = 0.85
"""Share of drawn items and attribute values that come from the user's or item's cluster."""
FOLLOWS = 0.4
"""Share of interactions that go to the successor of the item before."""
POPULARITY = 0.8
"""Exponent of the popularity of a cluster's items by rank."""
FEWEST = 3
"""Interactions that every user has at least (before repeats are left out)."""
VALUES, WORDS = 6, 40
"""Number of attribute values, and of title words, of each cluster."""
START, DAY = 1_600_000_000, 86_400

ATTRIBUTES = ("category", "brand", "style", "material")
_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


@dataclass(frozen=True)
class _Items:
    """Items by cluster, in two orders: by popularity, and in a cycle."""

    cluster: Ints  # [n]
    start: Ints  # [clusters], where a cluster begins in the orders
    size: Ints  # [clusters]
    popular: Ints  # [n], items by (cluster, falling popularity)
    cycle: Ints  # [n], items by (cluster, place in the cycle)
    place: Ints  # [n], place of each item in its cycle

    def draw(self, cluster: Ints, chance: Floats) -> Ints:
        """Return one item of each given cluster, popular ones more often."""
        power = 1 - POPULARITY
        widest = (self.size[cluster] + 1.0) ** power
        rank = (1 + chance * (widest - 1)) ** (1 / power) - 1
        rank = np.minimum(rank.astype(np.int64), self.size[cluster] - 1)
        item: Ints = self.popular[self.start[cluster] + rank]
        return item

    def after(self, item: Ints, steps: Ints | int) -> Ints:
        """Return the items `steps` places later in the cycle."""
        cluster = self.cluster[item]
        at = (self.place[item] + steps) % self.size[cluster]
        items: Ints = self.cycle[self.start[cluster] + at]
        return items


def synthetic_graph(
    users: int = 1000,
    items: int = 500,
    interactions: int = 20_000,
    *,
    attributes: int = 4,
    clusters: int = 8,
    repeats: bool = False,
    key: Key = Key(0),  # noqa: B008  (immutable)
) -> Graph:
    """Return the graph of :func:`synthetic_tables`, ids permuted by the key's seed.

    Example:
        >>> graph = synthetic_graph(users=100, items=50, interactions=1000)
        >>> graph.num_nodes("user")
        100
    """
    plan, tables = synthetic_tables(
        users,
        items,
        interactions,
        attributes=attributes,
        clusters=clusters,
        repeats=repeats,
        key=key,
    )
    return build(plan, tables, seed=key.seed)


def synthetic_tables(
    users: int = 1000,
    items: int = 500,
    interactions: int = 20_000,
    *,
    attributes: int = 4,
    clusters: int = 8,
    repeats: bool = False,
    key: Key = Key(0),  # noqa: B008  (immutable)
) -> tuple[Plan, dict[str, pl.DataFrame]]:
    """Return the tables of a synthetic shop and the plan of its graph.

    Tables ``users``, ``items`` and ``interactions``, the last ordered by (user, time). The columns
    ``cluster`` of the first two hold the true clusters; the plan leaves them out. The same
    arguments give the same tables.

    Args:
        users: How many users.
        items: How many items, at least one a cluster.
        interactions: How many interactions to draw, at least three a user.
        attributes: How many attributes an item has: category (under a department), brand, style,
            material, attribute_5, …
        clusters: How many groups of users and items.
        repeats: Keep a user's second and later interactions with an item. By default they are
            dropped, and fewer interactions than drawn remain (five in six with large catalogues).
        key: Key of all random draws.

    Raises:
        GraphRecError: When the numbers do not fit together.
    """
    if not 1 <= clusters <= items:
        raise GraphRecError("synthetic", f"1 <= clusters <= {items} items", clusters)
    if users < 1 or interactions < FEWEST * users:
        raise GraphRecError(
            "synthetic", f"at least {FEWEST} interactions a user", f"{interactions} for {users}"
        )
    key = key.named("synthetic")
    world = _items(items, clusters, key.named("items"))
    home = below(clusters, users, key.named("user cluster"))
    tables = {
        "users": _user_table(home, key.named("users")),
        "items": _item_table(world, attributes, clusters, key.named("item columns")),
        "interactions": _interactions(home, world, interactions, key.named("interactions")),
    }
    if not repeats:
        rows = tables["interactions"]
        tables["interactions"] = rows.unique(["user", "item"], keep="first", maintain_order=True)
    names = [*ATTRIBUTES, *(f"attribute_{n + 1}" for n in range(len(ATTRIBUTES), attributes))]
    return _plan(names[:attributes]), tables


def _items(items: int, clusters: int, key: Key) -> _Items:
    cluster = shuffled(np.arange(items) % clusters, key.named("cluster"))
    size = np.bincount(cluster, minlength=clusters)
    start = np.cumsum(size) - size
    popular = np.lexsort((uniform(items, key.named("popular")), cluster))
    cycle = np.lexsort((uniform(items, key.named("cycle")), cluster))
    place = np.empty(items, np.int64)
    place[cycle] = np.arange(items) - start[cluster[cycle]]
    return _Items(cluster, start, size, popular, cycle, place)


def _interactions(home: Ints, items: _Items, total: int, key: Key) -> pl.DataFrame:
    degree = _degrees(len(home), total, key.named("degree"))
    user = np.repeat(np.arange(len(home)), degree)
    first = np.repeat(np.cumsum(degree) - degree, degree)  # row of each user's first interaction
    row = np.arange(total)

    stays = uniform(total, key.named("stays")) < AT_HOME
    elsewhere = below(len(items.size), total, key.named("elsewhere"))
    drawn = items.draw(np.where(stays, home[user], elsewhere), uniform(total, key.named("item")))
    follows = (uniform(total, key.named("follows")) < FOLLOWS) & (row > first)
    anchor = np.maximum.accumulate(np.where(follows, 0, row))  # the draw that a run started from
    item = items.after(drawn[anchor], row - anchor)

    gap = 1 - DAY * np.log1p(-uniform(total, key.named("gap")))
    passed = np.cumsum(gap.astype(np.int64))
    joined = START + below(2 * 365 * DAY, len(home), key.named("joined"))
    time = joined[user] + passed - passed[first]

    liking = np.where(items.cluster[item] == home[user], 4.3, 2.5)
    rating = np.rint(liking + 2.4 * (uniform(total, key.named("rating")) - 0.5)).clip(1, 5)
    return pl.DataFrame(
        {
            "user": _names("u", len(home)).gather(user),
            "item": _names("i", len(items.cluster)).gather(item),
            "rating": rating.astype(np.float32),
            "time": time,
        }
    )


def _degrees(users: int, total: int, key: Key) -> Ints:
    """Return a power law of degrees (exponent 2.5) with the given total."""
    share = np.cumsum((1 - uniform(users, key)) ** (-1 / 1.5))
    ends = np.floor(share / share[-1] * (total - FEWEST * users)).astype(np.int64)
    degree: Ints = np.diff(ends, prepend=0) + FEWEST
    return degree


def _user_table(home: Ints, key: Key) -> pl.DataFrame:
    n = len(home)
    age = 18 + home * 7 % 45 + below(10, n, key.named("age"))
    region = _of_cluster(home, int(home.max()) + 1, 2, key.named("region"))
    return pl.DataFrame(
        {
            "id": _names("u", n),
            "age": age.astype(np.float32),
            "region": _words(region),
            "cluster": home,
        }
    )


def _item_table(items: _Items, attributes: int, clusters: int, key: Key) -> pl.DataFrame:
    n = len(items.cluster)
    words = [
        _words(_of_cluster(items.cluster, clusters, WORDS, key.named(f"word {k}")))
        for k in range(3)
    ]
    title = pl.select(pl.concat_str(words, separator=" ").str.to_titlecase()).to_series()
    columns: dict[str, pl.Series | Ints] = {
        "id": _names("i", n),
        "title": title,
        "year": 1980 + below(45, n, key.named("year")),
    }
    for number in range(attributes):
        name = ATTRIBUTES[number] if number < len(ATTRIBUTES) else f"attribute_{number + 1}"
        value = _of_cluster(items.cluster, clusters, VALUES, key.named(name))
        columns[name] = _words(value + 1000 * (number + 1))
        if name == "category":
            columns["department"] = _words(value // VALUES + 900)
    return pl.DataFrame({**columns, "cluster": items.cluster})


def _plan(attributes: list[str]) -> Plan:
    edges = {
        "rates": EdgePlan(
            table="interactions",
            source="user.user",
            target="item.item",
            time="time",
            weight="rating",
            inverse="rated_by",
            interaction=True,
        ),
        "lives_in": EdgePlan(table="users", source="user.id", target="region.region"),
    }
    nodes = {
        "user": NodePlan(table="users", id="id", columns={"age": "number", "region": "category"}),
        "item": NodePlan(
            table="items", id="id", columns={"title": "text", "year": "number"}, title="title"
        ),
        "region": NodePlan(),
    }
    for name in attributes:
        nodes[name] = NodePlan()
        edges[f"has_{name}"] = EdgePlan(table="items", source="item.id", target=f"{name}.{name}")
    if "category" in attributes:
        nodes["department"] = NodePlan()
        edges["part_of"] = EdgePlan(
            table="items", source="category.category", target="department.department"
        )
    return Plan(nodes=nodes, edges=edges, time_unit="s")


def _of_cluster(cluster: Ints, clusters: int, each: int, key: Key) -> Ints:
    """Return values below ``clusters * each``, mostly among the `each` of the own cluster."""
    n = len(cluster)
    own = cluster * each + below(each, n, key.named("own"))
    foreign = below(clusters * each, n, key.named("foreign"))
    return np.where(uniform(n, key.named("stays")) < AT_HOME, own, foreign)


def _names(prefix: str, n: int) -> pl.Series:
    return prefix + pl.Series("id", np.arange(n)).cast(pl.String)


def _words(numbers: Ints) -> pl.Series:
    """Return a pronounceable word for every number."""
    every, place = np.unique(numbers, return_inverse=True)
    base = len(_SYLLABLES)
    mixed = every * 7919 % base**3  # close numbers give unlike words
    words = ["".join(_SYLLABLES[m // base**k % base] for k in range(3)) for m in mixed.tolist()]
    return pl.Series(words, dtype=pl.String).gather(place)


def checkerboard(n: int = 50) -> Graph:
    """Return the graph in which user *u* likes item *i* when both are even or both odd.

    The diagonal has no edges: the right recommendation to user *u* is item *u*, the only item of
    the same parity without an edge to *u*. Histories run *u* + 2, *u* + 4, … modulo `n`, so that
    item *u* is also the next item. Raw ids are the numbers.

    Args:
        n: Users, and items; even, at least 6.
    """
    if n < 6 or n % 2:
        raise GraphRecError("checkerboard", "an even number, at least 6", n)
    user = np.repeat(np.arange(n), n // 2 - 1)
    step = np.tile(np.arange(1, n // 2), n)
    table = pl.DataFrame({"user": user, "item": (user + 2 * step) % n, "step": step})
    likes = EdgePlan(
        table="likes",
        source="user.user",
        target="item.item",
        time="step",
        inverse="liked_by",
        interaction=True,
    )
    nodes = {"user": NodePlan(), "item": NodePlan()}
    return build(Plan(nodes=nodes, edges={"likes": likes}, time_unit="ordinal"), {"likes": table})
