"""Propagation by a symmetrically normalised adjacency matrix: LightGCN, and item transitions."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.features.featurizer import propagation
from graphrec_pt.features.gnn.messages import GraphNetwork, chosen
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.dispatch import body


class Adjacency(NamedTuple):
    """A symmetric matrix ``[n, n]`` in CSR form."""

    ptr: Tensor  # int64 [n+1]
    indices: Tensor  # int32 [nnz]
    values: Tensor  # float32 [nnz]


def undirected(spec: GraphSpec, names: Sequence[str]) -> list[str]:
    """Return the names without those whose inverse comes earlier."""
    kept: dict[str, None] = {}
    for name in names:
        relation = spec.relations[spec.relation_index(name)]
        if relation.inverse is None or relation.inverse not in kept:
            kept[name] = None
    return list(kept)


def normalised(
    who: str,
    graph: Graph,
    names: Sequence[str],
    within: range,
    *,
    weighted: bool,
    lone: float,
) -> Adjacency:
    """Return ``Â = D^{-1/2} A D^{-1/2}`` with ``A = Σ_r (E_r + E_rᵀ)`` and D its row sums.

    Args:
        who: For errors.
        graph: Whose edges to read.
        names: Relations, no two of them inverses of each other.
        within: The global ids of rows and columns; holds all ends of the edges.
        weighted: Whether an edge counts as its weight; edges without a weight count as 1.
        lone: ``Â_ii`` of nodes without edges: 0, or 1 to leave their vectors alone.

    Raises:
        GraphRecError: For negative weights.
    """
    ends, weights = [], []
    for name in names:
        edges = graph.edges(name)
        weight = torch.ones(len(edges.source)) if edges.weight is None else edges.weight
        if weighted and len(weight) and float(weight.min()) < 0:
            raise GraphRecError(who, f"weights of {name!r} of 0 or more", float(weight.min()))
        ends.append(torch.stack([edges.source, edges.target]) - within.start)
        weights.append(weight if weighted else torch.ones_like(weight))
    row, column = torch.cat(ends, 1).numpy()
    size = (len(within), len(within))
    entries = torch.cat(weights).double().numpy(), (row, column)
    one_way = sp.coo_array(entries, shape=size).tocsr()  # adds up parallel edges
    matrix = (one_way + one_way.T).tocsr()
    degree = np.asarray(matrix.sum(1)).ravel()
    matrix = (matrix + sp.diags_array(np.where(degree > 0, 0.0, lone))).tocsr()
    root = np.sqrt(np.where(degree > 0, degree, 1.0))
    of_row = np.repeat(root, np.diff(matrix.indptr))
    matrix.data /= of_row * root[matrix.indices]
    return Adjacency(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int32)),
        torch.from_numpy(matrix.data.astype(np.float32)),
    )


def polynomial(adjacency: Adjacency, coefficients: Sequence[float], x: Tensor) -> Tensor:
    """Return ``Σ_k c_k Â^k x``; its gradient in `x` is the same polynomial, for Â is symmetric.

    Args:
        adjacency: Â, ``[n, n]``.
        coefficients: c, one more than there are products.
        x: float32 or float64 ``[n, D]``, of the type of the values of Â.

    Returns:
        ``[n, D]``.
    """
    result: Tensor = _Polynomial.apply(*adjacency, tuple(coefficients), x)  # type: ignore[no-untyped-call]
    return result


class _Polynomial(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        ptr: Tensor,
        indices: Tensor,
        values: Tensor,
        coefficients: tuple[float, ...],
        x: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(ptr, indices, values)
        ctx.coefficients = coefficients
        multiply = body("sparse.spmm", x)
        total = coefficients[0] * x
        for coefficient in coefficients[1:]:
            x = multiply(ptr, indices, values, x)
            if coefficient:
                total.add_(x, alpha=coefficient)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        back: Tensor = _Polynomial.apply(*ctx.saved_tensors, ctx.coefficients, grads[0])  # type: ignore[no-untyped-call]
        return None, None, None, None, back


class SymmetricNetwork(GraphNetwork):
    """A network that multiplies by one normalised adjacency, kept as three buffers."""

    ptr: Tensor
    indices: Tensor
    values: Tensor

    @property
    def adjacency(self) -> Adjacency:
        """Â of the attached graph."""
        return Adjacency(self.ptr, self.indices, self.values)


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

    def build(self, spec: GraphSpec, width: int) -> "LightGCNPropagator":
        """Return the network."""
        return LightGCNPropagator(self, spec, width)


class LightGCNPropagator(SymmetricNetwork):
    """The network of :class:`LightGCN`.

    Args:
        config: Its options.
        spec: Of the graph.
        width: D.
    """

    def __init__(self, config: LightGCN, spec: GraphSpec, width: int) -> None:
        super().__init__("lightgcn", spec, width)
        self.relations = undirected(spec, chosen("lightgcn", spec, config.relations))
        self.weighted = config.weighted
        even = [1 / (config.layers + 1)] * (config.layers + 1)
        self.coefficients = even if config.layer_weights is None else config.layer_weights

    def read(self, graph: Graph) -> None:
        """Keep Â."""
        every = range(graph.num_nodes())
        adjacency = normalised(
            self.who, graph, self.relations, every, weighted=self.weighted, lone=0.0
        )
        self.keep(**adjacency._asdict())

    def mix(self, x: Tensor) -> Tensor:
        """Return the weighted sum of all layers: ``[N, D]``."""
        return polynomial(self.adjacency, self.coefficients, x)


@propagation("transition")
class TransitionPropagation:
    """``mean_{k ≤ K} Â^k x``, or ``Â^K x``, over the weighted edges of one relation.

    ``Â = D^{-1/2} (E + Eᵀ) D^{-1/2}``, as LightGCN (He et al., SIGIR 2020) on the graph of item
    transitions. Nodes that the relation does not touch keep their vectors. There are no weights
    to learn.

    Args:
        relation: Its name; the derivation ``transition`` makes ``followed_by``.
        hops: K.
        pool: ``"mean"`` of all hops, the vectors themselves included, or the ``"last"``.
        only: Node type whose vectors change; both ends of the relation by default.
    """

    relation: str = "followed_by"
    hops: int = Field(1, ge=1)
    pool: Literal["mean", "last"] = "mean"
    only: str | None = None

    def build(self, spec: GraphSpec, width: int) -> "TransitionPropagator":
        """Return the network."""
        return TransitionPropagator(self, spec, width)


class TransitionPropagator(SymmetricNetwork):
    """The network of :class:`TransitionPropagation`.

    Args:
        config: Its options.
        spec: Of the graph.
        width: D.
    """

    def __init__(self, config: TransitionPropagation, spec: GraphSpec, width: int) -> None:
        super().__init__("transition", spec, width)
        self.relation = config.relation
        relation = spec.relations[spec.relation_index(config.relation)]
        ends = sorted({relation.source, relation.target}, key=spec.node_index)
        if config.only is not None and config.only not in ends:
            expected = f"a node type that {relation.name!r} touches"
            hint = did_you_mean(config.only, ends)
            raise GraphRecError("transition", expected, repr(config.only), hint)
        # Ids of types between the two ends are isolated here, so they stay what they are.
        self.within = range(spec.ids(ends[0]).start, spec.ids(ends[-1]).stop)
        self.changed = self.within if config.only is None else spec.ids(config.only)
        if config.pool == "mean":
            self.coefficients = [1 / (config.hops + 1)] * (config.hops + 1)
        else:
            self.coefficients = [0.0] * config.hops + [1.0]

    def read(self, graph: Graph) -> None:
        """Keep Â of the types that the relation touches."""
        adjacency = normalised(
            self.who, graph, [self.relation], self.within, weighted=True, lone=1.0
        )
        self.keep(**adjacency._asdict())

    def mix(self, x: Tensor) -> Tensor:
        """Return the vectors with those of the changed nodes smoothed: ``[N, D]``."""
        first, start, stop = self.within.start, self.changed.start, self.changed.stop
        own = x[first : self.within.stop]  # [n, D]
        smooth = polynomial(self.adjacency, self.coefficients, own)[start - first : stop - first]
        if len(smooth) == len(x):
            return smooth
        return torch.cat([x[:start], smooth, x[stop:]])
