"""Targets that repeat an earlier interaction, and the policies about seen candidates."""

import torch

from graphrec_pt.graph.split import Split, Targets, When
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.predict.seen import SeenPolicy, seen_pairs

HISTORY: dict[When, str] = {"valid": "train", "test": "train + valid"}
"""What ``split.history(when)`` shows, as recorded with every outcome."""


def repeats(split: Split, when: When = "test") -> int:
    """Count the targets that their source has already interacted with."""
    targets = targets_of(split, when)
    nodes, row = torch.unique(targets.source, return_inverse=True)
    history = split.history(when)
    catalogue = history.nodes(history.schema.relation(split.relation).target)
    ptr, column = seen_pairs(history, split.relation, nodes)
    owner = ranges(ptr[:-1], ptr.diff())[1]
    pairs = row * len(catalogue) + targets.target - catalogue.start
    return int(torch.isin(pairs, owner * len(catalogue) + column).sum())


def seen_policies(split: Split, when: When = "test") -> tuple[SeenPolicy, ...]:
    """Return the policies to report: masking alone, or both where the data has repeats."""
    return ("mask", "keep") if repeats(split, when) else ("mask",)


def targets_of(split: Split, when: When) -> Targets:
    """Return the targets of validation or of test."""
    split.history(when)  # raises for any other word
    return split.valid if when == "valid" else split.test
