"""What a task gives for the targets of one split: a table by raw ids, kept with a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_file
from graphrec_pt.graph.stored_tables import read_parquet

HISTORY = "history"
"""Key of a policy that says what a system was shown."""


class Outcome(Protocol):
    """One row per target; metrics, slices and tests are made of it alone."""

    @property
    def table(self) -> pl.DataFrame:
        """Columns ``split``, ``user``, ``item`` (raw ids), and what the task tells of a target."""
        ...

    @property
    def policy(self) -> Mapping[str, str]:
        """How it was made: what had been seen, and what departs from a full ranking."""
        ...

    @property
    def users(self) -> pl.Series:
        """Raw ids of the users, ascending as texts ``[U]``."""
        ...

    @property
    def targets(self) -> pl.DataFrame:
        """What was to be predicted, in order: equal for systems that can be compared."""
        ...

    def where(self, kept: pl.Expr | pl.Series) -> Self:
        """Return the outcome of some targets alone."""
        ...

    def __len__(self) -> int:
        """How many targets there are."""
        ...


def write_outcomes(path: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Write one or more splits to a Parquet file, their policy into its metadata.

    What a system was shown may differ between splits, and is then told of each.

    Raises:
        GraphRecError: For none, and splits that were made by different policies.
    """
    shown = {each.table["split"][0]: each.policy.get(HISTORY) for each in outcomes}
    policies = [{**each.policy, HISTORY: ""} for each in outcomes]
    if not outcomes or any(policy != policies[0] for policy in policies):
        raise GraphRecError("write_outcomes", "outcomes made by one policy", policies)
    policy = dict(outcomes[0].policy)
    if len(set(shown.values())) > 1:
        policy[HISTORY] = "; ".join(f"{when}: {history}" for when, history in shown.items())
    with finished_file(Path(path)) as made:
        pl.concat([each.table for each in outcomes]).write_parquet(made, metadata=policy)


def read_tables(
    path: str | Path, columns: Sequence[str]
) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """Return the table of each split of a file that :func:`write_outcomes` wrote, and its policy.

    Args:
        path: Of the file.
        columns: That the tables should have.

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
