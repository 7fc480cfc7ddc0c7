"""The outcome of a task for the targets of one split: a table by raw ids, saved with a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_file
from graphrec_pt.graph.stored_tables import read_parquet

HISTORY = "history"
"""Key of a policy with the edges that the system saw."""


class Outcome(Protocol):
    """One row per target; metrics, slices and tests need nothing else."""

    @property
    def table(self) -> pl.DataFrame:
        """Columns ``split``, ``user``, ``item`` (raw ids), and the task's columns of a target."""
        ...

    @property
    def policy(self) -> Mapping[str, str]:
        """Evaluation policy: the edges that the system saw, and deviations from a full ranking."""
        ...

    @property
    def users(self) -> pl.Series:
        """Raw ids of the users, ascending as texts ``[U]``."""
        ...

    @property
    def targets(self) -> pl.DataFrame:
        """The targets in order; two systems are comparable if their targets are equal."""
        ...

    def where(self, kept: pl.Expr | pl.Series) -> Self:
        """Return the outcome of some targets only."""
        ...

    def __len__(self) -> int:
        """How many targets there are."""
        ...


def write_outcomes(path: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Write one or more splits to a Parquet file, their policy into its metadata.

    The edges that the system saw may differ between splits; the file then records them per split.

    Raises:
        GraphRecError: For no outcomes, and for splits with different policies.
    """
    shown = {part.table["split"][0]: part.policy.get(HISTORY) for part in outcomes}
    policies = [{**part.policy, HISTORY: ""} for part in outcomes]
    if not outcomes or any(policy != policies[0] for policy in policies):
        raise GraphRecError("write_outcomes", "outcomes made by one policy", policies)
    policy = dict(outcomes[0].policy)
    if len(set(shown.values())) > 1:
        policy[HISTORY] = "; ".join(f"{when}: {history}" for when, history in shown.items())
    with finished_file(Path(path)) as made:
        pl.concat([part.table for part in outcomes]).write_parquet(made, metadata=policy)


def read_tables(
    path: str | Path, columns: Sequence[str]
) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """Return the table of each split of a file that :func:`write_outcomes` wrote, and its policy.

    Args:
        path: Path of the file.
        columns: Required columns of the tables.

    Raises:
        GraphRecError: When the file is missing or is no such table.
    """
    try:
        table, policy = read_parquet(path)
    except (OSError, ValueError) as error:
        expected = f"a Parquet file with the columns {', '.join(columns)}"
        raise GraphRecError(str(path), expected, error) from error
    if "split" not in table.columns:
        raise GraphRecError(str(path), f"the columns {', '.join(columns)}", table.columns)
    kept = {name: value for name, value in policy.items() if not name.startswith("ARROW")}
    parts = table.partition_by("split", maintain_order=True)
    return {str(part["split"][0]): part for part in parts}, kept
