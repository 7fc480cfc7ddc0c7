"""Bridges: the same graph as PyG, DGL, networkx or scipy objects, or as RecBole files."""

from graphrec_pt.data.convert.dgl import from_dgl, import_dgl, to_dgl
from graphrec_pt.data.convert.networkx import to_networkx
from graphrec_pt.data.convert.pyg import from_pyg, to_pyg
from graphrec_pt.data.convert.recbole import from_recbole, to_recbole
from graphrec_pt.data.convert.scipy import to_scipy

__all__ = [
    "from_dgl",
    "from_pyg",
    "from_recbole",
    "import_dgl",
    "to_dgl",
    "to_networkx",
    "to_pyg",
    "to_recbole",
    "to_scipy",
]
