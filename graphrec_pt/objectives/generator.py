"""Nodes drawn from what a head says of them, from given random bits."""

import torch
from torch import Tensor

from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.draws import unit

_SCORES = 1 << 24
"""Scores held at once."""


@torch.no_grad()
def generated(hidden: Tensor, types: Tensor, bits: Tensor, model: Model, head: ItemHead) -> Tensor:
    """Draw a node for every hidden state by inverting the distribution function.

    The node v of ``softmax(s)`` with ``Σ_{j<v} p_j ≤ u < Σ_{j≤v} p_j``, u from `bits`: the same
    states and bits give the same nodes, whatever else is in the batch.

    Args:
        hidden: ``[m, D]``.
        types: int64 ``[m]``, node types to draw from.
        bits: int64 ``[m]``, words of 32 random bits.
        model: Has the vectors of the nodes.
        head: Scores them.

    Returns:
        int64 ``[m]`` global ids.
    """
    out = torch.zeros_like(types)
    for index, name in enumerate(model.outline.node_names):
        rows = (types == index).nonzero().squeeze(1)
        if not len(rows):
            continue
        table = model.table(name)
        for some in torch.split(rows, max(_SCORES // max(len(table), 1), 1)):
            scores = head(hidden.index_select(0, some), table)  # [·, V]
            total = scores.double().softmax(dim=1).cumsum(dim=1)
            mark = unit(bits[some]).unsqueeze(1) * total[:, -1:]
            found = torch.searchsorted(total, mark, right=True).squeeze(1)
            out[some] = model.outline.ids(name).start + found.clamp(max=len(table) - 1)
    return out
