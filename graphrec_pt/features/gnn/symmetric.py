"""Polynomials of the symmetrically normalised adjacency: what LightGCN and its kin compute."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.kernels.dispatch import body


class Adjacency(NamedTuple):
    """A symmetric matrix ``[n, n]`` in CSR form."""

    ptr: Tensor  # int64 [n+1]
    indices: Tensor  # int32 [nnz]
    values: Tensor  # float32 [nnz]


def undirected(outline: Outline, names: Sequence[str]) -> list[str]:
    """Return the names without the inverses of others among them."""
    found: dict[str, None] = {}
    for name in names:
        relation = outline.relations[outline.relation_index(name)]
        if relation.inverse is None or relation.inverse not in found:
            found[name] = None
    return list(found)


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
        weighted: Whether an edge counts as its weight; else, and without one, as 1.
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
    found: Tensor = _Polynomial.apply(*adjacency, tuple(coefficients), x)  # type: ignore[no-untyped-call]
    return found


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
        multiply = body("spmm", x)
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
