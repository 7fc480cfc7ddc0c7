"""``graphrec tune``: search options of a recipe by validation."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from graphrec_pt.cli.printing import Terminal, progress, run_log
from graphrec_pt.cli.trust import TrustCode, trusted

SEARCHES = Path("searches")


def tune(
    recipe: Annotated[
        str, typer.Argument(help="Name of a recipe, its YAML file, or the folder of a run.")
    ],
    ranges: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=RANGE…",
            help="Options to search: LOW..HIGH, LOW..HIGH:log, or values with commas between them, "
            "such as optim.lr=1e-4..1e-2:log model.width=64,128. optim.X is an option of the last "
            "stage, model.X may be one of the backbone. KEY=VALUE sets an option for all trials.",
        ),
    ],
    trials: Annotated[
        int, typer.Option(min=1, help="Number of trials; with more, a finished search goes on.")
    ] = 30,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that try options at the same time.")
    ] = 1,
    raw: Annotated[
        Path | None, typer.Option(help="Folder of raw files. Default: download them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the search (default searches/NAME).")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder for downloaded raw files.")] = Path(
        "~/.cache/graphrec_pt"
    ),
    trust_code: TrustCode = False,
) -> None:
    """Search options by validation; the test set is never read. The same command goes on."""
    from graphrec_pt.recipe.data import graph_of
    from graphrec_pt.recipe.files import load_recipe
    from graphrec_pt.recipe.tune import tune as search_options
    from graphrec_pt.serve.report.tuning import write_tuning
    from graphrec_pt.training.weights import lower_is_better

    space = [text for text in ranges if _is_range(text)]
    settings = [text for text in ranges if not _is_range(text)]
    with trusted(trust_code):
        chosen = load_recipe(recipe, settings)
        folder = out or SEARCHES / chosen.name
        with progress() as tell:
            graph = graph_of(chosen.data, raw, cache=cache, tell=tell)
        with run_log():
            found = search_options(
                chosen, space, folder, trials=trials, workers=workers, graph=graph
            )
        page = write_tuning(found)
    table = Table(box=None, pad_edge=False)
    paths = list(dict.fromkeys(path for trial in found.trials for path in trial.values))
    for column in ("#", *paths, found.metric, "state"):
        table.add_column(column, overflow="fold")
    ended = [trial for trial in found.trials if trial.state == "complete"]
    sign = 1 if lower_is_better(found.metric) else -1
    for trial in sorted(ended, key=lambda trial: sign * (trial.metric or 0))[:10]:
        values = (str(trial.values.get(path, "–")) for path in paths)
        table.add_row(str(trial.number), *values, f"{trial.metric or 0:.4f}", trial.state)
    console = Terminal()
    console.print(table)
    line = f"best options in {folder / 'best.yaml'}, all trials in {page}"
    console.print(line, soft_wrap=True, highlight=False)


def _is_range(text: str) -> bool:
    value = text.partition("=")[2]
    return ".." in value or ("," in value and not value.lstrip().startswith(("[", "{")))
