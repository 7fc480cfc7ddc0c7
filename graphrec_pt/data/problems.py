"""The audit of a build: unusable rows and all other changes of the data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphrec_pt.core.errors import GraphRecError, raise_all
from graphrec_pt.core.printable import counted

SHOWN = 3
LONGEST = 60


@dataclass
class Problems:
    """Collects dropped rows, changes and errors while a graph is built.

    Args:
        dropped: Rows that the card leaves out, as ``where``, ``expected``, ``rows``, ``examples``.
        notes: Other changes for the user, one sentence each.
        copies: Files that were left out because they are copies, a sentence each.
        refused: Errors that stop the build; they are raised together by :meth:`settle`.
    """

    dropped: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    refused: list[GraphRecError] = field(default_factory=list)

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
        """Record unusable rows: as dropped if the card allows it, else as an error.

        Args:
            where: Table or relation.
            what: What was expected of a row.
            count: How many rows fail; nothing happens at 0.
            examples: A few of them, as ``file:line value``.
            drop: Whether the card allows dropping.
            hint: What the user could write in the card.
        """
        if not count:
            return
        if drop:
            dropped = {"where": where, "expected": what, "rows": count}
            self.dropped.append({**dropped, "examples": list(examples[:SHOWN])})
        else:
            got = f"{counted(count, 'row')} without ({some(examples, count)})"
            self.refused.append(GraphRecError(where, what, got, hint))

    def note(self, text: str) -> None:
        """Record a change once."""
        if text not in self.notes:
            self.notes.append(text)

    def settle(self) -> None:
        """Raise all refusals so far together.

        Raises:
            GraphRecError: When something was refused.
        """
        raise_all(self.refused)


def shown(value: object) -> str:
    """Return a cell as errors show it, long ones cut."""
    if value is None:
        return "(an empty cell)"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def some(examples: Sequence[str], count: int) -> str:
    """Return the first examples of `count`."""
    return ", ".join(examples[:SHOWN]) + (", …" if count > SHOWN else "")
