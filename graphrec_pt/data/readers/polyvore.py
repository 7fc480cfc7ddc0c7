"""Polyvore outfits: Polyvore Outfits (ECCV 2018) and the form of NGNN (WWW 2019)."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import read_json, reader


@reader("polyvore")
class Polyvore:
    """Outfit files of either form → part ``members``.

    ``members`` has ``outfit``, ``item``, ``position``, ``category`` (null in Polyvore Outfits,
    which keeps it with the item) and ``split`` (the beginning of the file's name). Items of the
    NGNN form are ``outfit_index``.
    """

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the table ``members``."""
        rows = [row for file in files for row in _members(file)]
        names = ("outfit", "item", "position", "category", "split")
        frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
        return {"members": frame.with_columns(pl.col("position").cast(pl.Int64))}


def _members(file: RawFile) -> Iterator[tuple[Any, ...]]:
    split = file.name.partition(".")[0].partition("_")[0]
    for number, outfit in enumerate(read_json(file)):
        try:
            key = str(outfit["set_id"])
            if "items" in outfit:
                for item in outfit["items"]:
                    yield key, str(item["item_id"]), str(int(item["index"])), None, split
            else:
                pairs = zip(outfit["items_index"], outfit["items_category"], strict=True)
                for index, category in pairs:
                    yield key, f"{key}_{index}", str(int(index)), str(category), split
        except (KeyError, TypeError, ValueError) as error:
            who = f"{file.name} outfit {number}"
            raise GraphRecError(who, "set_id and items", f"no usable {error}") from error
