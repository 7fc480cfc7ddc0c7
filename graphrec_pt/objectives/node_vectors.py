"""Fixed node vectors from a column or a file, as targets of objectives."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.memo import Memo
from graphrec_pt.features.columns import one_column_of, read_column, vectors_of
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec

SUFFIX = ".safetensors"

_vectors: Memo[tuple[Tensor, Tensor]] = Memo()  # of a node table


def vectors_of_type(graph: Graph, node_type: str, source: str) -> tuple[Tensor, Tensor]:
    """Return the vectors of all nodes of a type, and a mask of nodes without one.

    Read once and kept as long as the graph's node table.

    Args:
        graph: The graph that may be seen, without held-out edges.
        node_type: Node type of the vectors.
        source: A vector column, or a safetensors file with a tensor ``[n, F]`` for each node type,
            by its name, in the order of the graph's nodes.

    Returns:
        float32 ``[n, F]``, 0 where there is none, and bool ``[n]``.

    Raises:
        GraphRecError: When there are no such vectors, or not one for each node.
    """
    if source.endswith(SUFFIX):
        given = _read(str(Path(source).resolve()))
        vectors = _of_type(given, node_type, source)
        if len(vectors) != graph.num_nodes(node_type):
            expected = f"vectors of {graph.num_nodes(node_type)} nodes of {node_type!r}"
            raise GraphRecError(source, expected, len(vectors), "vectors made for this graph")
        return vectors, torch.zeros(len(vectors), dtype=torch.bool)

    def made() -> tuple[Tensor, Tensor]:
        column = read_column(graph, node_type, source, "vectors")
        filled = column.drop_nulls()
        width = len(filled[0]) if len(filled) else 0
        return vectors_of(column, width, "vectors")

    return _vectors(graph.tables[node_type], source, made)


def width_of(spec: GraphSpec, node_type: str, source: str) -> int:
    """Return F of what :func:`vectors_of_type` returns for a graph.

    Raises:
        GraphRecError: When there are no such vectors.
    """
    if source.endswith(SUFFIX):
        return _of_type(_read(str(Path(source).resolve())), node_type, source).shape[1]
    column = one_column_of(spec, node_type, ["vector"], source, "vectors")
    width = spec.widths.get(node_type, {}).get(column, 0)
    if not width:
        raise GraphRecError("vectors", f"vectors of one length in {column!r}", "none")
    return width


@cache
def _read(path: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: value.float() for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise GraphRecError(path, "a safetensors file of node vectors", error) from error


def _of_type(given: dict[str, Tensor], node_type: str, source: str) -> Tensor:
    if node_type not in given:
        hint = did_you_mean(node_type, given)
        raise GraphRecError(source, f"vectors of {node_type!r}", "none", hint)
    vectors = given[node_type]
    if vectors.ndim != 2:
        raise GraphRecError(source, f"vectors [n, F] of {node_type!r}", list(vectors.shape))
    return vectors
