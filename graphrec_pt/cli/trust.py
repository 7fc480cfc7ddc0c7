"""Code from outside the library: run only when the user says so."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from graphrec_pt.core.registry import trusting

TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Run code outside the library that it names, from this folder too.",
    ),
]


@contextmanager
def trusted(code: bool) -> Iterator[None]:
    """Let what is named inside the block be imported, also from the folder at hand."""
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
