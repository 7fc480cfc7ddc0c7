"""The base class of networks over a whole graph: its edge arrays, and checks of vectors."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.propagation import Propagator
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec

Activation = Literal["none", "relu", "elu", "gelu", "tanh"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "elu": nn.functional.elu,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
}


class GraphNetwork(Propagator):
    """A propagator that members complete with :meth:`read` and :meth:`mix`.

    Args:
        who: Registered name, for errors.
        spec: Of the graph.
        width: D.
    """

    def __init__(self, who: str, spec: GraphSpec, width: int) -> None:
        super().__init__()
        self.who, self.shape = who, (spec.num_nodes, width)
        self.bound = False
        # Gives the module a device also when there are no weights.
        self.register_buffer("anchor", torch.zeros(0), persistent=False)

    def attach_graph(self, graph: Graph) -> None:
        """Read the edges that messages travel on.

        Raises:
            GraphRecError: When the graph has another number of nodes or lacks a relation.
        """
        if graph.num_nodes() != self.shape[0]:
            raise GraphRecError(self.who, f"a graph of {self.shape[0]} nodes", graph.num_nodes())
        self.read(graph)
        self.bound = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors of all nodes after propagation, in full precision.

        Args:
            x: ``[N, D]``, in the order of global ids.

        Returns:
            ``[N, D]``.

        Raises:
            GraphRecError: Before :meth:`attach_graph`, and for another shape.
        """
        if not self.bound:
            hint = "attach_graph(graph) first"
            raise GraphRecError(self.who, "the edges of a graph", "none", hint)
        if tuple(x.shape) != self.shape:
            raise GraphRecError(self.who, f"vectors {list(self.shape)}", list(x.shape))
        # Sparse products have no half-precision body.
        with torch.autocast(x.device.type, enabled=False):
            return self.mix(x if x.dtype == torch.float64 else x.float())

    def read(self, graph: Graph) -> None:
        """Keep the edge arrays that :meth:`mix` needs."""
        raise TypeError(f"{type(self).__name__} has no read")

    def mix(self, x: Tensor) -> Tensor:
        """Return ``[N, D]`` for ``[N, D]``."""
        raise TypeError(f"{type(self).__name__} has no mix")

    def keep(self, **arrays: Tensor) -> None:
        """Keep arrays beside the weights: they move with the module and are not saved."""
        anchor = self.get_buffer("anchor")
        for name, array in arrays.items():
            kind = anchor.dtype if array.is_floating_point() else array.dtype
            self.register_buffer(name, array.to(anchor.device, kind), persistent=False)


def chosen(who: str, spec: GraphSpec, names: Sequence[str] | None) -> list[str]:
    """Return the given relation names, each once; all of the graph's for None.

    Raises:
        GraphRecError: For an unknown name, and when there are no relations.
    """
    relations = list(spec.relation_names if names is None else dict.fromkeys(names))
    for name in relations:
        spec.relation_index(name)
    if not relations:
        hint = "one of " + ", ".join(spec.relation_names) if spec.relations else ""
        raise GraphRecError(who, "at least one relation", "none", hint)
    return relations


def activate(x: Tensor, activation: Activation) -> Tensor:
    """Return the activation of every number."""
    return x if activation == "none" else _ACTIVATIONS[activation](x)


def glorot(weight: Tensor, draw: torch.Generator) -> None:
    """Fill matrices ``[..., F, D]`` uniformly within ``±√(6 / (F + D))``.

    Glorot and Bengio, AISTATS 2010.
    """
    bound = (6 / (weight.shape[-2] + weight.shape[-1])) ** 0.5
    weight.uniform_(-bound, bound, generator=draw)
