"""Message passing over the graph as sparse products: receivers are rows, senders are columns."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import Propagator
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.sparse import owners, spmm

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


class Incoming(NamedTuple):
    """A sparse matrix whose row *i* holds the messages that *i* receives."""

    ptr: Tensor  # int64 [M+1]
    column: Tensor  # int32 [E], who sends


class Messages(NamedTuple):
    """The edges of several relations, with one sender for each (relation, source) that has edges.

    The message of a source under a relation is computed once for all its targets. Senders ascend
    by (relation, source).
    """

    incoming: Incoming  # [N, M]
    relation: Tensor  # int64 [E], index of each edge's relation in `names`
    node: Tensor  # int32 [M], source of each sender
    sizes: list[int]  # senders of each relation


def incoming(target: Tensor, sender: Tensor, rows: int) -> tuple[Incoming, Tensor]:
    """Return edges by rising target, and the former place of each: int64 ``[E]``.

    Args:
        target: int64 ``[E]``, below `rows`.
        sender: int64 ``[E]``.
        rows: Number of possible targets.
    """
    order = torch.sort(target, stable=True).indices
    ptr = target.new_zeros(rows + 1)
    torch.cumsum(torch.bincount(target, minlength=rows), 0, out=ptr[1:])
    return Incoming(ptr, sender[order].int()), order


def messages(graph: Graph, names: Sequence[str]) -> Messages:
    """Return the edges of relations; messages travel from their sources to their targets."""
    targets, senders, places, nodes = [], [], [], []
    sizes: list[int] = []
    for place, name in enumerate(names):
        edges = graph.edges(name)  # by rising source
        node, local = torch.unique_consecutive(edges.source, return_inverse=True)
        targets.append(edges.target)
        senders.append(local + sum(sizes))
        places.append(torch.full_like(local, place))
        nodes.append(node)
        sizes.append(len(node))
    matrix, order = incoming(torch.cat(targets), torch.cat(senders), graph.num_nodes())
    return Messages(matrix, torch.cat(places)[order], torch.cat(nodes).int(), sizes)


def counts(edges: Messages) -> Tensor:
    """Return how many edges of its own relation each edge's target receives: int64 ``[E]``."""
    target = owners(edges.incoming.ptr, len(edges.relation))
    slot = target * len(edges.sizes) + edges.relation
    _, place, count = torch.unique(slot, return_inverse=True, return_counts=True)
    received: Tensor = count[place]
    return received


def by_head(edges: Incoming, heads: int) -> Incoming:
    """Return the matrix in which every head of a node is a node of its own.

    Head *h* of node *n* is row (column) ``n · H + h``, as in ``x.view(N · H, C)`` for vectors
    ``[N, H · C]``.
    """
    degree = edges.ptr.diff().repeat_interleave(heads)  # [M · H]
    ptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    row = owners(ptr, len(edges.column) * heads)  # [E · H]
    entry = torch.arange(len(row)) - ptr[row] + edges.ptr[row // heads]
    return Incoming(ptr, (edges.column[entry] * heads + row % heads).int())


class RelationalNetwork(GraphNetwork):
    """A network that maps the vectors of each relation's sources before it sends them.

    Args:
        who: Registered name, for errors.
        spec: Of the graph.
        width: D.
        relations: Names; None for all.
    """

    ptr: Tensor
    column: Tensor
    each: Tensor
    node: Tensor

    def __init__(self, who: str, spec: GraphSpec, width: int, relations: list[str] | None) -> None:
        super().__init__(who, spec, width)
        self.relations = chosen(who, spec, relations)
        self.sizes: list[int] = []

    def keep_messages(self, messages: Messages, edges: Incoming) -> None:
        """Keep the senders, and edges from them."""
        each = torch.arange(len(messages.node) + 1)
        self.keep(ptr=edges.ptr, column=edges.column, each=each, node=messages.node)
        self.sizes = messages.sizes

    def sent(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the vectors of each relation's sources: ``[M_r, D]`` each, for ``[N, D]``."""
        # A product with one entry per row, so that the backward pass is a sparse product as well.
        return spmm(self.each, self.node, None, x).split_with_sizes(self.sizes)
