"""Kernels that write where an edge points refuse a graph whose edges point nowhere."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.neighbors import neighbors
from graphrec_pt.kernels.paths import constrained_paths
from graphrec_pt.kernels.ppr import ppr
from graphrec_pt.kernels.walk import walk

KEY, ROOTS = Key(1), torch.tensor([0, 1])
CALLS: dict[str, Callable[[SegmentedCSR], object]] = {
    "ppr": lambda csr: ppr(csr, ROOTS, 4),
    "constrained_paths": lambda csr: constrained_paths(csr, ROOTS, 0, 2, KEY),
    "sorted targets": lambda csr: walk(csr, ROOTS, 3, KEY, p=0.5),
    "walk": lambda csr: walk(csr, ROOTS, 3, KEY, weighted=True),
    "neighbors": lambda csr: neighbors(csr, ROOTS, 2, KEY, weighted=True),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("target", [-1, 7, 1 << 30])
def test_a_target_outside_the_graph(body, toy, name, target):
    indices = toy.indices.clone()
    indices[3] = target
    message = rf"{name}: expected targets of edges in \[0, 7\), got {target}"
    with pytest.raises(GraphRecError, match=message):
        CALLS[name](replace(toy, indices=indices))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("place", "start"), [(2, 1 << 40), (2, -5), (-1, 1 << 20), (0, -1)])
def test_a_segment_outside_the_index_array(body, toy, name, place, start):
    segment = toy.segment.clone()
    segment[place] = start
    with pytest.raises(GraphRecError, match=rf"{name}: expected \d+ segments ascending in"):
        CALLS[name](replace(toy, segment=segment))
