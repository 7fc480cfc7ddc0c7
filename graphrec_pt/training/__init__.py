"""Floor 9: stages and strategies as data, one trainer, checkpoints, tracking and progress."""

from graphrec_pt.training import strategy_rows  # registers its members

__all__ = ["strategy_rows"]
