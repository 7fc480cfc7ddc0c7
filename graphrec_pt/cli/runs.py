"""What is asked of a finished run: metrics, recommendations, comparisons."""

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
    """Say what a run measured, computed anew from its ranks."""
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
        list[str] | None, typer.Option(metavar="RAWID", help="A user; again for more.")
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM,ITEM…",
            help='What a new user has met, oldest first; "" for nothing; again for more.',
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Items per user.")] = 10,
    explain: Annotated[bool, typer.Option("--explain", help="Say why, with paths.")] = False,
    as_json: AsJson = False,
    trust_code: TrustCode = False,
) -> None:
    """Recommend items to users by the model of a run."""
    from graphrec_pt.cli.tables import recommended_table
    from graphrec_pt.serve.recommender import from_pretrained

    users = [
        *(user or ()),
        *(next(reader([each], skipinitialspace=True), []) for each in history or ()),
    ]
    if not users:
        hint = "--user RAWID, or --history ITEM,ITEM for a new user"
        raise GraphRecError("recommend", "somebody to recommend to", "nobody", hint)
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
        list[str] | None, typer.Option(help="A metric; again for more. By default the recipes'.")
    ] = None,
    as_json: AsJson = False,
    trust_code: TrustCode = False,
) -> None:
    """Put runs beside each other, as means over seeds; marks say what differs from the first."""
    from graphrec_pt.cli.tables import compared_table
    from graphrec_pt.recipe.folder import open_run
    from graphrec_pt.recipe.measure import compare_runs

    with trusted(trust_code):
        rows = compare_runs([open_run(folder) for folder in folders], metric)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    console = Terminal()
    console.print(compared_table(rows, list(rows[0].values)))
    note = "* ** *** differs from the first: p < .05, .01, .001, paired bootstrap over users"
    console.print(note, soft_wrap=True, highlight=False)


def add_to(app: typer.Typer) -> None:
    """Make these the commands of an application."""
    commands: tuple[Callable[..., None], ...] = (run, evaluate, recommend, compare, export)
    for command in commands:
        app.command(command.__name__)(command)


def _plain(given: Any, recommender: Any) -> dict[str, Any]:
    """Return a recommendation as JSON has it: raw ids in place of nodes."""
    graph = recommender.history

    def path(found: Any) -> dict[str, Any]:
        nodes = [{"type": graph.type_of(n), "id": graph.raw_id(n)} for n in found.nodes]
        told = found.told(graph)
        return {"nodes": nodes, "relations": found.relations, "score": found.score, "told": told}

    items = [{**asdict(item), "paths": [path(each) for each in item.paths]} for item in given.items]
    told = {"user": given.user, "history": given.history, "items": items}
    return told if given.by == "model" else {**told, "by": given.by}
