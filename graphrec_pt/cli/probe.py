"""``graphrec probe``: what a language model knows of the edges of a graph."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from graphrec_pt.cli.printing import Terminal, print_json


def probe(
    model: Annotated[
        Path, typer.Argument(help="A run, a saved model, or the folder of a language model.")
    ],
    template: Annotated[
        str, typer.Argument(help='Such as "{source} is a movie of the genre {target}".')
    ],
    relation: Annotated[str, typer.Option(help="The relation that is asked about.")],
    card: Annotated[str, typer.Option(help="Card of the data.")] = "",
    graph: Annotated[str, typer.Option(help="Folder of a graph, in place of a card.")] = "",
    raw: Annotated[Path | None, typer.Option(help="Folder of raw files.")] = None,
    k: Annotated[list[int] | None, typer.Option("-k", help="Cut-offs; 1 and 5 by default.")] = None,
    sources: Annotated[int, typer.Option(help="Nodes asked about at most.", min=1)] = 500,
    prior: Annotated[
        float, typer.Option(help="Share of the prior of a name that is subtracted.", min=0)
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the nodes.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask a language model about the edges of a graph, and measure its recall."""
    from graphrec_pt.predict.likelihood import Likelihood
    from graphrec_pt.recipe.data import graph_of
    from graphrec_pt.recipe.recipe import Data
    from graphrec_pt.serve.probe import language_model
    from graphrec_pt.serve.probe import probe as probed

    data = Data.checked({"card": card or None, "graph": graph or None}, "probe")
    known = graph_of(data, raw)
    found = probed(
        language_model(model, known),
        known,
        template,
        relation,
        tuple(k or (1, 5)),
        likelihood=Likelihood(prior=prior),
        sources=sources,
        seed=seed,
    )
    if as_json:
        print_json(asdict(found))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("", *(f"R@{each}" for each in found.recall)):
        table.add_column(column)
    rows = ("model", found.recall), ("most frequent", found.frequency), ("chance", found.chance)
    for name, values in rows:
        table.add_row(name, *(f"{value:.3f}" for value in values.values()))
    Terminal().print(table)
    Terminal().print(f"{found.sources:,} nodes, {found.targets:,} names ranked for each")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("probe")(probe)
