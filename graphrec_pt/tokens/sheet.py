"""Sequences laid out part by part, in any order: one sort at the end puts every token in place."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.tokens.kind import IGNORE, Kind, Special
from graphrec_pt.tokens.tokens import Tokens

NEUTRAL = {
    "type": -1,
    "slot": 0,
    "hop": -1,
    "relation": -1,
    "time": NO_TIME,
    "labels": IGNORE,
    "word": -1,
}
"""Columns of tokens and their values where nothing is known."""


class Sheet:
    """Collects the tokens of n sequences.

    Args:
        size: n.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.parts: list[dict[str, Tensor]] = []

    def words(self, row: Tensor, literals: Sequence[Tensor], first: int) -> None:
        """Add texts, the same ones to several sequences.

        Args:
            row: int64 ``[k]``, the sequences.
            literals: Ids of each text.
            first: Place of the first text among the parts of a sequence.
        """
        if not len(row) or not len(literals):
            return
        ids = torch.cat([*literals])
        size = torch.tensor([len(each) for each in literals])
        part = first + torch.arange(len(size)).repeat_interleave(size)
        owner = row.repeat_interleave(len(ids))
        self._add(owner, part.repeat(len(row)), ids.repeat(len(row)), Kind.TEXT)

    def special(self, row: Tensor, part: Tensor, which: Special) -> None:
        """Add one special token to each of some sequences: int64 ``[k]`` both."""
        self._add(row, part, torch.full_like(row, which), Kind.SPECIAL)

    def tokens(self, row: Tensor, part: Tensor, slot: Tensor | None, made: Tokens) -> None:
        """Add tokens of k sequences.

        Args:
            row: int64 ``[k]``, the sequences.
            part: int64 ``[k]``, the place among the parts of each.
            slot: int64 ``[k]``, number of the slot; None for an answer, of which a model that
                writes it knows ids and types alone.
            made: k sequences.
        """
        owner = made.sequence_of()
        columns: dict[str, Tensor | None] = {"type": made.type}
        if slot is not None:
            names = ("hop", "relation", "time", "labels", "word")
            columns |= {name: getattr(made, name) for name in names}
            columns["slot"] = slot[owner]
        given = {name: column for name, column in columns.items() if column is not None}
        self._add(row[owner], part[owner], made.id, made.kind, **given)

    def laid(self) -> Tokens:
        """Return the sequences; `word` counts the words of each sequence."""
        none = torch.zeros(0, dtype=torch.int64)
        self._add(none, none, none, Kind.TEXT)
        whole = {name: torch.cat([part[name] for part in self.parts]) for name in self.parts[0]}
        most = int(whole["part"].max()) + 1 if len(whole["part"]) else 1
        order = torch.argsort(whole["row"] * most + whole["part"], stable=True)
        whole = {name: column[order] for name, column in whole.items()}
        row, part = whole.pop("row"), whole.pop("part")
        count = torch.bincount(row, minlength=self.size)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        whole["word"] = _numbered(row, part, whole["word"])
        return Tokens.of(whole.pop("id"), whole.pop("kind"), ptr, **whole)

    def _add(
        self, row: Tensor, part: Tensor, id: Tensor, kind: Tensor | Kind, **columns: Tensor
    ) -> None:
        made = {name: torch.full_like(id, value) for name, value in NEUTRAL.items()} | columns
        kinds = torch.full_like(id, kind) if isinstance(kind, Kind) else kind
        self.parts.append({"row": row, "part": part, "id": id, "kind": kinds, **made})


def _numbered(row: Tensor, part: Tensor, word: Tensor) -> Tensor:
    """Return the number in its sequence of each word of a part, −1 for none: int64 ``[T]``."""
    some = (word >= 0).nonzero().squeeze(1)
    if not len(some):
        return word
    key = torch.stack([row[some], part[some], word[some]])  # ascending, for tokens are in place
    starts = torch.ones_like(some, dtype=torch.bool)
    starts[1:] = (key[:, 1:] != key[:, :-1]).any(0)
    number = starts.long().cumsum(0) - 1
    first = torch.full((int(row.max()) + 1,), len(some))
    first = first.scatter_reduce(0, key[0], number, "amin")
    return torch.full_like(word, -1).index_copy(0, some, number - first[key[0]])
