"""``graphrec distil``: a sentence encoder becomes a table of word vectors."""

from pathlib import Path
from typing import Annotated

import typer

from graphrec_pt.cli.printing import Terminal


def distil(
    encoder: Annotated[str, typer.Argument(help="Folder or name of a sentence encoder.")],
    folder: Annotated[Path, typer.Argument(help="New folder of the table and its tokenizer.")],
    width: Annotated[int, typer.Option(min=1, help="Length of the vectors.")] = 256,
    download: Annotated[bool, typer.Option(help="Fetch an encoder that is not here.")] = False,
) -> None:
    """Write vectors of all words of a sentence encoder, for the featurizer `static_vectors`."""
    from graphrec_pt.features.static_vectors import distil_words

    made = distil_words(encoder, folder, width=width, download=download)
    Terminal().print(f"{made} is ready: {{name: static_vectors, folder: {made}}}", soft_wrap=True)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("distil")(distil)
