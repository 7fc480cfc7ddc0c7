"""The base class of features that run a pre-trained encoder, frozen or trained.

A frozen encoder runs once, when a graph is attached; a trained one runs in every pass, unless
vectors of earlier passes are taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.features.pretrained import (
    digest,
    fingerprint,
    keep_first_layers,
    kept,
    load_model,
    train_last_layers,
)
from graphrec_pt.features.refresh import OfStep, Recent, Refresh
from graphrec_pt.features.vector import GivenFeature, Map
from graphrec_pt.graph.graph import Graph

Train = Literal["frozen", "all"] | Annotated[int, Field(ge=0)]
"""Frozen: encoded once when a graph is attached. A number: that many last layers train."""


@dataclass(frozen=True)
class EncoderUse:
    """The source of an encoder and its use: training, pooling scale, map and cache.

    Args:
        source: Folder, name or object of the encoder.
        train: Which of its layers train.
        map: Kind of the map from its width to that of the model.
        unit: Whether its vectors are scaled to length 1.
        cache: Folder for the vectors of a frozen encoder, or None.
        download: Whether it may be downloaded.
        layers: Its first layers that are used; all by default.
        refresh: When vectors of earlier steps stand for nodes; never by default.
        accumulate: Whether the gradients of a node's vector are added up over the passes of a step.
    """

    source: str | nn.Module
    train: Train
    map: Map
    unit: bool
    cache: str | Path | None
    download: bool
    layers: int | None = None
    refresh: Refresh | None = None
    accumulate: bool = False


class EncodedFeature(GivenFeature):
    """Vectors of nodes from an encoder.

    A frozen encoder is not part of the weights: it encodes every node when a graph is attached and
    is released. A trained encoder is: it encodes the distinct nodes of a batch in each pass.

    Args:
        encoding: The encoder and its use.
        inputs: F, the width of its vectors.
        width: D.
        count: Number of nodes of the type, where vectors of earlier steps are kept.
    """

    def __init__(self, encoding: EncoderUse, inputs: int, width: int, count: int = 0) -> None:
        super().__init__(inputs, width, encoding.map, encoding.unit)
        self.encoding = encoding
        self.encoder: nn.Module | None = None
        self._encoded = ""  # digest of what `given` was made from
        self.recent = None if encoding.refresh is None else Recent(encoding.refresh, count, inputs)
        self._step: int | None = None  # the optimiser step that passes belong to
        self._of_step: OfStep | None = None

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
        model = load_model(self.encoding.source, download=self.encoding.download)
        if self.encoding.layers is not None:
            keep_first_layers(model, self.encoding.layers)
        return model

    def row_names(self, raw_ids: pl.Series) -> dict[str, pl.Series]:
        """Return the nodes of the vectors of earlier steps."""
        if self.recent is None:
            return {}
        return {"recent.vector": raw_ids, "recent.made": raw_ids}

    def begin_step(self, step: int) -> None:
        """Begin an optimiser step; the first one of a stage begins without vectors."""
        if self.encoder is None:
            return
        self._step = step
        self._of_step = OfStep(len(self.absent)) if self.encoding.accumulate else None
        if self.recent is not None and step == 0:
            self.recent.forget()

    def finish_step(self) -> None:
        """Give the gradients that were added up to the encoder."""
        if self._of_step is not None:
            self._of_step.backward()
        self._step = self._of_step = None

    def read(self, graph: Graph) -> Tensor:
        """Read the inputs of the encoder, and return which nodes have none: bool ``[n]``."""
        raise TypeError(f"{type(self).__name__} has no read")

    def content(self) -> str:
        """Return a digest of the inputs and of the options that affect their encoding."""
        raise TypeError(f"{type(self).__name__} has no content")

    def encode(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        """Return ``[n, F]`` for nodes that have an input."""
        raise TypeError(f"{type(self).__name__} has no encode")

    def attach_graph(self, graph: Graph) -> None:
        """Read the inputs; encode them if the encoder is frozen.

        The cache key is the digest of the encoded content instead of the graph's fingerprint: the
        views of a split have different fingerprints and the same texts.
        """
        self.absent = self.read(graph).to(self.device)
        if self.encoder is not None or self._encoded == (content := self.content()):
            return
        encoder = self.load().to(self.device)
        every = torch.arange(len(self.absent), device=self.device)
        with torch.no_grad():
            key = digest(content, fingerprint(encoder))
            encoded = kept(self.encoding.cache, key, lambda: self._filled(encoder, every))
        self.given, self._encoded = self.placed(encoded), content

    def look(self, nodes: Tensor) -> Tensor:
        """Return the vectors of nodes: ``[n, F]``, 0 for nodes without an input."""
        if self.encoder is None:
            return self.given[nodes]
        different, which = torch.unique(nodes, return_inverse=True)
        return self._of_different(self.encoder, different)[which]

    def _of_different(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        """Return the vectors of different nodes, those of earlier steps where they are taken."""
        step = self._step
        if not self.training or step is None or not torch.is_grad_enabled():
            return self._filled(encoder, nodes)
        if self.recent is None:
            return self._made(encoder, nodes)
        taken = self.recent.taken(nodes, step)
        old, new = taken.nonzero().squeeze(1), (~taken).nonzero().squeeze(1)
        out = self.placed(torch.zeros(len(nodes), self.inputs))
        if len(old):
            out = out.index_copy(0, old, self.placed(self.recent.vector[nodes[old]]))
        if len(new):
            vectors = self._made(encoder, nodes[new])
            self.recent.keep(nodes[new], vectors, step)
            out = out.index_copy(0, new, vectors)
        return out

    def _made(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        """Return the encoded vectors of different nodes, each encoded once a step if they wait."""
        if self._of_step is None:
            return self._filled(encoder, nodes)
        missing = self._of_step.missing(nodes)
        if len(missing):
            self._of_step.add(missing, self._filled(encoder, missing))
        return self._of_step.vectors(nodes)

    def _filled(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        out = self.placed(torch.zeros(len(nodes), self.inputs))
        there = (~self.absent[nodes]).nonzero().squeeze(1)
        if not len(there):
            return out
        return out.index_copy(0, there, self.encode(encoder, nodes[there]).to(out.dtype))


def batches(length: Tensor, room: int) -> Iterator[Tensor]:
    """Yield rows, the longest first, in batches of at most `room` cells, padding included.

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
