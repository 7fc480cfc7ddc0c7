"""How kernels are compiled: cached on disk, without the GIL, bounds checked in debug mode."""

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from graphrec_pt.kernels.numba.threads import with_threads

F = TypeVar("F", bound=Callable[..., Any])

DEBUG = "GRAPHREC_KERNELS_DEBUG"


def checked() -> bool:
    """Say whether kernels check every index (``GRAPHREC_KERNELS_DEBUG=1``)."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def kernel(parallel: bool = False, reorder: bool = False) -> Callable[[F], F]:
    """Return the decorator of a kernel: compiled on first call, kept on disk.

    The debug switch is read when the module is imported. Checked kernels run serially and are
    not cached, so that the two kinds never mix.

    Args:
        parallel: Whether ``prange`` loops run on several threads.
        reorder: Whether sums may be added up in another order, several terms at a time.
    """
    options: dict[str, Any] = {"cache": True, "parallel": parallel}
    if reorder:
        options["fastmath"] = {"reassoc", "contract"}
    if checked():
        options = {"boundscheck": True}

    def compiled(function: F) -> F:
        kernel: Any = numba.njit(nogil=True, **options)(function)
        return cast(F, with_threads(kernel) if options.get("parallel") else kernel)

    return compiled


def inlined(function: F) -> F:
    """Compile a function that is written into each kernel calling it.

    A call would pass every array of the graph by value and count references to it.
    """
    compiled: Any = numba.njit(inline="always")(function)
    return cast(F, compiled)
