"""LightGCN: the mean of what a node and its neighbourhoods of every size look like."""

from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.gnn.network import GraphNetwork, chosen
from graphrec_pt.features.gnn.symmetric import Adjacency, normalised, polynomial, undirected
from graphrec_pt.features.propagation import propagation
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline


@propagation("lightgcn")
class LightGCN:
    """``Σ_k a_k Â^k x`` with ``Â = D^{-1/2} A D^{-1/2}`` (He et al., SIGIR 2020).

    A holds every edge of the chosen relations in both directions; a relation and its inverse are
    the same edges and count once. There are no weights to learn.

    Args:
        layers: K.
        layer_weights: a, one more than layers; ``1 / (K + 1)`` each by default.
        relations: Names; all by default.
        weighted: Whether an edge counts as its weight.
    """

    layers: int = Field(2, ge=1)
    layer_weights: list[float] | None = None
    relations: list[str] | None = None
    weighted: bool = False

    def __post_init__(self) -> None:
        if self.layer_weights is not None and len(self.layer_weights) != self.layers + 1:
            expected = f"layer_weights for x and {self.layers} layers, {self.layers + 1} numbers"
            raise GraphRecError("lightgcn", expected, len(self.layer_weights))

    def build(self, outline: Outline, width: int) -> "LightGCNPropagator":
        """Return the network."""
        return LightGCNPropagator(self, outline, width)


class LightGCNPropagator(GraphNetwork):
    """The network of :class:`LightGCN`.

    Args:
        config: Its options.
        outline: Of the graph.
        width: D.
    """

    ptr: Tensor
    indices: Tensor
    values: Tensor

    def __init__(self, config: LightGCN, outline: Outline, width: int) -> None:
        super().__init__("lightgcn", outline, width)
        self.relations = undirected(outline, chosen("lightgcn", outline, config.relations))
        self.weighted = config.weighted
        even = [1 / (config.layers + 1)] * (config.layers + 1)
        self.coefficients = even if config.layer_weights is None else config.layer_weights

    def read(self, graph: Graph) -> None:
        """Keep Â."""
        every = range(graph.num_nodes())
        found = normalised(self.who, graph, self.relations, every, weighted=self.weighted, lone=0.0)
        self.keep(**found._asdict())

    def mix(self, x: Tensor) -> Tensor:
        """Return the weighted sum of all layers: ``[N, D]``."""
        return polynomial(Adjacency(self.ptr, self.indices, self.values), self.coefficients, x)
