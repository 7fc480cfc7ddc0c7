"""What features made by a given encoder share: when it runs, and whether it trains."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.features.cache import digest, kept
from graphrec_pt.features.pretrained import fingerprint, load_model, train_last_layers
from graphrec_pt.features.projection import Map
from graphrec_pt.features.vector import GivenFeature
from graphrec_pt.graph.graph import Graph

Train = Literal["frozen", "all"] | Annotated[int, Field(ge=0)]
"""Frozen: encoded once when a graph is bound. A number: that many last layers train."""


@dataclass(frozen=True)
class EncoderUse:
    """How an encoder is had and used.

    Args:
        source: Folder, name or object of the encoder.
        train: What of it trains.
        map: From its width to that of the model.
        unit: Whether its vectors are put on the unit sphere.
        cache: Folder for the vectors of a frozen encoder, or None.
        download: Whether it may be fetched.
    """

    source: str | nn.Module
    train: Train
    map: Map
    unit: bool
    cache: str | Path | None
    download: bool


class EncodedFeature(GivenFeature):
    """Nodes put through an encoder.

    A frozen encoder is no part of the weights: it encodes every node when a graph is bound, and
    goes. Any other is: it encodes the different nodes of a batch in each pass.

    Args:
        encoding: How the encoder is had and used.
        inputs: F, the width of its vectors.
        width: D.
    """

    def __init__(self, encoding: EncoderUse, inputs: int, width: int) -> None:
        super().__init__(inputs, width, encoding.map, encoding.unit)
        self.encoding = encoding
        self.encoder: nn.Module | None = None
        self._encoded = ""  # digest of what `given` was made from

    def initialise(self, draw: torch.Generator) -> None:
        """Load the weights of an encoder that is run in each pass."""
        train = self.encoding.train
        if train != "frozen":
            self.encoder = self.load()
            self.encoder.requires_grad_(True)
            if train != "all":
                train_last_layers(self.encoder, train)

    def load(self) -> Any:
        """Return the encoder."""
        return load_model(self.encoding.source, download=self.encoding.download)

    def read(self, graph: Graph) -> Tensor:
        """Read what is to be encoded, and return which nodes have nothing: bool ``[n]``."""
        raise TypeError(f"{type(self).__name__} has no read")

    def content(self) -> str:
        """Return a digest of what was read and of how it is put to the encoder."""
        raise TypeError(f"{type(self).__name__} has no content")

    def encode(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        """Return ``[n, F]`` for nodes that have something to be encoded."""
        raise TypeError(f"{type(self).__name__} has no encode")

    def attach_graph(self, graph: Graph) -> None:
        """Read what is to be encoded; encode it if the encoder is frozen.

        On disk the vectors go by the content that was encoded, not by the graph: the views of a
        split have fingerprints of their own and the same texts.
        """
        self.absent = self.read(graph).to(self.device)
        if self.encoder is not None or self._encoded == (content := self.content()):
            return
        encoder = self.load().to(self.device)
        every = torch.arange(len(self.absent), device=self.device)
        with torch.no_grad():
            key = digest(content, fingerprint(encoder))
            found = kept(self.encoding.cache, key, lambda: self._filled(encoder, every))
        self.given, self._encoded = self.placed(found), content

    def look(self, nodes: Tensor) -> Tensor:
        """Return the vectors of nodes: ``[n, F]``, 0 where there is none."""
        if self.encoder is None:
            return self.given[nodes]
        different, which = torch.unique(nodes, return_inverse=True)
        return self._filled(self.encoder, different)[which]

    def _filled(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        out = self.placed(torch.zeros(len(nodes), self.inputs))
        there = (~self.absent[nodes]).nonzero().squeeze(1)
        if not len(there):
            return out
        return out.index_copy(0, there, self.encode(encoder, nodes[there]).to(out.dtype))


def batches(length: Tensor, room: int) -> Iterator[Tensor]:
    """Yield rows, the longest first, in batches of at most so many cells with padding.

    Args:
        length: int64 ``[n]`` on any device.
        room: Cells of a batch; a longer row makes one of its own.
    """
    length, order = length.sort(descending=True, stable=True)
    lengths, first = length.tolist(), 0
    while first < len(lengths):
        size = max(room // max(lengths[first], 1), 1)
        yield order[first : first + size]
        first += size
