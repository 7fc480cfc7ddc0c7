"""Runs as tables for the terminal."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.measure import Compared
from graphrec_pt.serve.recommender import Recommended, Recommender

MARKS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
"""Marks of p-values below a bound."""
SHOWN = 5
"""Metrics of systems beside each other: what a terminal has room for."""


def run_tables(run: Run) -> list[Table]:
    """Return the metrics of a run, and what stands beside it: its control and the baselines."""
    told, metrics = run.metrics, run.recipe.evaluate.metrics
    title = f"{run.recipe.name} on {told['data']['name']}, seen {told['seen']}"
    own = _table(title, ["", "valid", "test", "95 %"])
    for name in metrics:
        low, high = told["intervals"][name]
        values = (f"{told[when][name]:.4f}" for when in ("valid", "test"))
        own.add_row(name, *values, f"{low:.4f}–{high:.4f}")
    first = next((each["metric"] for each in told["compared"].values()), metrics[0])
    shown = list(dict.fromkeys([first, *metrics]))[:SHOWN]
    rows = {"the model": told["test"], "scratch": told["scratch"], **told["baselines"]}
    beside = _table("at test", ["", *shown])
    for name, row in rows.items():
        if row is not None:
            found = told["compared"].get(name)
            mark = _p_mark(found and found["p_bootstrap"])
            values = (f"{row[metric]:.4f}" for metric in shown)
            beside.add_row(
                name, *(f"{value}{mark if not n else ''}" for n, value in enumerate(values))
            )
    return [own, beside]


def run_notes(run: Run) -> list[str]:
    """Return what must be known beside the numbers of a run."""
    told = run.metrics
    compared = next(iter(told["compared"].values()), None)
    notes = [f"history: valid {told['history']['valid']}, test {told['history']['test']}"]
    if compared is not None:
        seeds = f", means over {len(told['seeds'])} seeds" if len(told["seeds"]) > 1 else ""
        what = f"{compared['metric']} at test differs from the model{seeds}"
        notes.append(f"* ** *** {what}: p < .05, .01, .001")
    if (knowing := told.get("history_graph")) is not None:
        line = _line(knowing, run.recipe.evaluate.metrics)
        notes.append(f"on the history graph, validation edges among its links: {line}")
    for policy, other in told["other_policy"].items():
        notes.append(f"seen {policy}: " + _line(other["test"], run.recipe.evaluate.metrics))
    if len(told["seeds"]) > 1:
        spread = told["over_seeds"]["test"]
        parts = (f"{name} {at['mean']:.4f} ± {at['sd']:.4f}" for name, at in spread.items())
        notes.append(f"test over {len(told['seeds'])} seeds: " + ", ".join(parts))
    notes.append(f"{told['seconds']:,.0f} s, {told['parameters']:,} parameters")
    return notes


def compared_table(rows: Sequence[Compared], metrics: Sequence[str]) -> Table:
    """Return runs side by side; marks stand at what differs from the first."""
    table = _table("at test", ["", *(row.name for row in rows)])
    for name in metrics:
        cells = []
        for row in rows:
            found = row.differences.get(name)
            mark = _p_mark(None if found is None else found.p_bootstrap)
            cells.append(f"{row.values[name]:.4f}{mark:3}")
        table.add_row(name, *cells)
    return table


def recommended_table(given: Recommended, recommender: Recommender) -> Table:
    """Return the recommendations of a user, with paths where there are any."""
    title = f"{given.user or 'new user'}, {len(given.history)} items in the history"
    if given.by == "popularity":
        title += "; nothing is known, so these are the most popular items"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for column, justify in (("#", "right"), ("score", "right"), ("id", "left"), ("title", "left")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    if any(item.paths for item in given.items):
        table.add_column("because", overflow="fold")
    for place, item in enumerate(given.items, start=1):
        why = "\n".join(path.told(recommender.history) for path in item.paths)
        table.add_row(str(place), f"{item.score:.4f}", item.id, item.title, why)
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    return table


def _p_mark(p: float | None) -> str:
    return "" if p is None else next((mark for bound, mark in MARKS if p < bound), "")


def _line(row: Mapping[str, float], metrics: Sequence[str]) -> str:
    return ", ".join(f"{name} {row[name]:.4f}" for name in metrics)
