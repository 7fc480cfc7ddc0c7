"""DGL: a Graph as a heterogeneous ``DGLGraph`` and back; needs ``graphrec-pt[dgl]``.

The build of DGL on the public index, 2.1.0, is made for torch ≤ 2.2.1. On a newer torch only its
GraphBolt part is unusable: heterographs, walks and message passing work once GraphBolt is stubbed,
``dgl.sparse`` and ``dgl.distributed`` do not. :func:`import_dgl` does that; a DGL whose GraphBolt
fits the installed torch is used as it is.
"""

import os
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.convert.columns import column_tensor, edge_columns, edge_list, node_table
from graphrec_pt.data.convert.typed import typed_graph
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import TimeUnit

if TYPE_CHECKING:
    from dgl import DGLGraph


def import_dgl() -> Any:
    """Return the module ``dgl``, its GraphBolt stubbed where that does not fit this torch.

    Raises:
        GraphRecError: When DGL is not installed, or fails to import all the same.
    """
    if "dgl" in sys.modules:
        return sys.modules["dgl"]
    spec = find_spec("dgl")
    if spec is None or spec.origin is None:
        raise GraphRecError("dgl", "DGL to be installed", hint="pip install 'graphrec-pt[dgl]'")
    for name in [name for name in sys.modules if name.startswith("dgl.")]:
        del sys.modules[name]  # a failed import leaves it there
    stubs = {} if _graphbolt_fits(spec) else _stubs()
    try:
        with _quiet_import(stubs):
            return import_module("dgl")
    except ImportError as error:
        hint = "pip install 'graphrec-pt[dgl]'"
        raise GraphRecError("dgl", "an import that succeeds", error, hint) from error


def _graphbolt_fits(spec: ModuleSpec) -> bool:
    """Whether GraphBolt is absent, or there is a library of it for this torch and its loader."""
    folder = Path(str(spec.origin)).parent / "graphbolt"
    if not folder.is_dir():
        return True
    version = torch.__version__.split("+")[0]
    if not any(folder.glob(f"*graphbolt_pytorch_{version}.*")):
        return False
    try:
        return find_spec("torchdata.datapipes") is not None
    except ImportError:
        return False


def _stubs() -> dict[str, ModuleType]:
    """Return stand-ins for the modules that DGL 2.1 cannot import."""
    graphbolt = ModuleType("dgl.graphbolt", "Stub: GraphBolt has no library for this torch.")
    graphbolt.FusedCSCSamplingGraph = type("FusedCSCSamplingGraph", (), {})  # type: ignore[attr-defined]
    stubs = {"dgl.graphbolt": graphbolt}
    try:
        import_module("setuptools.extern.packaging")
    except ImportError:  # setuptools no longer vendors it
        extern, packaging = ModuleType("setuptools.extern"), import_module("packaging")
        import_module("packaging.version")
        extern.packaging = packaging  # type: ignore[attr-defined]
        stubs |= {"setuptools.extern": extern, "setuptools.extern.packaging": packaging}
    return stubs


@contextmanager
def _quiet_import(stubs: Mapping[str, ModuleType]) -> Iterator[None]:
    """Import with stubs in place and a backend chosen, so that DGL writes no file and no line."""
    chosen = "DGLBACKEND" in os.environ
    os.environ.setdefault("DGLBACKEND", "pytorch")
    sys.modules.update(stubs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if not chosen:
            del os.environ["DGLBACKEND"]
        for name in stubs:
            if "dgl" not in sys.modules or not name.startswith("dgl."):
                sys.modules.pop(name, None)


def to_dgl(graph: Graph) -> "DGLGraph":
    """Return the graph as a heterogeneous DGL graph.

    Node *n* of a type is the type's *n*-th node; edge *i* of a relation is row *i* of
    ``graph.edges(relation)``, ordered by (source, time). Numbers, category codes and
    vectors go to ``nodes[type].data``; ``time``, ``weight``, ``edge_id`` (shared by an edge and
    its inverse) and such edge columns to ``edges[relation].data``. Raw ids and texts stay behind:
    DGL holds tensors only.
    """
    dgl = import_dgl()
    ends = {}
    for relation in graph.schema.relations:
        edges = graph.edges(relation.name)
        ends[relation.source, relation.name, relation.target] = (
            edges.source - graph.nodes(relation.source).start,
            edges.target - graph.nodes(relation.target).start,
        )
    counts = {name: graph.num_nodes(name) for name in graph.schema.node_names}
    made = dgl.heterograph(ends, num_nodes_dict=counts)
    for name in graph.schema.node_names:
        made.nodes[name].data.update(_tensors(graph.tables[name]))
    for kind in ends:
        edges = graph.edges(kind[1])
        carried = {"time": edges.time, "weight": edges.weight, "edge_id": edges.edge}
        made.edges[kind].data.update({k: v for k, v in carried.items() if v is not None})
        if (extra := edge_columns(graph, kind[1], edges.edge)) is not None:
            made.edges[kind].data.update(_tensors(extra))
    return made


def from_dgl(
    data: "DGLGraph",
    *,
    tables: Mapping[str, pl.DataFrame] | None = None,
    interactions: Collection[str] = (),
    time_unit: TimeUnit = "s",
) -> Graph:
    """Return a DGL graph as a graph.

    A feature ``id`` becomes the raw ids (else the row numbers do), the first of ``time``,
    ``edge_time``, ``timestamp``, ``edge_timestamp``, ``timestamps`` and ``t`` the edge times,
    ``weight`` the weights, other features of one or two dimensions columns. Edge types that mirror
    each other become a relation and its inverse. Edges are sorted by (source, time), so their order
    may differ from that of `data`.

    Args:
        data: Nodes and edges.
        tables: Node type → columns, ``id`` first, instead of what `data` holds (row numbers as
            raw ids, features).
        interactions: Names of the relations that a split may hold out.
        time_unit: Unit of the edge times.

    Raises:
        GraphRecError: For a block of sampled neighbors, for `tables` that do not fit `data`, and
            for invalid times, weights or ids.
    """
    if not hasattr(data, "canonical_etypes") or data.is_block:
        what = "a block" if hasattr(data, "is_block") else type(data).__name__
        raise GraphRecError("from_dgl", "a DGLGraph that is no block", what)
    given, notes = dict(tables or {}), list[str]()
    order = [*given, *(name for name in data.ntypes if name not in given)]
    counts = {name: data.num_nodes(name) for name in data.ntypes}
    nodes = {}
    for name in order:
        if name not in given:
            features = data.nodes[name].data
            nodes[name] = node_table(name, counts[name], features.items(), {}, notes)
        elif name not in counts or len(given[name]) != counts[name]:
            got = f"{len(given[name])} row" + ("s" if len(given[name]) != 1 else "")
            expected = f"{counts.get(name, 0)} rows, as the graph has nodes of this type"
            raise GraphRecError(f"tables[{name!r}]", expected, got)
        else:
            nodes[name] = given[name]
    edges = {}
    for kind in data.canonical_etypes:
        source, target = (ends.cpu().long().numpy() for ends in data.edges(etype=kind))
        features = {k: v for k, v in data.edges[kind].data.items() if k != "edge_id"}
        sizes = counts[kind[0]], counts[kind[2]]
        edges[kind] = edge_list(kind, (source, target), sizes, features, notes)
    return typed_graph(
        nodes,
        edges,
        interactions=interactions,
        time_unit=time_unit,
        provenance={"from": "dgl", **({"notes": notes} if notes else {})},
    )


def _tensors(table: pl.DataFrame) -> dict[str, torch.Tensor]:
    tensors = {c.name: column_tensor(c) for c in table if c.name != RAW_ID}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}
