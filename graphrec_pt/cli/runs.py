"""Commands that read finished runs: metrics, comparisons, exports."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from graphrec_pt.cli.printing import Terminal, print_json, progress
from graphrec_pt.cli.recommend import recommend
from graphrec_pt.cli.refit import refit
from graphrec_pt.cli.run import run
from graphrec_pt.cli.serve import serve
from graphrec_pt.cli.similar import similar
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.cli.tune import tune
from graphrec_pt.core.errors import GraphRecError

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OPTIONS_OF = {"corpus": ("stage", "epochs", "shard", "raw", "cache"), "hub": ("name", "private")}
"""Options that belong to one kind of export."""


def evaluate(folder: Folder, as_json: AsJson = False, trust_code: TrustCode = False) -> None:
    """Print the metrics of a run, computed from its ranks."""
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


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN RUN…", help="Two or more runs.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="A metric; repeat it for more. Default: all that the recipes share."),
    ] = None,
    as_json: AsJson = False,
    trust_code: TrustCode = False,
) -> None:
    """Compare the test metrics of two or more runs."""
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


def export(
    folder: Folder,
    to: Annotated[
        Literal["embeddings", "ann", "onnx", "hub", "corpus", "encoder", "vectors", "similar"],
        typer.Option(
            help="embeddings: encoded users, items with their bias, and other trained nodes. ann: "
            "a search index of the items. onnx: the model that reads histories. hub: upload the "
            "model to the Hugging Face Hub. corpus: the training sequences of a stage. encoder: a "
            "Hugging Face backbone with its words. vectors: input vectors as safetensors. "
            "similar: the similar items of every item."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="A new folder (default: RUN/KIND).")] = None,
    stage: Annotated[
        str | None, typer.Option(help="corpus: name of the stage (default: the first).")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="corpus: number of epochs (default 1).")
    ] = None,
    shard: Annotated[
        int | None, typer.Option(min=1, help="corpus: sequences per file (default 100,000).")
    ] = None,
    raw: Annotated[
        Path | None, typer.Option(help="corpus: folder of raw files. Default: download them.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="corpus: folder for downloaded raw files.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="hub: name of the repository, OWNER/NAME.")
    ] = None,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="hub: visibility of a new repository.")
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Write a run as files for other programs."""
    from graphrec_pt.core.printable import counted
    from graphrec_pt.recipe.folder import open_run

    given: dict[str, Any] = {
        "stage": stage,
        "epochs": epochs,
        "shard": shard,
        "raw": raw,
        "cache": None if cache is None else cache.expanduser(),
        "name": name,
        "private": private,
    }
    options = {option: value for option, value in given.items() if value is not None}
    _check_options(to, options)
    with trusted(trust_code):
        run, out = open_run(folder), out or folder / to
        if to == "hub":
            address = run.model().push_to_hub(options.pop("name"), **options)
            Terminal().print(f"uploaded to {address}", soft_wrap=True)
            return
        files = _exported(to, run, out, options)
    console = Terminal()
    console.print(
        f"{counted(len(files), 'file')} in {files[0].parent}", soft_wrap=True, highlight=False
    )


def add_to(app: typer.Typer) -> None:
    """Make these the commands of an application."""
    commands: tuple[Callable[..., None], ...] = (
        run,
        refit,
        evaluate,
        recommend,
        similar,
        serve,
        tune,
        compare,
        export,
    )
    for command in commands:
        app.command(command.__name__)(command)


def _exported(to: str, run: Any, out: Path, options: dict[str, Any]) -> list[Path]:
    if to == "corpus":
        from graphrec_pt.serve.corpus import export_corpus

        with progress() as tell:
            return export_corpus(run, out, tell=tell, **options)
    if to == "ann":
        from graphrec_pt.serve.index import export_index

        return export_index(run, out)
    if to == "onnx":
        from graphrec_pt.serve.onnx import export_onnx

        return export_onnx(run, out)
    if to == "encoder":
        from graphrec_pt.serve.encoder import export_encoder

        return export_encoder(run, out)
    if to == "similar":
        from graphrec_pt.graph.store import new_folder
        from graphrec_pt.serve.recommender import from_pretrained
        from graphrec_pt.serve.similar import SimilarItems

        table = new_folder(out) / "similar.parquet"
        SimilarItems(from_pretrained(run)).table(table)
        return [table]
    from graphrec_pt.serve.export import export_embeddings, export_vectors

    return export_vectors(run, out) if to == "vectors" else export_embeddings(run, out)


def _check_options(to: str, options: dict[str, Any]) -> None:
    """Raise for options of another kind of export, and for a missing name."""
    for option in options:
        if option not in OPTIONS_OF.get(to, ()):
            owner = next(kind for kind, names in OPTIONS_OF.items() if option in names)
            who, hint = f"export --to {to}", f"--to {owner}"
            raise GraphRecError(who, "no such option", f"--{option}", hint)
    name = options.get("name", "none")
    if to == "hub" and "/" not in name:
        raise GraphRecError("export --to hub", "a name for the model", name, "--name OWNER/NAME")
