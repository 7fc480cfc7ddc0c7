"""Top-k personalised PageRank by forward push in fixed-point numbers."""

from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.csr import (
    SegmentedCSR,
    check_edges,
    check_exclude,
    check_nodes,
    check_positive,
)
from graphrec_pt.kernels.dispatch import body

ONE_BITS = 60
ONE = 1 << ONE_BITS
"""The whole probability of a root: masses are int64 multiples of 2**-60."""
ALPHA_BITS = 31  # so that ``ONE · alpha`` fits 64 bits in two halves


def ppr(
    csr: SegmentedCSR,
    roots: Tensor,
    k: int,
    *,
    alpha: float = 0.15,
    epsilon: float = 1e-4,
    exclude: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the k nodes with the highest personalised PageRank of each root.

    π_root(v) is the probability that a walk from the root stands at v when it ends: at every node
    it ends with probability α, else it takes a uniform edge of any relation; at a dead end it
    ends. Forward push (Andersen, Chung and Lang, FOCS 2006) keeps an estimate p and a residual r:
    first the root, then every round each node u whose residual exceeds ``epsilon · degree(u)``
    gives α of it to p(u) and the rest in equal shares to its edges. Whatever the graph, at the end

        π(v) = p(v) + Σ_u r(u) · π_u(v)   with   0 ≤ r(u) ≤ epsilon · degree(u).

    As π_v(v) ≥ α, the score is ``p(v) + α · r(v)``: it never exceeds π by more than the rounding,
    and on a graph whose edges all have their inverses ``π(v) - score(v) ≤ epsilon · degree(v)``.
    The work for a root is at most ``1 / (alpha · epsilon)`` edges beside its own, whatever the size
    of the graph. Masses are integers (2⁻⁶⁰), so that nothing depends on the order of additions and
    every body returns the same bits; rounding moves at most ``2⁻⁶⁰ / (alpha · epsilon)`` of a
    root's mass, α is a multiple of 2⁻³¹.

    Args:
        csr: The graph.
        roots: int64 ``[B]``, global ids.
        k: How many nodes to return.
        alpha: Probability to end at each step, between 0 and 1.
        epsilon: Residual left per edge, at least 1e-12.
        exclude: int64 ``[B]``, the edge id that walks of each root take in neither direction, −1
            for none: as if the graph had been built without it, degrees included. An id may occur
            at most twice among a node's edges, and only between two nodes.

    Returns:
        Nodes int64 ``[B, k]`` and scores float64 ``[B, k]``, falling, equal ones by id; the root
        is among them. −1 and 0 where fewer than k nodes were reached.

    Raises:
        GraphRecError: For roots outside the graph, k, alpha or epsilon out of range, an `exclude`
            that does not fit the roots, or a graph that has no edge ids for it.
    """
    check_positive("ppr", "k", k)
    check_nodes("ppr", csr, roots, "root")
    check_edges("ppr", csr)
    if not 0 < alpha < 1:
        raise GraphRecError("ppr", "0 < alpha < 1", alpha)
    if not 1e-12 <= epsilon < 1:
        raise GraphRecError("ppr", "1e-12 <= epsilon < 1", epsilon)
    if exclude is not None:
        exclude = check_exclude("ppr", csr, exclude, len(roots))
    stop, least = max(round(alpha * (1 << ALPHA_BITS)), 1), int(epsilon * ONE)
    node, mass = body("ppr", csr.indices)(csr, roots.contiguous(), k, stop, least, exclude)
    return node, mass.double() / ONE
