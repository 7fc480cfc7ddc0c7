"""``graphrec recommend``: a few users on the screen, or all of them into a file."""

from collections.abc import Mapping
from csv import reader
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphrec_pt.cli.printing import Terminal, print_json, progress
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import counted

if TYPE_CHECKING:
    from graphrec_pt.serve.recommender import Recommender

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]


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
    users: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Users of a file: an id a line, or a table with the column user; needs --out.",
        ),
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--all", help="All users of the graph; needs --out.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file for --users and --all. The same command goes on after a crash."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of items per user.")] = 10,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILTER",
            help='Only items such as "genre=Comedy|Drama", "brand!=Acme" or "price<20", by a '
            "column of the items or a type that they are linked to; repeat it for more.",
        ),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Items that are left out: an id a line for everybody, or a table with the columns "
            "user and item.",
        ),
    ] = None,
    seen: Annotated[
        str | None,
        typer.Option(
            metavar="mask|keep",
            help="Leave out what a user has bought already, or keep it (default: as in the run).",
        ),
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A newer saved graph: new users by their events, new items by their content.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print paths in the graph from the history to each item."),
    ] = False,
    words: Annotated[
        bool, typer.Option("--words", help="With --explain: print the paths as sentences.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    trust_code: TrustCode = False,
) -> None:
    """Recommend items to users with the model of a run."""
    from graphrec_pt.cli.tables import recommended_table
    from graphrec_pt.serve.batch import read_exclusions, read_users, recommend_file

    wanted = [
        *(user or ()),
        *(next(reader([each], skipinitialspace=True), []) for each in history or ()),
    ]
    many = users is not None or everybody
    _check(bool(wanted), users is not None, everybody, out)
    if words and not explain:
        raise GraphRecError("recommend", "paths to put into words", "--words", "--explain --words")
    items, pairs = ([], {}) if exclude is None else read_exclusions(exclude)
    options: dict[str, Any] = {"only": only or (), "exclude": items, "excluded": pairs}
    with trusted(trust_code):
        recommender = _recommender(folder, graph, seen)
    console = Terminal()
    if many and out is not None:
        chosen = None if users is None else read_users(users)
        with progress() as tell:
            count = recommend_file(
                recommender, out, chosen, k, explain=explain, tell=tell, **options
            )
        line = f"{counted(count, 'user')} in {out}; {recommender.edges}"
        console.print(line, soft_wrap=True, highlight=False)
        return
    recommended = recommender.recommend(wanted, k, explain=explain, **options)
    if as_json:
        print_json([plain_recommendation(given, recommender) for given in recommended])
        return
    for given in recommended:
        console.print(recommended_table(given, recommender, words=words))
    console.print(f"edges: {recommender.edges}", soft_wrap=True, highlight=False)


def plain_recommendation(given: Any, recommender: "Recommender") -> dict[str, Any]:
    """Return a recommendation for JSON, with raw ids in place of nodes."""
    graph = recommender.history

    def plain_path(path: Any) -> dict[str, Any]:
        nodes = [{"type": graph.type_of(n), "id": graph.raw_id(n)} for n in path.nodes]
        words = {"told": path.in_words(graph), "sentence": recommender.sentence(path)}
        return {"nodes": nodes, "relations": path.relations, "score": path.score, **words}

    items = [
        {**asdict(item), "paths": [plain_path(each) for each in item.paths]} for item in given.items
    ]
    plain: Mapping[str, Any] = {"user": given.user, "history": given.history, "items": items}
    return dict(plain) if given.by == "model" else {**plain, "by": given.by}


def _recommender(folder: Path, graph: Path | None, seen: str | None) -> "Recommender":
    from graphrec_pt.graph.store import open_graph
    from graphrec_pt.serve.recommender import from_pretrained

    if seen not in (None, "mask", "keep"):
        raise GraphRecError("--seen", "mask or keep", repr(seen))
    recommender = from_pretrained(folder)
    if graph is not None:
        recommender = recommender.on(open_graph(graph))
    if seen is not None:
        recommender.seen = "mask" if seen == "mask" else "keep"
    return recommender


def _check(named: bool, listed: bool, everybody: bool, out: Path | None) -> None:
    """Raise unless exactly one way says which users are meant."""
    if named + listed + everybody != 1:
        hint = "--user RAWID, or --history ITEM,ITEM for a new user, --users FILE or --all"
        got = "none" if not (named or listed or everybody) else "several ways"
        raise GraphRecError("recommend", "at least one user, named in one way", got, hint)
    if (listed or everybody) != (out is not None):
        expected = "--out for --users and --all, and for them alone"
        raise GraphRecError(
            "recommend", expected, "--out" if out else "no --out", "--out x.parquet"
        )
