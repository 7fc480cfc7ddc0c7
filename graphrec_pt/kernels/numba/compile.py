"""How kernels are compiled and how many threads they use: as many as torch, cached on disk."""

import logging
import os
from collections.abc import Callable
from functools import cache, wraps
from threading import Lock, Thread
from typing import Any, NamedTuple, TypeVar, cast

import numba
import torch
from numba.core.event import Event, Listener, register
from numba.np.ufunc import parallel

_turn = Lock()
COMPILING = "compiling kernels: the first time only, half a minute or less"
"""Logged once by a process that compiles, so that its silence is explained."""


class _Pool(NamedTuple):
    """numba's threads, once they run.

    Args:
        layer: What runs them: ``"omp"``, ``"tbb"`` or ``"workqueue"``.
        most: How many there are.
        get: Returns how many the calling thread may use.
        set: Sets it. Both without the lock of all processes that the public functions take.
    """

    layer: str
    most: int
    get: Callable[[], int]
    set: Callable[[int], None]


def thread_count() -> int:
    """Return how many threads a kernel may use here: ``torch.get_num_threads()``.

    So ``OMP_NUM_THREADS`` and ``torch.set_num_threads`` hold for kernels as well. Fewer where
    numba has fewer, by ``NUMBA_NUM_THREADS`` or ``numba.set_num_threads``.
    """
    return min(torch.get_num_threads(), _pool().get())


def with_threads(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Let a parallel kernel use :func:`thread_count` threads, and leave both counts as they were.

    Callers from several threads take turns where numba demands it: its ``workqueue`` layer, the
    only one without OpenMP or TBB, ends the process when two threads enter it at once.
    """

    @wraps(kernel)
    def call(*arguments: Any) -> Any:
        pool = _pool()
        if pool.layer == "workqueue":
            with _turn:
                return _limited(pool, kernel, arguments)
        return _limited(pool, kernel, arguments)

    return call


def _limited(pool: _Pool, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    count = torch.get_num_threads()
    if count >= pool.most or count >= (before := pool.get()):
        return kernel(*arguments)
    pool.set(count)
    try:
        return kernel(*arguments)
    finally:
        pool.set(before)


@cache
def _pool() -> _Pool:
    """Start numba's threads.

    Its OpenMP layer then calls ``omp_set_num_threads``, which also sets torch's count in the
    calling thread: torch would split sums otherwise from there on, and give other bits. So the
    call is made by a thread that ends with it.
    """
    pools: list[_Pool] = []

    def start() -> None:
        most = numba.get_num_threads()
        names = vars(parallel)
        layer = cast(Callable[[], str], parallel.threading_layer)()
        pools.append(_Pool(layer, most, names["_get_num_threads"], names["_set_num_threads"]))

    launch = Thread(target=start)
    launch.start()
    launch.join()
    return pools[0]


class _Notice(Listener):
    """Logs that kernels are compiled; kernels that lie on disk cause no event."""

    def on_start(self, event: Event) -> None:
        """Log it, once in a process."""
        _log_compiling()

    def on_end(self, event: Event) -> None:
        """Do nothing."""


@cache
def _log_compiling() -> None:
    logging.getLogger("graphrec_pt.kernels").info(COMPILING)


@cache
def _listen() -> None:
    add: Callable[[str, Listener], None] = register
    add("numba:compile", _Notice())


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
    _listen()
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
