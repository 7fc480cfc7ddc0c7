"""Floor 8: stages and strategies as data, one trainer, checkpoints, tracking and progress."""
