"""Raw ids → integers: which nodes there are, and in what order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

Codes = npt.NDArray[np.int32] | npt.NDArray[np.int64]
UNKNOWN = -1
SPREAD = 4  # ids over at most this many times their number are looked up in a direct table


@dataclass(frozen=True)
class Numbering:
    """The raw ids of one node type in canonical (sorted) order; a code is a place in it.

    Args:
        ids: Sorted, unique; Int64 when every id of the type is a whole number, else String.
    """

    ids: pl.Series

    def __len__(self) -> int:
        return len(self.ids)

    def codes(self, raw: pl.Series) -> Codes:
        """Return the code of each raw id: int32 or int64, −1 where unknown or null."""
        if self.ids.dtype == pl.Int64 and raw.dtype == pl.Int64 and not raw.null_count():
            return self._integer_codes(raw.to_numpy())
        asked = pl.DataFrame({"id": raw.cast(self.ids.dtype, strict=False)})
        known = pl.DataFrame({"id": self.ids}).with_row_index("code")
        found = asked.join(known, on="id", how="left", maintain_order="left")["code"]
        return found.cast(pl.Int64).fill_null(UNKNOWN).to_numpy()

    def _integer_codes(self, raw: npt.NDArray[np.int64]) -> Codes:
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
            return cast(Codes, table[raw - low])
        outside = (raw < low) | (raw > high)
        return np.where(outside, UNKNOWN, table[np.where(outside, 0, raw - low)])


def number(columns: Sequence[pl.Series]) -> Numbering:
    """Number all distinct raw ids of some columns, nulls left out."""
    dtype = id_dtype(columns)
    distinct: list[Any] = [_distinct(c.cast(dtype)) for c in columns]
    ids = pl.concat(distinct).unique().sort() if distinct else pl.Series([], dtype=pl.String)
    return Numbering(ids.rename("id"))


def id_dtype(columns: Sequence[pl.Series]) -> pl.DataType:
    """Return the type that all columns of ids of one node type share."""
    whole = bool(columns) and all(column.dtype.is_integer() for column in columns)
    return pl.Int64() if whole else pl.String()


def _distinct(column: pl.Series) -> pl.Series:
    """Return the distinct values; dense whole numbers by marking rather than hashing."""
    if column.dtype == pl.Int64 and not column.null_count() and len(column):
        raw = column.to_numpy()
        low, high = int(raw.min()), int(raw.max())
        if high - low <= len(raw):
            seen = np.zeros(high - low + 1, bool)
            seen[raw - low] = True
            return pl.Series(np.flatnonzero(seen) + low)
    return column.unique().drop_nulls()
