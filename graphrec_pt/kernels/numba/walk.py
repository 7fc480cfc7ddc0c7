"""Random walks, a block of walkers side by side so that their cache misses overlap.

A walker alone waits for memory twice a hop: for its node's bounds, then for the neighbour. Here
each phase of a hop runs over the whole block and asks for the memory that the next phase reads.
"""

from typing import Any

import numpy as np
import torch
from numba import prange, uint32
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import kernel
from graphrec_pt.kernels.numba.philox import below, four_words, unsigned
from graphrec_pt.kernels.numba.segments import array, arrays, node_segments, prefetch, relation_of
from graphrec_pt.kernels.numba.walk_choice import choices, walk_choosing
from graphrec_pt.kernels.walk import REPEAT_SHIFT, WalkPlan

BLOCK = 64


def walk(csr: SegmentedCSR, plan: WalkPlan) -> tuple[Tensor, Tensor, Tensor]:
    """Walk; see :func:`graphrec_pt.kernels.walk.walk`."""
    walks = len(plan.roots) * plan.repeats
    nodes = np.empty((walks, plan.length + 1), np.int64)
    position = np.empty((walks, plan.length), np.int64)
    relation = np.empty((walks, 0 if plan.relations is None else plan.length), np.int64)
    table = np.empty((0, 0), np.int64) if plan.relations is None else array(plan.relations)
    graph, roots, slots = arrays(csr), array(plan.roots), array(plan.slots)
    words = unsigned(plan.words)
    if plan.plain:
        _walk_plainly(graph, table, roots, plan.repeats, slots, words, nodes, position, relation)
    else:
        given = choices(csr, plan)
        walk_choosing(
            graph, given, table, roots, plan.repeats, slots, words, nodes, position, relation
        )
    return torch.from_numpy(nodes), torch.from_numpy(position), torch.from_numpy(relation)


@kernel(parallel=True)
def _walk_plainly(
    csr: Any,
    table: Any,
    roots: Any,
    repeats: Any,
    slots: Any,
    words: Any,
    nodes: Any,
    position: Any,
    relation: Any,
) -> None:
    """Walk where each hop is one uniform choice."""
    walks = nodes.shape[0]
    for block in prange((walks + BLOCK - 1) // BLOCK):
        row = block * BLOCK
        size = min(BLOCK, walks - row)
        item, turn = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
        bits = np.empty((4, BLOCK), np.uint32)
        first, count = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        edge = np.empty(BLOCK, np.int64)
        for i in range(size):
            root = roots[(row + i) // repeats]
            nodes[row + i, 0] = root
            item[i], turn[i] = uint32(root), uint32(((row + i) % repeats) << REPEAT_SHIFT)
            first[i], count[i] = node_segments(csr, root)
            prefetch(csr.segment, first[i])
        for hop in range(slots.shape[0]):
            slot = slots[hop]
            if hop & 3 == 0:
                for i in range(size):
                    a, b, c, d = four_words(words, item[i], turn[i] | uint32(hop >> 2))
                    bits[0, i], bits[1, i], bits[2, i], bits[3, i] = a, b, c, d
            lane = bits[hop & 3]
            for i in range(size):
                edge[i] = -1
                if slot < count[i]:
                    start = csr.segment[first[i] + max(slot, 0)]
                    degree = csr.segment[first[i] + (count[i] if slot < 0 else slot + 1)] - start
                    if degree > 0:
                        edge[i] = start + below(lane[i], degree)
                        prefetch(csr.indices, edge[i])
            for i in range(size):
                position[row + i, hop] = edge[i]
                if table.shape[0] > 0:
                    relation[row + i, hop] = -1
                    if edge[i] >= 0:
                        place = first[i] + max(slot, 0)
                        relation[row + i, hop] = relation_of(
                            csr, table, nodes[row + i, hop], first[i], place, slot, edge[i]
                        )
                if edge[i] >= 0:
                    node = np.int64(csr.indices[edge[i]])
                    nodes[row + i, hop + 1] = node
                    first[i], count[i] = node_segments(csr, node)
                    prefetch(csr.segment, first[i])
                else:
                    nodes[row + i, hop + 1] = -1
                    count[i] = -2  # below every slot, −1 included
