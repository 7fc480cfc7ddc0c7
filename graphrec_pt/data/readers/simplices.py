"""Timed simplices of ScHoLP (Benson et al., PNAS 2018): sets of vertices, each with a time."""

from collections.abc import Sequence

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import read_lines, reader, require_fields


@reader("simplices")
class Simplices:
    """``NAME-nverts``, ``-simplices``, ``-times`` and ``-node-labels`` (optional).

    Part ``members`` has ``simplex`` (number from 1), ``vertex`` and ``time``; part ``vertices``
    has ``vertex`` and ``label``.
    """

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the tables ``members`` and ``vertices``."""
        sizes, vertices, times = (_numbers(files, s) for s in ("nverts", "simplices", "times"))
        expected = f"{int(sizes.sum()):,} vertices and {len(sizes):,} times, as -nverts says"
        if int(sizes.sum()) != len(vertices) or len(times) != len(sizes):
            got = f"{len(vertices):,} and {len(times):,}"
            raise GraphRecError("simplices", expected, got, "downloading the files again")
        simplex = pl.Series("simplex", range(1, len(sizes) + 1), dtype=pl.Int64)
        sets = pl.DataFrame([simplex, times.alias("time"), sizes.alias("size")])
        members = sets.select(pl.col("simplex", "time").repeat_by("size").explode())
        members = members.with_columns(vertices.alias("vertex"))
        return {"members": members.select("simplex", "vertex", "time"), "vertices": _labels(files)}


def _find(files: Sequence[RawFile], suffix: str) -> RawFile | None:
    return next((f for f in files if f.name.endswith(f"-{suffix}.txt")), None)


def _numbers(files: Sequence[RawFile], suffix: str) -> pl.Series:
    file = _find(files, suffix)
    if file is None:
        found = ", ".join(f.name for f in files)
        raise GraphRecError("simplices", f"a file …-{suffix}.txt", found, "another --raw folder")
    lines = read_lines(file).with_columns(
        number=pl.col("text").str.strip_chars().cast(pl.Int64, strict=False)
    )
    require_fields(file, lines, pl.col("number").is_not_null(), "a whole number")
    return lines["number"]


def _labels(files: Sequence[RawFile]) -> pl.DataFrame:
    file = _find(files, "node-labels")
    if file is None:
        return pl.DataFrame(schema={"vertex": pl.String, "label": pl.String})
    pair = pl.col("text").str.splitn(" ", 2).struct.rename_fields(["vertex", "label"])
    lines = read_lines(file).with_columns(pair.struct.unnest())
    require_fields(file, lines, pl.col("label").is_not_null(), "a vertex and its label")
    return lines.select("vertex", "label")
