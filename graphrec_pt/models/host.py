"""Base classes of models and prompt encoders, as prompts and adaptors see them."""

from typing import ClassVar

import polars as pl
from torch import Tensor, nn

from graphrec_pt.features.node_features import NodeFeatures
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.prompt import PromptStates
from graphrec_pt.models.view import View


class Host(nn.Module):
    """Base class of the model.

    Attributes:
        spec: Spec of the graph that the model is for.
        features: Features of its nodes.
        backbone: From vectors of tokens to hidden states.
        prompt: The prompt encoder; None where the model has no prompt.
    """

    spec: GraphSpec
    features: NodeFeatures
    backbone: nn.Module
    prompt: "PromptEncoder | None"

    @property
    def width(self) -> int:
        """D."""
        return self.features.width

    def nodes(self, nodes: Tensor) -> Tensor:
        """Return the vectors of nodes by global id, as they go in: ``[n, D]``."""
        vectors: Tensor = self.features(nodes)
        return vectors

    def table(self, node_type: str) -> Tensor:
        """Return the vectors of all nodes of a type: ``[V, D]``."""
        return self.features.table(node_type)


class PromptEncoder(nn.Module):
    """Base class of networks that make the prompt of a batch; kept as ``model.prompt``."""

    reads: ClassVar[bool] = False
    """Whether the prompt encoder needs a graph."""

    def attach_graph(self, graph: Graph) -> None:
        """Read the needed parts of a graph; called before the first pass and per new graph."""

    def row_names(self) -> dict[str, pl.Series]:
        """Return names for the rows of weights, by weight; see ``Feature.row_names``."""
        return {}

    def forward(self, view: View, model: Host) -> PromptStates:
        """Return the prompt of the sequences of a view.

        Args:
            view: B sequences.
            model: Has the vectors of nodes: ``model.nodes(ids)``.
        """
        raise TypeError(f"{type(self).__name__} has no forward")
