"""Images of nodes through a Hugging Face vision model."""

from pathlib import Path
from struct import error as struct_error
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.columns import one_column_of, read_column
from graphrec_pt.features.encoded import EncodedFeature, EncoderUse, Train
from graphrec_pt.features.featurizer import Feature, featurizer
from graphrec_pt.features.pretrained import (
    EncoderField,
    ProcessorField,
    digest,
    load_config,
    load_image_processor,
)
from graphrec_pt.features.vector import Map
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec


@featurizer("image")
class Image:
    """The vector of an image file from a vision model, or a precomputed vector.

    Args:
        encoder: Folder or name of a Hugging Face vision model (of a model of images and texts such
            as CLIP the vision half is used), or a model, which is copied. None to read a vector
            column instead, as the featurizer ``vector`` does.
        processor: Image processor; by default the one in the folder of the encoder.
        column: Text column of file names, or vector column; by default the only one.
        folder: Folder of relative file names; the working directory by default.
        train: ``"frozen"`` (encoded once per graph), ``"all"``, or the number of last
            layers that train. Unless it is frozen, files are read in each pass.
        pooling: ``"mean"`` of all patches, or the state of the class token (``"cls"``).
        unit: Scale the vectors to length 1.
        map: To the width D; see :func:`~graphrec_pt.features.vector.projection`.
        batch: Images per pass of the encoder.
        cache: Folder where vectors of a frozen encoder are kept.
        download: Allow Hugging Face to download a model that is not in the cache.
    """

    encoder: EncoderField | None = None
    processor: ProcessorField | None = None
    column: str | None = None
    folder: Path | None = None
    train: Train = "frozen"
    pooling: Literal["mean", "cls"] = "mean"
    unit: bool = False
    map: Map = "linear"
    batch: int = Field(32, ge=1)
    cache: Path | None = None
    download: bool = False

    def __post_init__(self) -> None:
        if self.encoder is None:
            return
        if self.processor is None and not isinstance(self.encoder, str):
            raise GraphRecError("image", "the processor of an encoder given as object", "none")

    def build(self, spec: GraphSpec, node_type: str, width: int) -> Feature:
        """Return the feature; sizes come from the config of the encoder."""
        if self.encoder is None:
            given = {"column": self.column, "map": self.map, "unit": self.unit}
            return featurizer.build({"name": "vector", **given}).build(spec, node_type, width)
        column = one_column_of(spec, node_type, ["text"], self.column, "image")
        config = load_config(self.encoder, download=self.download)
        config = getattr(config, "vision_config", config)
        inputs = getattr(config, "hidden_size", None) or config.hidden_sizes[-1]
        processor = self.encoder if self.processor is None else self.processor
        if isinstance(processor, str):
            processor = load_image_processor(processor, download=self.download)
        return ImageFeature(self, self.encoder, node_type, column, processor, inputs, width)


class ImageFeature(EncodedFeature):
    """File names of the images of nodes, with their encoder.

    Args:
        config: Its options.
        encoder: Encoder of the images.
        node_type: Type of its nodes.
        column: Column of the file names.
        processor: From images to pixels.
        inputs: F, width of the states of the encoder.
        width: D.
    """

    def __init__(
        self,
        config: Image,
        encoder: str | nn.Module,
        node_type: str,
        column: str,
        processor: Any,
        inputs: int,
        width: int,
    ) -> None:
        encoding = EncoderUse(
            encoder, config.train, config.map, config.unit, config.cache, config.download
        )
        super().__init__(encoding, inputs, width)
        self.config, self.node_type, self.column = config, node_type, column
        self.processor = processor
        self.files: list[Path | None] = []

    def load(self) -> Any:
        """Return the encoder; for a model of images and texts its vision half."""
        model = super().load()
        return getattr(model, "vision_model", model)

    def read(self, graph: Graph) -> Tensor:
        """Read the file names.

        Raises:
            GraphRecError: When files are missing.
        """
        names = read_column(graph, self.node_type, self.column, "image").to_list()
        folder = self.config.folder or Path()
        self.files = [folder / name if name else None for name in names]
        out = [name for name in names if name and _leads_out(name)] if self.config.folder else []
        if out:
            raise GraphRecError("image", f"names of files inside {folder}", repr(out[0]))
        gone = [str(file) for file in self.files if file is not None and not file.is_file()]
        if gone:
            got = f"{len(gone)} that are not there, such as {gone[0]}"
            raise GraphRecError("image", f"image files in {self.column!r}", got, "folder: …")
        return torch.tensor([file is None for file in self.files], dtype=torch.bool)

    def content(self) -> str:
        """Return a digest of the files and of the options that affect their encoding."""
        files = (b"" if file is None else file.read_bytes() for file in self.files)
        settings = getattr(self.processor, "to_json_string", lambda: repr(self.processor))()
        return digest(settings, self.config.pooling, *files)

    def encode(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        """Return ``[n, F]``."""
        pooled = []
        every = nodes.tolist()
        for first in range(0, len(every), self.config.batch):
            images = [self._opened(node) for node in every[first : first + self.config.batch]]
            pixels = self.processor(images=images, return_tensors="pt")["pixel_values"]
            states = encoder(pixel_values=pixels.to(self.device)).last_hidden_state
            if states.ndim == 4:  # a map of features [b, F, h, w]
                states = states.flatten(2).mT
            pooled.append(states[:, 0] if self.config.pooling == "cls" else states.mean(1))
        return torch.cat(pooled)

    def _opened(self, node: int) -> Any:
        from PIL import Image as Pillow

        if not self.files:  # a saved model holds no images
            raise GraphRecError("image", "a graph to read", "none", "model.attach_graph(graph)")
        file = self.files[node]
        try:
            with Pillow.open(str(file)) as image:
                return image.convert("RGB")
        except (*_DAMAGED, Pillow.DecompressionBombError) as error:
            raise GraphRecError("image", f"an image in {file}", error) from error


_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, OverflowError, struct_error)
"""Exceptions of image readers for damaged files."""


def _leads_out(name: str) -> bool:
    """Return whether a relative file name leads out of its folder."""
    return Path(name).is_absolute() or ".." in Path(name).parts
