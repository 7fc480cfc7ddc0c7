"""Rows that cannot be used: counted and listed, dropped only when the card says so."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphrec_pt.core.errors import GraphRecError

SHOWN = 3


@dataclass
class Problems:
    """Collects what was dropped while a graph is built.

    Args:
        dropped: Rows that cannot be used, by place and reason.
        copies: Files that were left out because they are copies, a sentence each.
    """

    dropped: list[dict[str, Any]] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)

    def meet(
        self,
        where: str,
        what: str,
        count: int,
        examples: Sequence[str],
        *,
        drop: bool,
        hint: str,
    ) -> None:
        """Record rows that will be dropped, or refuse them.

        Args:
            where: Table or relation.
            what: What was expected of a row.
            count: How many rows fail; nothing happens at 0.
            examples: A few of them, as ``file:line value``.
            drop: Whether the card allows dropping.
            hint: What the user could write in the card.

        Raises:
            GraphRecError: When rows fail and `drop` is false.
        """
        if not count:
            return
        listed = ", ".join(examples[:SHOWN]) + (", …" if count > SHOWN else "")
        if not drop:
            rows = "1 row" if count == 1 else f"{count:,} rows"
            raise GraphRecError(where, what, f"{rows} without ({listed})", hint)
        self.dropped.append(
            {"where": where, "expected": what, "rows": count, "examples": list(examples[:SHOWN])}
        )
