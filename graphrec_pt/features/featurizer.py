"""The families of featurizers (nodes of one type → vectors) and of propagations over the graph."""

from collections.abc import Callable
from typing import Annotated, Protocol

import polars as pl
from torch import Tensor, nn

from graphrec_pt.core.registry import Registry
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec

Vectors = Callable[[Tensor], Tensor]
"""From global node ids ``[n]`` to their vectors ``[n, D]``."""


class Feature(nn.Module):
    """The module that a featurizer builds: it maps nodes of one type to vectors.

    Weights are parameters. Data of the attached graph lie in buffers that are not saved
    (``persistent=False``), so that the same weights can be attached to another graph.
    """

    def attach_graph(self, graph: Graph) -> None:
        """Read the data of a graph; called before the first pass and for each new graph."""

    def begin_step(self, step: int) -> None:
        """Begin an optimiser step; called by the trainer before the first pass of the step.

        Args:
            step: Steps of the stage before it.
        """

    def finish_step(self) -> None:
        """End the passes of an optimiser step, before the gradient is clipped and applied."""

    def row_names(self, raw_ids: pl.Series) -> dict[str, pl.Series]:
        """Return for some weights the names of their rows, as distinct texts.

        When weights move to another graph, these rows are matched by name; all other weights are
        copied.

        Args:
            raw_ids: Raw ids of the nodes of the type, in the order of their numbers.
        """
        return {}

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return the vectors of nodes.

        Args:
            nodes: int64 ``[n]``, numbered inside their type.
            vectors: Returns vectors of other nodes by global id, computed without the features
                that call it.

        Returns:
            ``[n, D]``.
        """
        raise TypeError(f"{type(self).__name__} has no forward")


class Featurizer(Protocol):
    """The base class of featurizers: frozen configs that a recipe can name.

    Example:
        >>> class OneVector(Feature):
        ...     def __init__(self, width: int) -> None:
        ...         super().__init__()
        ...         self.vector = nn.Parameter(torch.ones(width))
        ...     def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        ...         return self.vector.expand(len(nodes), -1)  # [n, D]
        >>> @featurizer("one_vector")
        ... class OneVectorForAll:
        ...     def build(self, spec: GraphSpec, node_type: str, width: int) -> Feature:
        ...         return OneVector(width)
        >>> model = Model.of(graph, features={"by_type": {"item": ["one_vector"]}})
    """

    def build(self, spec: GraphSpec, node_type: str, width: int) -> Feature:
        """Return a module whose weights are filled by :func:`~graphrec_pt.features.seeded.seeded`.

        Runs on the meta device: it may read sizes and must not compute values.

        Args:
            spec: Spec of the graph.
            node_type: Type of the nodes.
            width: D.

        Raises:
            GraphRecError: When the node type lacks the columns or relations that the feature reads.
        """
        ...


featurizer: Registry[Featurizer] = Registry("featurizer")
"""``@featurizer("name")`` makes a class usable as a featurizer."""

FeaturizerField = Annotated[Featurizer, featurizer]
"""Type of a config field that holds a featurizer."""


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
    """A frozen config of a graph neural network over the whole graph.

    Example:
        >>> class Halves(Propagator):
        ...     def forward(self, x: Tensor) -> Tensor:
        ...         return x / 2  # [N, D]
        >>> @propagation("halves")
        ... class HalvesConfig:
        ...     def build(self, spec: GraphSpec, width: int) -> Propagator:
        ...         return Halves()
        >>> model = Model.of(graph, features={"propagation": "halves"})
    """

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
