"""Files that the tests write, read through the registered readers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import graphrec_pt.data.readers  # noqa: F401  registers them
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import reader

Read = Callable[..., dict[str, pl.DataFrame]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function: reader config and files (name=content) → tables."""

    def read_files(config: Any, files: dict[str, str | bytes]) -> dict[str, pl.DataFrame]:
        raw = []
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            raw.append(RawFile(path))
        return reader.build(config).read(raw)

    return read_files
