"""A small packed batch with every structural column."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

WIDTH = 16


@dataclass
class Batch:
    x: Tensor
    ptr: Tensor
    structure: dict[str, Tensor]
    order: Tensor
    prefix: Tensor
    edges: Tensor

    @property
    def given(self):
        return self.x, self.ptr, self.structure

    def needs(self, mode):
        found = {"order": self.order} if mode == "permuted" else {}
        return found | ({"prefix": self.prefix} if mode == "prefix" else {})


def build_batch(lengths=(5, 0, 1, 9, 4), seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    ptr = torch.tensor([0, *lengths]).cumsum(0)
    tokens = int(ptr[-1])
    position = torch.cat([torch.arange(n) for n in lengths])
    structure = {
        "position": position,
        "type": torch.randint(3, (tokens,), generator=draw),
        "parent": position - 1,
    }
    edges = [
        (int(ptr[b]) + i, (i + j) % 4, int(ptr[b]) + j)
        for b, n in enumerate(lengths)
        for i, j in torch.randint(max(n, 1), (3, 2), generator=draw).tolist()
        if n
    ]
    return Batch(
        x=torch.randn(tokens, WIDTH, generator=draw, dtype=dtype),
        ptr=ptr,
        structure=structure,
        order=torch.cat([torch.randperm(n, generator=draw) for n in lengths]),
        prefix=torch.tensor([min(n, 2) for n in lengths]),
        edges=torch.tensor(edges),
    )


@pytest.fixture
def batch() -> Batch:
    """Give :func:`build_batch`."""
    return build_batch()


@pytest.fixture
def make_batch():
    """Give the function that builds a batch of other lengths."""
    return build_batch
