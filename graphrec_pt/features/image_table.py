"""Vectors of images and of their regions, written once as a table that cards read."""

import logging
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from struct import error as struct_error
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_file
from graphrec_pt.features.pretrained import load_image_processor, load_model

logger = logging.getLogger(__name__)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, OverflowError, struct_error)
"""Exceptions of image readers for damaged files."""


class Box(NamedTuple):
    """A region of an image, as shares of its width and height from the left and top."""

    left: float
    top: float
    right: float
    bottom: float


def boxes(grid: int) -> list[Box]:
    """Return the whole image, and the cells of a grid row by row.

    Args:
        grid: Cells along each side; 0 for the whole image alone.
    """
    cells = [
        Box(column / grid, row / grid, (column + 1) / grid, (row + 1) / grid)
        for row in range(grid)
        for column in range(grid)
    ]
    return [Box(0.0, 0.0, 1.0, 1.0), *cells]


def region_vectors(features: Tensor, grid: int) -> Tensor:
    """Return the mean features of the whole image and of each cell: ``[b, 1 + grid², F]``.

    Args:
        features: ``[b, F, h, w]``, a map of features.
        grid: Cells along each side; 0 for the whole image alone.
    """
    whole = features.flatten(2).mean(2, keepdim=True)
    if not grid:
        return whole.mT
    cells = adaptive_avg_pool2d(features, grid).flatten(2)
    return torch.cat([whole, cells], dim=2).mT


def write_image_table(
    images: str | Path,
    out: str | Path,
    encoder: str,
    grid: int = 2,
    side: int | None = None,
    batch: int = 32,
) -> int:
    """Encode the images of a folder or zip file, and write their vectors as a Parquet table.

    One row for each image (``region`` 0) and each cell of a grid over it (1, 2, …, row by row), as
    ViLBERT (Lu et al., NeurIPS 2019) takes the whole image as the first region; cells stand in
    place of detected objects. Columns: ``file`` and ``image``, its name with and without suffix;
    ``region``; ``id``, both joined; ``left``, ``top``, ``right``, ``bottom`` and ``area``, shares
    of the image; ``vector``, float32 ``[F]``, the mean of the last features there.

    Args:
        images: Folder or zip file.
        out: The new file, ``.parquet``.
        encoder: Folder or name of a convolutional vision model of Hugging Face.
        grid: Cells along each side; 0 for the whole images alone.
        side: Width and height that images are brought to; by default as the model was trained.
            Smaller ones take less time.
        batch: Images in one pass.

    Returns:
        Number of images.

    Raises:
        GraphRecError: Without images, for a damaged one, and a model without a map of features.
    """
    images, out = Path(images), Path(out)
    if grid < 0 or batch < 1 or (side is not None and side < 1):
        expected = "grid >= 0, batch >= 1 and side >= 1"
        raise GraphRecError("images", expected, f"{grid}, {batch} and {side}")
    if out.exists():
        raise GraphRecError("images", "a new file", str(out))
    processor, model = load_image_processor(encoder), load_model(encoder)
    size = {} if side is None else {"size": {"height": side, "width": side}}
    rows: list[pl.DataFrame] = []
    names: list[str] = []
    pictures: list[Any] = []
    done = 0
    for name, picture in _pictures(images):
        names.append(name)
        pictures.append(picture)
        if len(names) == batch:
            rows.append(_encoded(names, pictures, processor, model, grid, size))
            done += len(names)
            logger.info("%d images", done)
            names, pictures = [], []
    if names:
        rows.append(_encoded(names, pictures, processor, model, grid, size))
        done += len(names)
    if not rows:
        raise GraphRecError("images", f"images in {images}", "none", ", ".join(SUFFIXES))
    with finished_file(out) as made:
        pl.concat(rows).write_parquet(made)
    return done


def _encoded(
    names: list[str],
    pictures: list[Any],
    processor: Any,
    model: Any,
    grid: int,
    size: dict[str, dict[str, int]],
) -> pl.DataFrame:
    pixels = processor(images=pictures, return_tensors="pt", **size)["pixel_values"]
    with torch.inference_mode():
        features = model(pixel_values=pixels).last_hidden_state
    if features.ndim != 4:
        expected = "a convolutional model, which has a map of features"
        raise GraphRecError("images", expected, type(model).__name__, "graphrec convert")
    vectors = region_vectors(features, grid)  # [b, R, F]
    places = boxes(grid)
    many = len(places)
    files = [name for name in names for _ in places]
    regions = list(range(many)) * len(names)
    table = pl.DataFrame({"file": files, "region": regions}).with_columns(
        image=pl.col("file").str.replace(r"\.[^.]*$", "")
    )
    corners = dict(zip(Box._fields, zip(*places * len(names), strict=True), strict=True))
    return table.with_columns(
        id=pl.format("{}#{}", "image", "region"),
        **{side: pl.Series(values) for side, values in corners.items()},
        vector=pl.Series(vectors.flatten(0, 1).float().numpy(), dtype=pl.List(pl.Float32)),
    ).with_columns(area=(pl.col("right") - pl.col("left")) * (pl.col("bottom") - pl.col("top")))


def _pictures(images: Path) -> Iterator[tuple[str, Any]]:
    """Yield the name and content of every image, in the order of names."""
    if images.is_dir():
        for path in sorted(images.iterdir()):
            if path.suffix.lower() in SUFFIXES:
                yield path.name, _opened(path.name, path.read_bytes())
        return
    try:
        with ZipFile(images) as archive:
            for name in sorted(archive.namelist()):
                if name.lower().endswith(SUFFIXES):
                    yield name.rpartition("/")[2], _opened(name, archive.read(name))
    except (OSError, BadZipFile) as error:
        raise GraphRecError("images", "a folder or a zip file", str(images)) from error


def _opened(name: str, content: bytes) -> Any:
    from PIL import Image

    try:
        with Image.open(BytesIO(content)) as image:
            return image.convert("RGB")
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise GraphRecError("images", f"an image in {name}", str(error)) from error
