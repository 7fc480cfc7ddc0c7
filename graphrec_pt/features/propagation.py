"""The propagation family: graph neural networks that mix the vectors of all nodes."""

from typing import Annotated, Protocol

import polars as pl
from torch import Tensor, nn

from graphrec_pt.core.registry import Registry
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec


class Propagator(nn.Module):
    """What a propagation builds; see :class:`~graphrec_pt.features.featurizer.Feature`."""

    def attach_graph(self, graph: Graph) -> None:
        """Read the edges that messages travel on into buffers that are not saved."""

    def row_names(self) -> dict[str, pl.Series]:
        """Return what rows of weights stand for, e.g. relations, by name of the weight."""
        return {}

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors of all nodes after propagation: ``[N, D]`` for ``[N, D]``."""
        raise TypeError(f"{type(self).__name__} has no forward")


class Propagation(Protocol):
    """A frozen config of a graph neural network over the whole graph."""

    def build(self, spec: GraphSpec, width: int) -> Propagator:
        """Return a module from ``[N, D]`` to ``[N, D]``; runs on the meta device.

        Args:
            spec: Of the graph.
            width: D.

        Raises:
            GraphRecError: For relations that the graph does not have.
        """
        ...


propagation: Registry[Propagation] = Registry("propagation")
"""``@propagation("name")`` makes a class usable as a propagation."""

PropagationField = Annotated[Propagation, propagation]
"""Type of a config field that holds a graph network over all nodes."""
