"""``graphrec data new`` and ``data append``: a card for own tables, and next week's rows."""

from pathlib import Path
from typing import Annotated

import typer

from graphrec_pt.cli.data import data
from graphrec_pt.cli.printing import Terminal
from graphrec_pt.core.errors import GraphRecError

__all__ = ["data"]
DOUBT = "#   - "
"""Before a doubt in a card."""


@data.command("new")
def new_card(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of CSV, TSV, JSON or Parquet tables.")
    ],
    out: Annotated[Path, typer.Option(help="The card to write.")] = Path("card.yaml"),
    name: Annotated[
        str | None, typer.Option(help="Name of the card (default: that of the folder).")
    ] = None,
) -> None:
    """Write a first card for a folder of tables, with comments on what is unsure."""
    from graphrec_pt.core.printable import counted
    from graphrec_pt.core.scratch import write_text
    from graphrec_pt.data.card import parse_card
    from graphrec_pt.data.infer_card import infer_card

    if out.exists():
        raise GraphRecError(str(out), "a new file", "one that is there", "another --out")
    text = infer_card(folder, name)
    card = parse_card(text, str(out))
    write_text(out, text)
    doubts = [line.removeprefix(DOUBT) for line in text.splitlines() if line.startswith(DOUBT)]
    console = Terminal()
    console.print(
        f"wrote {out}: {counted(len(card.tables), 'table')}, "
        f"{counted(len(card.nodes), 'node type')}, {counted(len(card.edges), 'relation')}",
        soft_wrap=True,
        highlight=False,
    )
    for doubt in doubts:
        console.print(f"unsure: {doubt}", soft_wrap=True, highlight=False)
    console.print(
        f"next: graphrec data build {out} --raw {folder}", soft_wrap=True, highlight=False
    )


@data.command("append")
def append_data(
    folder: Annotated[Path, typer.Argument(metavar="GRAPH", help="A saved graph.")],
    raw: Annotated[Path, typer.Option(help="Folder of the new files alone.")],
    card: Annotated[
        str | None, typer.Option(help="The card that built the graph (default: by its name).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the new graph (default: the same folder).")
    ] = None,
) -> None:
    """Add the rows of new files to a saved graph; equal to a build from all files."""
    from graphrec_pt.cli.data import view
    from graphrec_pt.cli.printing import progress
    from graphrec_pt.data.append import append
    from graphrec_pt.data.card import load_card
    from graphrec_pt.data.describe import describe
    from graphrec_pt.graph.store import open_graph

    graph = open_graph(folder)
    chosen = load_card(card or str(graph.provenance.get("card", "")))
    with progress() as tell:
        made = append(graph, chosen, raw, out=out or folder, progress=tell)
    console = Terminal()
    console.print(view(describe(made)))
    console.print(f"saved in {out or folder}", soft_wrap=True, highlight=False)
