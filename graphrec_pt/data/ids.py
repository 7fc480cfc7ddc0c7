"""Raw ids → integer codes in sorted order, and checks for ids that differ only in spelling."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

IdCodes = npt.NDArray[np.int32] | npt.NDArray[np.int64]
UNKNOWN = -1
SPREAD = 4  # ids over at most this many times their number are looked up in a direct table
DIFFERENCES = ("'.0'", "spaces", "leading zeros")


@dataclass(frozen=True)
class Numbering:
    """The raw ids of one node type in canonical (sorted) order; a code is a place in it.

    Args:
        ids: Sorted, unique; Int64 when every id of the type is a whole number, else String.
    """

    ids: pl.Series

    def __len__(self) -> int:
        return len(self.ids)

    def codes(self, raw: pl.Series) -> IdCodes:
        """Return the code of each raw id: int32 or int64, −1 where unknown or null."""
        if self.ids.dtype == pl.Int64 and raw.dtype == pl.Int64 and not raw.null_count():
            return self._integer_codes(raw.to_numpy())
        wanted = pl.DataFrame({"id": raw.cast(self.ids.dtype, strict=False)})
        known = pl.DataFrame({"id": self.ids}).with_row_index("code")
        codes = wanted.join(known, on="id", how="left", maintain_order="left")["code"]
        return codes.cast(pl.Int64).fill_null(UNKNOWN).to_numpy()

    def _integer_codes(self, raw: npt.NDArray[np.int64]) -> IdCodes:
        ids = self.ids.to_numpy()
        if not len(ids) or not len(raw):
            return np.full(len(raw), UNKNOWN, np.int64)
        low, high = int(ids[0]), int(ids[-1])
        if high - low > SPREAD * len(ids) + 1_000_000:
            place = np.minimum(np.searchsorted(ids, raw), len(ids) - 1)
            return np.where(ids[place] == raw, place, UNKNOWN)
        # Dense enough for a direct table, narrow so that it stays in the cache.
        table = np.full(high - low + 1, UNKNOWN, np.int32 if len(ids) < 2**31 else np.int64)
        table[ids - low] = np.arange(len(ids))
        if low <= int(raw.min()) and int(raw.max()) <= high:
            return cast(IdCodes, table[raw - low])
        outside = (raw < low) | (raw > high)
        return np.where(outside, UNKNOWN, table[np.where(outside, 0, raw - low)])


def number(columns: Sequence[pl.Series]) -> Numbering:
    """Number all distinct raw ids of some columns, nulls left out."""
    whole = bool(columns) and all(column.dtype.is_integer() for column in columns)
    dtype = pl.Int64() if whole else pl.String()
    columns_of_ids: list[Any] = [distinct(c.cast(dtype)) for c in columns]
    ids = (
        pl.concat(columns_of_ids).unique().sort()
        if columns_of_ids
        else pl.Series([], dtype=pl.String)
    )
    return Numbering(ids.rename("id"))


def distinct(column: pl.Series) -> pl.Series:
    """Return the distinct values; dense whole numbers by marking rather than hashing."""
    if column.dtype == pl.Int64 and not column.null_count() and len(column):
        raw = column.to_numpy()
        low, high = int(raw.min()), int(raw.max())
        if high - low <= len(raw):
            seen = np.zeros(high - low + 1, bool)
            seen[raw - low] = True
            return pl.Series(np.flatnonzero(seen) + low)
    return column.unique().drop_nulls()


def same_but(one: str, other: str) -> str:
    """Return how two similar ids differ: ``.0``, spaces, zeros; empty for any other difference."""
    if one == other:
        return ""
    if one.removesuffix(".0") == other.removesuffix(".0"):
        return "'.0'"
    if one.strip() == other.strip():
        return "spaces"
    same = one.isdigit() and other.isdigit() and one.lstrip("0") == other.lstrip("0")
    return "leading zeros" if same else ""


def alike(ids: pl.Expr, how: str) -> pl.Expr:
    """Return ids normalized by one of the differences that :func:`same_but` returns."""
    if how == "'.0'":
        return ids.str.replace(r"^([-+]?\d+)\.0$", "$1")
    return ids.str.strip_chars() if how == "spaces" else ids.str.replace(r"^0+(\d)", "$1")


def alike_hint(how: str, column: str, table: str) -> str:
    """Return the option of a card that removes a difference of ids."""
    if how == "spaces":
        return f"`derive: {{{column}: TRIM({column})}}` in table {table!r}"
    return f"`types: {{{column}: int}}` in table {table!r}"


def differences(ids: pl.Series, others: pl.Series) -> Iterator[tuple[str, str, str]]:
    """Yield ids that differ from others only in spelling: (difference, an id, the other)."""
    for how in DIFFERENCES:
        one = pl.DataFrame({"one": ids}).with_columns(key=alike(pl.col("one"), how))
        two = pl.DataFrame({"two": others}).with_columns(key=alike(pl.col("two"), how))
        both = one.join(two, on="key").filter(pl.col("one") != pl.col("two")).head(1)
        if len(both):
            yield how, both["one"][0], both["two"][0]
