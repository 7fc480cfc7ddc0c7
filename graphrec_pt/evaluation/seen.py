"""Which candidates a source has met before, and what is done about them."""

from typing import Literal

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, Targets, When
from graphrec_pt.kernels.torch.segments import ranges

SeenPolicy = Literal["mask", "keep"]
"""Whether what a source has met is left out of its ranking or stays a candidate."""
HISTORY: dict[When, str] = {"valid": "train", "test": "train + valid"}
"""What ``split.history(when)`` shows, as recorded with every outcome."""


def seen_pairs(history: Graph, relation: str, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Return what each source has met, each candidate once.

    Args:
        history: What may be seen.
        relation: The relation that is predicted.
        nodes: int64 ``[B]`` global ids of sources.

    Returns:
        ptr int64 ``[B+1]`` and int64 ``[S]`` candidates, counted from the first of their type and
        ascending for each source.
    """
    found = history.schema.relation(relation)
    catalogue = history.nodes(found.target)
    low, high = history.segments(relation)
    at = nodes - history.nodes(found.source).start
    position, row = ranges(low[at], (high - low)[at])
    column = history.csr.indices[position].long() - catalogue.start
    pairs = torch.unique(row * len(catalogue) + column)
    row, column = pairs // len(catalogue), pairs % len(catalogue)
    counts = torch.bincount(row, minlength=len(nodes))
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]), column


def repeats(split: Split, when: When = "test") -> int:
    """Count the targets that their source has met before."""
    targets = targets_of(split, when)
    nodes, row = torch.unique(targets.source, return_inverse=True)
    history = split.history(when)
    catalogue = history.nodes(history.schema.relation(split.relation).target)
    ptr, column = seen_pairs(history, split.relation, nodes)
    owner = ranges(ptr[:-1], ptr.diff())[1]
    asked = row * len(catalogue) + targets.target - catalogue.start
    return int(torch.isin(asked, owner * len(catalogue) + column).sum())


def seen_policies(split: Split, when: When = "test") -> tuple[SeenPolicy, ...]:
    """Return the policies to report: masking alone, or both where the data has repeats."""
    return ("mask", "keep") if repeats(split, when) else ("mask",)


def targets_of(split: Split, when: When) -> Targets:
    """Return what is to be predicted at validation or at test."""
    split.history(when)  # complains about other words
    return split.valid if when == "valid" else split.test
