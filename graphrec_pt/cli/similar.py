"""``graphrec similar``: items like an item, or a table of all."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Group
from rich.table import Table

from graphrec_pt.cli.printing import Terminal, print_json
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import counted


def similar(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    item: Annotated[
        list[str] | None, typer.Option(metavar="RAWID", help="An item; repeat it for more.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The similar items of every item; needs --out.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Parquet file for --all.")] = None,
    k: Annotated[int, typer.Option("-k", help="Number of similar items.")] = 10,
    by: Annotated[
        Literal["vectors", "together", "both"],
        typer.Option(help="vectors of the model, users who had both items together, or both."),
    ] = "both",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER", help="Only items such as genre=Comedy; repeat it for more."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    trust_code: TrustCode = False,
) -> None:
    """Find items like an item."""
    from graphrec_pt.serve.recommender import from_pretrained
    from graphrec_pt.serve.similar import SimilarItems

    if bool(item) == everything or everything != (out is not None):
        hint = "--item RAWID, or --all --out similar.parquet"
        got = "both" if item and everything else "none" if not everything else "no --out"
        raise GraphRecError("similar", "an item, or all of them and a file", got, hint)
    with trusted(trust_code):
        recommender = from_pretrained(folder)
    finder, console = SimilarItems(recommender, by), Terminal()
    if out is not None:
        count = finder.table(out, k, only=only or ())
        console.print(f"{counted(count, 'item')} in {out}", soft_wrap=True, highlight=False)
        return
    found = {each: finder.of(each, k, only=only or ()) for each in item or ()}
    if as_json:
        rows = {each: [asdict(like) for like in items] for each, items in found.items()}
        print_json([{"item": each, "similar": items} for each, items in rows.items()])
        return
    for each, items in found.items():
        table = Table(box=None, pad_edge=False)
        for column in ("#", "score", "id", "title"):
            table.add_column(column, overflow="fold")
        for place, like in enumerate(items, start=1):
            table.add_row(str(place), f"{like.score:.4f}", like.id, like.title)
        graph = recommender.history
        title = graph.title(graph.node_id(recommender.item_type, each))
        console.print(Group(f"like {title}, by {by}", table))
    console.print(f"edges: {recommender.edges}", soft_wrap=True, highlight=False)
