"""Runs as tables for the terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table

from graphrec_pt.core.printable import counted
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.measure import Compared
from graphrec_pt.serve.recommender import Recommended, Recommender
from graphrec_pt.serve.report.comparison import distinct, stars, systems, watched_metric

STARS = "paired bootstrap over users, * p < .05, ** p < .01"
NOT_REASONS = "Links in the graph between the history and the item; not the model's reasons."
SEEN = {"mask": "seen items left out", "keep": "seen items kept"}
"""How each policy ranks the items of the history."""
SHOWN = 5
"""Metrics that a table of systems has room for in a terminal."""
NARROW = 10
"""Letters of a header that fit into one line."""


def run_tables(run: Run) -> list[Group]:
    """Return the metrics of a run, and those of its control and the baselines."""
    measured, several = run.metrics, len(run.metrics["seeds"]) > 1
    rows = systems(run, watched_metric(run))
    metrics, _ = distinct(run.recipe.evaluate.metrics, rows)
    title = f"{run.recipe.name} on {measured['data']['name']}, {SEEN[measured['seen']]}"
    of_model = _table(["", "valid", "test", "± sd" if several else "95 %"])
    for name in metrics:
        valid, test = (measured["over_seeds"][when][name] for when in ("valid", "test"))
        low, high = measured["intervals"][name]
        spread = f"{test['sd']:.4f}" if several else f"{low:.4f}–{high:.4f}"
        of_model.add_row(name, f"{valid['mean']:.4f}", f"{test['mean']:.4f}", spread)
    tested = next((each["metric"] for each in measured["compared"].values()), metrics[0])
    shown = list(dict.fromkeys([tested, *metrics]))[:SHOWN]
    of_systems = _table(["", *shown])
    for row in rows:
        marks = [row.mark if name == tested else "" for name in shown]
        values = (f"{row.values[name]:.4f}" if name in row.values else "–" for name in shown)
        cells = (f"{value}{mark}" for value, mark in zip(values, marks, strict=True))
        of_systems.add_row(row.name, *cells)
    return [Group(title, of_model), Group("at test", of_systems)]


QUICK = "quick setting: fewer steps than the recipe's full course"


def run_notes(run: Run) -> list[str]:
    """Return the sentences that explain the numbers of a run."""
    measured, count = run.metrics, len(run.metrics["seeds"])
    compared = next(iter(measured["compared"].values()), None)
    notes = [f"history: valid {measured['history']['valid']}, test {measured['history']['test']}"]
    if run.recipe.setting == "quick":
        notes.append(QUICK)
    if count > 1:
        notes.append(f"values of the model and its control are means over {count} seeds")
    if equal := distinct(run.recipe.evaluate.metrics, systems(run, watched_metric(run)))[1]:
        notes.append(equal)
    if compared is not None:
        notes.append(f"stars: {compared['metric']} differs from the model's; {STARS}")
    if measured.get("history_graph") is not None:
        with_validation = {
            name: at["mean"] for name, at in measured["over_seeds"]["history_graph"].items()
        }
        line = _line(with_validation, run.recipe.evaluate.metrics)
        notes.append(f"on the history graph, with validation edges: {line}")
    for policy, other in measured["other_policy"].items():
        notes.append(f"{SEEN[policy]}: " + _line(other["test"], run.recipe.evaluate.metrics))
    notes.append(f"{measured['seconds']:,.0f} s, {counted(measured['parameters'], 'parameter')}")
    return notes


def compared_table(rows: Sequence[Compared], metrics: Sequence[str]) -> Group:
    """Return runs side by side; stars mark values that differ from those of the first run."""
    table = _table(["", *(row.name for row in rows)])
    for name in metrics:
        cells = []
        for row in rows:
            comparison = row.differences.get(name)
            mark = stars(None if comparison is None else comparison.p_bootstrap)
            cells.append(f"{row.values[name]:.4f}{mark:2}")
        table.add_row(name, *cells)
    return Group("at test", table)


def recommended_table(
    given: Recommended, recommender: Recommender, *, words: bool = False
) -> Group:
    """Return the recommendations of a user, with paths where there are any.

    Args:
        given: The recommendations.
        recommender: Made them.
        words: Print paths as sentences.
    """
    title = f"{given.user or 'new user'}, {counted(len(given.history), 'item')} in the history"
    if given.by == "popularity":
        title += "; these are the most popular items"
    table, note = Table(box=None, pad_edge=False), []
    for column, justify in (("#", "right"), ("score", "right"), ("id", "left"), ("title", "left")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    if any(item.paths for item in given.items):
        decodes = given.user is not None and recommender.predictor.reading.taught.decodes
        table.add_column("decoded path" if decodes else "link to the history", overflow="fold")
        if not decodes:
            note = [NOT_REASONS]
    for place, item in enumerate(given.items, start=1):
        why = "\n".join(
            recommender.sentence(path) if words else path.in_words(recommender.history)
            for path in item.paths
        )
        table.add_row(str(place), f"{item.score:.4f}", item.id, item.title, why)
    return Group(title, table, *note)


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        parts = column if len(column) <= NARROW else column.replace("_", "_\n").replace("@", "\n@")
        table.add_column(parts, justify="right" if place else "left", overflow="fold")
    return table


def _line(row: Mapping[str, float], metrics: Sequence[str]) -> str:
    return ", ".join(f"{name} {row[name]:.4f}" for name in metrics)
