"""``graphrec refit``: the model that serves, trained on every edge."""

from pathlib import Path
from typing import Annotated

import typer

from graphrec_pt.cli.printing import Terminal, progress, run_log
from graphrec_pt.cli.trust import TrustCode, trusted


def refit(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    raw: Annotated[
        Path | None, typer.Option(help="Folder of raw files (default: that of the run).")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Steps of the last stage (default: those that validation chose). With 0 nothing "
            "is trained: the measured model reads all edges.",
        ),
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder for downloaded raw files.")] = Path(
        "~/.cache/graphrec_pt"
    ),
    trust_code: TrustCode = False,
) -> None:
    """Train the model of a run again on all edges, test edges included, to serve it."""
    from graphrec_pt.recipe.data import graph_of
    from graphrec_pt.recipe.folder import open_run
    from graphrec_pt.recipe.origin import kept_raw
    from graphrec_pt.recipe.refit import refit_run, serving_of

    with trusted(trust_code):
        run = open_run(folder)
        with progress() as tell:
            graph = graph_of(run.recipe.data, raw or kept_raw(folder), cache=cache, tell=tell)
        with run_log():
            out = refit_run(run, graph=graph, steps=steps, progress=True)
        edges = serving_of(run).edges
    console = Terminal()
    console.print(f"saved in {out}: {edges}", soft_wrap=True, highlight=False)
    console.print(
        f"recommend, similar, export and serve now use it: graphrec recommend {folder} --user ID",
        soft_wrap=True,
        highlight=False,
    )
