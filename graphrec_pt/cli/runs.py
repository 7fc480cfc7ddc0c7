"""Commands that read finished runs: metrics, recommendations, comparisons."""

from collections.abc import Callable
from csv import reader
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from graphrec_pt.cli.export import export
from graphrec_pt.cli.printing import Terminal, print_json
from graphrec_pt.cli.run import run
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.core.errors import GraphRecError

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def evaluate(folder: Folder, as_json: AsJson = False, trust_code: TrustCode = False) -> None:
    """Compute the metrics of a run from its saved ranks, and print them."""
    from graphrec_pt.cli.tables import run_notes, run_tables
    from graphrec_pt.recipe.folder import measured_again, open_run

    with trusted(trust_code):
        done = measured_again(open_run(folder))
    if as_json:
        print_json(done.metrics)
        return
    console = Terminal()
    for table in run_tables(done):
        console.print(table)
    for note in run_notes(done):
        console.print(note, soft_wrap=True, highlight=False)


def recommend(
    folder: Folder,
    user: Annotated[
        list[str] | None,
        typer.Option(metavar="RAWID", help="A known user; repeat it for more users."),
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM,ITEM…",
            help='Items of a new user, oldest first; "" for an empty history; repeat it for more.',
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of items per user.")] = 10,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print paths in the graph from the history to each item."),
    ] = False,
    as_json: AsJson = False,
    trust_code: TrustCode = False,
) -> None:
    """Recommend items to users with the model of a run."""
    from graphrec_pt.cli.tables import recommended_table
    from graphrec_pt.serve.recommender import from_pretrained

    users = [
        *(user or ()),
        *(next(reader([each], skipinitialspace=True), []) for each in history or ()),
    ]
    if not users:
        hint = "--user RAWID, or --history ITEM,ITEM for a new user"
        raise GraphRecError("recommend", "at least one user", "none", hint)
    with trusted(trust_code):
        recommender = from_pretrained(folder)
    found = recommender.recommend(users, k, explain=explain)
    if as_json:
        print_json([_plain(given, recommender) for given in found])
        return
    for given in found:
        Terminal().print(recommended_table(given, recommender))


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN RUN…", help="Two or more runs.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="A metric; repeat it for more. Default: all that the recipes share."),
    ] = None,
    as_json: AsJson = False,
    trust_code: TrustCode = False,
) -> None:
    """Compare test metrics of runs, as means over seeds; stars mark differences from the first."""
    from graphrec_pt.cli.tables import STARS, compared_table
    from graphrec_pt.recipe.folder import open_run
    from graphrec_pt.recipe.measure import compare_runs

    with trusted(trust_code):
        rows = compare_runs([open_run(folder) for folder in folders], metric)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    console = Terminal()
    console.print(compared_table(rows, list(rows[0].values)))
    console.print(f"stars: differs from the first run; {STARS}", soft_wrap=True, highlight=False)


def add_to(app: typer.Typer) -> None:
    """Make these the commands of an application."""
    commands: tuple[Callable[..., None], ...] = (run, evaluate, recommend, compare, export)
    for command in commands:
        app.command(command.__name__)(command)


def _plain(given: Any, recommender: Any) -> dict[str, Any]:
    """Return a recommendation for JSON, with raw ids in place of nodes."""
    graph = recommender.history

    def path(found: Any) -> dict[str, Any]:
        nodes = [{"type": graph.type_of(n), "id": graph.raw_id(n)} for n in found.nodes]
        told = found.told(graph)
        return {"nodes": nodes, "relations": found.relations, "score": found.score, "told": told}

    items = [{**asdict(item), "paths": [path(each) for each in item.paths]} for item in given.items]
    told = {"user": given.user, "history": given.history, "items": items}
    return told if given.by == "model" else {**told, "by": given.by}
