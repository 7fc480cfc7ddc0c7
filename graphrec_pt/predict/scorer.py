"""Scorers of a catalogue: the interface of all ranked systems, and the inner products of models."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges

BLOCK = 256
"""Number of sources whose scores of the whole catalogue are held in memory at once."""


class Scorer(Protocol):
    """Scores every candidate for some queries.

    A scorer is made for one history graph, which fixes what it knows of a source at validation or
    at test.
    """

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue.

        Args:
            nodes: int64 ``[B]``, global ids of the sources to recommend to.

        Returns:
            Floats ``[B, V]``, column *v* for the *v*-th node of the candidate type; −∞ for what
            must not be recommended, never NaN.
        """
        ...


@dataclass(frozen=True, eq=False)
class Factorised:
    """Inner products of query vectors with a catalogue: ``s(q, v) = q · t_v + b_v``.

    Each call computes the product for its own sources only; the full ``[Q, V]`` is never stored.

    Args:
        nodes: int64 ``[Q]``, global ids of the sources, ascending.
        queries: Floats ``[Q, D]``, one vector per source.
        table: ``[V, D]`` of the same type, one vector per candidate.
        bias: ``[V]`` or None.

    Raises:
        GraphRecError: For shapes that do not fit, and sources that do not ascend.
    """

    nodes: Tensor
    queries: Tensor
    table: Tensor
    bias: Tensor | None = None

    def __post_init__(self) -> None:
        queries, table = self.queries, self.table
        fits = queries.ndim == table.ndim == 2 and queries.shape[1] == table.shape[1]
        fits &= self.nodes.shape == (len(queries),)
        fits &= self.bias is None or self.bias.shape == (len(table),)
        if not fits:
            got = [list(t.shape) for t in (self.nodes, queries, table, self.bias) if t is not None]
            expected = "nodes [Q], queries [Q, D], table [V, D] and bias [V]"
            raise GraphRecError("Factorised", expected, got)
        if bool((self.nodes[1:] <= self.nodes[:-1]).any()):
            raise GraphRecError("Factorised", "ascending nodes", "others", "torch.sort")

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the inner products of some sources with the catalogue: ``[B, V]``."""
        queries = self.of(nodes)  # [B, D]
        if self.bias is None:
            return queries @ self.table.T  # [B, V]
        return torch.addmm(self.bias, queries, self.table.T)

    def pairs(self, nodes: Tensor, column: Tensor) -> Tensor:
        """Return the inner products of sources with one candidate each: ``[B]``."""
        at = column.to(self.table.device)
        products = (self.of(nodes) * self.table[at]).sum(1)
        return products if self.bias is None else products + self.bias[at]

    def of(self, nodes: Tensor) -> Tensor:
        """Return the query vectors of some sources: ``[B, D]``."""
        row = torch.searchsorted(self.nodes, nodes).clamp(max=max(len(self.nodes) - 1, 0))
        if len(nodes) and (not len(self.nodes) or bool((self.nodes[row] != nodes).any())):
            raise GraphRecError("Factorised", "sources that have a query vector", "others")
        return self.queries[row.to(self.queries.device)]


@dataclass(frozen=True, eq=False)
class WithPrior:
    """Inner products plus a term ``b(u, v)`` for items that are linked to the user's history.

    Args:
        plain: The inner products of Q sources.
        ptr: int64 ``[Q + 1]``, bounds of the pairs of each source.
        item: int64 ``[N]`` in ``[0, V)``, distinct within each source.
        term: Floats ``[N]``, added to the scores of these items.

    Raises:
        GraphRecError: For pointers and pairs that do not fit.
    """

    plain: Factorised
    ptr: Tensor
    item: Tensor
    term: Tensor

    def __post_init__(self) -> None:
        if len(self.ptr) != len(self.plain.nodes) + 1 or not (
            int(self.ptr[-1]) == len(self.item) == len(self.term)
        ):
            got = [list(part.shape) for part in (self.ptr, self.item, self.term)]
            expected = f"ptr [{len(self.plain.nodes) + 1}], item [N] and term [N]"
            raise GraphRecError("WithPrior", expected, got)

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]``."""
        scores = self.plain.scores(nodes)
        at = torch.searchsorted(self.plain.nodes, nodes)
        pairs, row = ranges(self.ptr[at], self.ptr[at + 1] - self.ptr[at])
        place = row.to(scores.device), self.item[pairs].to(scores.device)
        term = self.term[pairs.to(self.term.device)].to(scores)
        return scores.index_put_(place, term, accumulate=True)


def chances(scorer: Scorer, source: Tensor, column: Tensor) -> Tensor:
    """Return ``σ(s(u, i))`` of pairs: float64 ``[n]`` on the CPU.

    Args:
        scorer: The scorer.
        source: int64 ``[n]``, sources as the scorer numbers them.
        column: int64 ``[n]``, candidates counted from the first of their type.
    """
    if isinstance(scorer, Factorised):
        return scorer.pairs(source, column).double().sigmoid().cpu()
    chosen = [torch.empty(0, 1)]
    for block, at in zip(torch.split(source, BLOCK), torch.split(column, BLOCK), strict=True):
        scores = scorer.scores(block)
        chosen.append(scores.gather(1, at.to(scores.device).unsqueeze(1)).cpu())
    return torch.cat(chosen).squeeze(1).double().sigmoid()


def checked_scores(scorer: Scorer, nodes: Tensor, graph: Graph, width: int) -> Tensor:
    """Return a scorer's scores ``[B, width]``, at least float32.

    Raises:
        GraphRecError: For another shape and for NaN; names the first source.
    """
    scores = shaped_scores(scorer, nodes, width)
    # A sum shows a NaN (or infinities, which are looked at again) in one pass.
    if bool(scores.sum().isnan()):
        check_numbers(scores.sum(1).where(scores.isnan().any(1), 0.0).cpu(), nodes, graph)
    return scores


def shaped_scores(scorer: Scorer, nodes: Tensor, width: int) -> Tensor:
    """Return a scorer's scores ``[B, width]``, at least float32; some may be NaN.

    Raises:
        GraphRecError: For another shape.
    """
    scores = scorer.scores(nodes).detach()
    if scores.shape != (len(nodes), width) or not scores.is_floating_point():
        got = f"{scores.dtype} {list(scores.shape)}"
        raise GraphRecError("scorer", f"float scores [{len(nodes)}, {width}]", got)
    return scores if scores.dtype in (torch.float32, torch.float64) else scores.float()


def check_numbers(scores: Tensor, nodes: Tensor, graph: Graph) -> None:
    """Raise for NaN among the scores of sources; names the first one."""
    wrong = scores.isnan()
    if bool(wrong.any()):
        node = int(nodes[int(wrong.nonzero()[0])])
        raise GraphRecError("scorer", "scores without NaN", f"NaN for {graph.raw_id(node)!r}")
