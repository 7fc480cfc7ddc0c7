"""What is known of the roots of examples, to be predicted from their sequences."""

from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.columns import read_column
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.objectives.objective import Examples
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


def root_of_type(examples: Examples, node_type: str, who: str) -> Tensor:
    """Return the root of a type of each sequence, −1 where there is none: int64 ``[B]``.

    Of a pair it is the first one of the type.

    Raises:
        GraphRecError: For sets as roots.
    """
    if isinstance(examples.roots, Sets):
        raise GraphRecError(who, "nodes or pairs as roots", "sets", "another sampler")
    owned = examples.graph.nodes(node_type)
    roots = examples.roots[examples.owner]
    roots = roots.unsqueeze(1) if roots.ndim == 1 else roots  # [B, 1 or 2]
    found = torch.full_like(examples.owner, -1)
    for column in reversed(roots.unbind(1)):
        found = torch.where((column >= owned.start) & (column < owned.stop), column, found)
    return found


def column_of(graph: Graph, node_type: str, column: str, nodes: Tensor, who: str) -> Tensor:
    """Return numbers, or codes of categories, of nodes as float64 ``[n]``; NaN for none.

    Args:
        graph: Whose columns.
        node_type: Of the nodes.
        column: Its name.
        nodes: int64 ``[n]`` global ids, −1 for none.
        who: Reads them, for errors.
    """
    rows = (nodes - graph.nodes(node_type).start).clamp(min=0)
    values = read_column(graph, node_type, column, who).gather(rows.cpu().numpy())
    numbers = values.to_physical().cast(float).fill_null(float("nan"))
    found = torch.from_numpy(numbers.to_numpy().copy()).to(nodes.device)
    return torch.where(nodes < 0, float("nan"), found)


def weight_of_excluded(examples: Examples, who: str) -> Tensor:
    """Return the weight of the edge hidden from each root as float64 ``[R]``; NaN for none.

    Raises:
        GraphRecError: When nothing is excluded, the graph has no weights, or for sets.
    """
    csr, exclude = examples.graph.csr, examples.exclude
    if csr.weight is None or csr.edge is None:
        raise GraphRecError(who, "a graph with weighted edges", "none")
    if exclude is None or isinstance(examples.roots, Sets):
        got = "nothing excluded" if exclude is None else "sets as roots"
        raise GraphRecError(who, "an edge excluded for each root", got, "exclude=")
    roots = examples.roots if examples.roots.ndim == 1 else examples.roots[:, 0]
    low, high = csr.bounds(roots)
    position, row = ranges(low, high - low)
    hit = (csr.edge[position] == exclude[row]) & (exclude[row] >= 0)
    out = torch.full((len(exclude),), float("nan"), dtype=torch.float64)
    out[row[hit]] = csr.weight[position[hit]].double()
    return out


def hidden_roots(tokens: Tokens, roots: Tensor) -> Tokens:
    """Return tokens where the root of each sequence is MASK, with its text, wherever it stands.

    Args:
        tokens: B sequences.
        roots: int64 ``[B]`` global ids.
    """
    row = tokens.sequence_of()
    told = (tokens.kind == Kind.NODE) & (tokens.id == roots[row])
    if tokens.word is not None:
        name = (row << 32) | (tokens.word + 1)
        told |= (tokens.kind == Kind.TEXT) & torch.isin(name, name[told])
    return replace(
        tokens,
        id=torch.where(told, int(Special.MASK), tokens.id),
        kind=torch.where(told, int(Kind.SPECIAL), tokens.kind),
    )
