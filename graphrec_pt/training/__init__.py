"""Training: stages and strategies as data, one trainer, checkpoints, tracking and progress."""
