"""Membership by a binary search of all questions at once."""

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.torch.segments import lower_bound


def member(
    csr: SegmentedCSR, targets: Tensor, source: Tensor, slot: Tensor, target: Tensor
) -> Tensor:
    """Say whether edges exist; see :func:`graphrec_pt.kernels.member.member`."""
    first = csr.first_segment(source)
    found = torch.zeros_like(source, dtype=torch.bool)
    count = csr.slots[csr.node_type(source)]
    for k in range(int(csr.slots.max()) if len(csr.slots) else 0):
        asked = ((slot == k) | (slot == -1)) & (k < count)
        segment = first[asked] + k
        end = csr.segment[segment + 1]
        place = lower_bound(targets, csr.segment[segment], end, target[asked])
        inside = place < end
        hit = torch.zeros_like(inside)
        hit[inside] = targets[place[inside]] == target[asked][inside]
        found[asked] |= hit
    return found
