"""What networks with weights for every relation share: vectors by (relation, source)."""

import torch
from torch import Tensor

from graphrec_pt.features.gnn.messages import Incoming, Messages
from graphrec_pt.features.gnn.network import GraphNetwork, chosen
from graphrec_pt.graph.outline import Outline
from graphrec_pt.kernels.sparse import spmm


class RelationalNetwork(GraphNetwork):
    """A network that maps the vectors of each relation's sources before it sends them.

    Args:
        who: Registered name, for errors.
        outline: Of the graph.
        width: D.
        relations: Names; None for all.
    """

    ptr: Tensor
    column: Tensor
    each: Tensor
    node: Tensor

    def __init__(self, who: str, outline: Outline, width: int, relations: list[str] | None) -> None:
        super().__init__(who, outline, width)
        self.relations = chosen(who, outline, relations)
        self.sizes: list[int] = []

    def keep_messages(self, found: Messages, edges: Incoming) -> None:
        """Keep the senders, and edges from them."""
        each = torch.arange(len(found.node) + 1)
        self.keep(ptr=edges.ptr, column=edges.column, each=each, node=found.node)
        self.sizes = found.sizes

    def sent(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the vectors of each relation's sources: ``[M_r, D]`` each, for ``[N, D]``."""
        # A product with one entry a row: its way back is a product too, not a scattered sum.
        return spmm(self.each, self.node, None, x).split_with_sizes(self.sizes)
