"""``graphrec export``: what a run made, for other programs."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from graphrec_pt.cli.printing import Terminal, progress
from graphrec_pt.cli.trust import TrustCode, trusted
from graphrec_pt.core.errors import GraphRecError

FOR = {"corpus": ("stage", "epochs", "shard", "raw", "cache"), "hub": ("name", "private")}
"""Options that only one sort of export has."""


def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    to: Annotated[
        Literal["embeddings", "ann", "onnx", "hub", "corpus"],
        typer.Option(
            help="Vectors of nodes; an index of items for search (usearch); a model of histories "
            "as an ONNX file; the model on the Hugging Face Hub; the sequences that a stage "
            "learns from."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="A new folder (default RUN/TO).")] = None,
    stage: Annotated[
        str | None, typer.Option(help="corpus: name of the stage (default the first one).")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="corpus: how many (default 1).")] = None,
    shard: Annotated[
        int | None, typer.Option(min=1, help="corpus: sequences of a file (default 100,000).")
    ] = None,
    raw: Annotated[
        Path | None, typer.Option(help="corpus: raw files; without it they are downloaded.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="corpus: where downloaded raw files are kept.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="hub: OWNER/NAME.")] = None,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="hub: who sees a new repository.")
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Write what a run made to files for other programs."""
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
    _check(to, options)
    with trusted(trust_code):
        run, out = open_run(folder), out or folder / to
        if to == "hub":
            address = run.model().push_to_hub(options.pop("name"), **options)
            Terminal().print(f"uploaded to {address}", soft_wrap=True)
            return
        files = _written(to, run, out, options)
    console = Terminal()
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    console.print(f"{count} in {files[0].parent}", soft_wrap=True, highlight=False)


def _written(to: str, run: Any, out: Path, options: dict[str, Any]) -> list[Path]:
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
    from graphrec_pt.serve.export import export_embeddings

    return export_embeddings(run, out)


def _check(to: str, options: dict[str, Any]) -> None:
    """Raise for options that another sort of export has, and a missing one."""
    for option in options:
        if option not in FOR.get(to, ()):
            owner = next(kind for kind, names in FOR.items() if option in names)
            who, hint = f"export --to {to}", f"--to {owner}"
            raise GraphRecError(who, "no such option", f"--{option}", hint)
    name = options.get("name", "none")
    if to == "hub" and "/" not in name:
        raise GraphRecError("export --to hub", "a name for the model", name, "--name OWNER/NAME")
