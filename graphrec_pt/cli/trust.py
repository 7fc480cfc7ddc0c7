"""The option that allows code from outside the library."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Allow code outside the library that the input names, also in the current folder.",
    ),
]


@contextmanager
def trusted(code: bool) -> Iterator[None]:
    """Allow code outside the library inside the block, also from the current folder."""
    from graphrec_pt.core.registry import trusting  # pydantic: help does not wait for it

    here = str(Path.cwd())
    added = code and here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        with trusting(code):
            yield
    finally:
        if added:
            sys.path.remove(here)
