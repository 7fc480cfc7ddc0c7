"""Sparse matrices that scipy saved: a row per stored value."""

import io
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import reader


@reader("matrix")
class Matrix:
    """``scipy.sparse.save_npz`` files (csr, csc or coo) → part ``matrix``.

    The table has ``row``, ``column``, ``value`` and ``file``; arrays of objects are refused.
    """

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the table ``matrix``."""
        return {"matrix": pl.concat((_entries(file) for file in files), how="vertical_relaxed")}


_DAMAGED = (
    ValueError,
    LookupError,
    TypeError,
    OSError,
    EOFError,
    MemoryError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise for damaged files, and for shapes that no memory holds."""


def _entries(file: RawFile) -> pl.DataFrame:
    try:
        with file.open() as stream, np.load(io.BytesIO(stream.read()), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
            kind = bytes(arrays["format"].item()).decode()
        if kind == "coo":
            row, column = arrays["row"], arrays["col"]
        elif kind in ("csr", "csc"):
            along = np.repeat(np.arange(len(arrays["indptr"]) - 1), np.diff(arrays["indptr"]))
            across = arrays["indices"]
            row, column = (along, across) if kind == "csr" else (across, along)
        else:
            raise ValueError(f"a {kind} matrix")
        columns = {"row": row.astype(np.int64), "column": column.astype(np.int64)}
        frame = pl.DataFrame(columns | {"value": arrays["data"]})
    except (*_DAMAGED, pl.exceptions.PolarsError) as error:
        hint = "scipy.sparse.save_npz, or downloading it again"
        raise GraphRecError(file.name, "a sparse matrix saved by scipy", error, hint) from error
    return frame.with_columns(file=pl.lit(file.name))
