"""A small world of lists: ten users, 24 films, and what each user was shown in each sitting.

Film *i* is of kind ``i % 3`` and says so in its title; user *u* likes the kind ``u % 3`` (weight 5)
and nothing else (weight 2). A list shows four films; every user has six lists, the last user none.
"""

import numpy as np
import polars as pl

from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.graph.graph import Graph

USERS, FILMS, LISTS, SHOWN = 10, 24, 6, 4
KINDS = ("war", "love", "jazz")


def frames() -> dict[str, pl.DataFrame]:
    """Return users, films, interactions with their list, and reading before all of them."""
    draw = np.random.default_rng(2)
    rows = []
    for user in range(USERS - 1):
        films = draw.permutation(FILMS)
        for number in range(LISTS):
            shown = films[number * SHOWN : (number + 1) * SHOWN]
            for step, film in enumerate(shown):
                liked = 5.0 if film % 3 == user % 3 else 2.0
                began = 100 * number
                name = f"{user}/{number}"
                rows.append((f"u{user}", f"f{film}", name, began, began + step, liked))
    columns = ("user", "film", "list", "began", "time", "weight")
    films = [(f"f{n}", f"a {KINDS[n % 3]} film {n}") for n in range(FILMS)]
    before = [(f"u{n}", f"f{(5 * n + k) % FILMS}", k) for n in range(USERS) for k in range(3)]
    return {
        "users": pl.DataFrame({"user": [f"u{n}" for n in range(USERS)]}),
        "films": pl.DataFrame(films, schema=["film", "title"], orient="row"),
        "rows": pl.DataFrame(rows, schema=list(columns), orient="row"),
        "before": pl.DataFrame(before, schema=["user", "film", "place"], orient="row"),
    }


def lists_graph() -> Graph:
    """Return the graph; raw ids are ``u0``, ``f0`` and ``0/0``."""
    rows, ends = {"table": "rows"}, {"source": "user.user", "target": "item.film"}
    shown = {**rows, "source": "impression.list", "target": "item.film", "time": "began"}
    seen = {**rows, "source": "user.user", "target": "impression.list", "time": "began"}
    plan = Plan(
        nodes={
            "user": NodePlan(table="users", id="user"),
            "item": NodePlan(table="films", id="film", columns={"title": "text"}, title="title"),
            "impression": NodePlan(),
        },
        edges={
            "rates": EdgePlan(
                **rows,
                **ends,
                time="time",
                weight="weight",
                event="impression.list",
                inverse="rated_by",
                interaction=True,
            ),
            "sees": EdgePlan(**seen, duplicates="first"),
            "shows": EdgePlan(**shown),
            "read_before": EdgePlan(table="before", **ends, weight="place"),
        },
        time_unit="ordinal",
    )
    return build(plan, frames())
