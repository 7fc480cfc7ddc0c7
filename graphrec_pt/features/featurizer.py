"""The featurizer family: configs that build modules from nodes of one type to vectors."""

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
    """What a featurizer builds: vectors of the nodes of one type.

    Weights are parameters; what is read off a graph is kept in buffers that are not saved
    (``persistent=False``), so that the same weights serve another graph.
    """

    def attach_graph(self, graph: Graph) -> None:
        """Read what is needed of a graph; called before the first pass and for each new graph."""

    def row_names(self, raw_ids: pl.Series) -> dict[str, pl.Series]:
        """Return what rows of weights stand for, by name of the weight, as different texts.

        On another graph such rows go to those of the same name; all other weights go as they are.

        Args:
            raw_ids: Of the nodes of the type, in the order of their numbers.
        """
        return {}

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return the vectors of nodes.

        Args:
            nodes: int64 ``[n]``, numbered inside their type.
            vectors: Looks up other nodes by global id; what it returns does not depend on
                features that use it.

        Returns:
            ``[n, D]``.
        """
        raise TypeError(f"{type(self).__name__} has no forward")


class Featurizer(Protocol):
    """A frozen config of a feature, so that it can be named in a recipe."""

    def build(self, spec: GraphSpec, node_type: str, width: int) -> Feature:
        """Return a module whose weights are filled by :func:`~graphrec_pt.features.seeded.seeded`.

        Runs on the meta device: it may look at sizes, not compute values.

        Args:
            spec: Of the graph.
            node_type: Whose nodes are to be featurized.
            width: D.

        Raises:
            GraphRecError: When nodes of the type have nothing that the feature could read.
        """
        ...


featurizer: Registry[Featurizer] = Registry("featurizer")
"""``@featurizer("name")`` makes a class usable as a featurizer."""

FeaturizerField = Annotated[Featurizer, featurizer]
"""Type of a config field that holds a featurizer."""
