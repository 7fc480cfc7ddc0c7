"""Who decides how many threads compute: torch, for compiled kernels too."""

from collections.abc import Callable
from functools import cache, wraps
from threading import Lock, Thread
from typing import Any, cast

import numba
import torch
from numba.np.ufunc import parallel

_turn = Lock()


def thread_count() -> int:
    """Return how many threads a kernel may use here: ``torch.get_num_threads()``.

    So ``OMP_NUM_THREADS`` and ``torch.set_num_threads`` hold for kernels as well. Fewer where
    numba has fewer, by ``NUMBA_NUM_THREADS`` or ``numba.set_num_threads``.
    """
    _layer()
    return min(torch.get_num_threads(), numba.get_num_threads())


def with_threads(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Let a parallel kernel use :func:`thread_count` threads, and leave both counts as they were.

    Callers from several threads take turns where numba demands it: its ``workqueue`` layer, the
    only one without OpenMP or TBB, ends the process when two threads enter it at once.
    """

    @wraps(kernel)
    def call(*arguments: Any) -> Any:
        if _layer() == "workqueue":
            with _turn:
                return _limited(kernel, arguments)
        return _limited(kernel, arguments)

    return call


def _limited(kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    count = torch.get_num_threads()
    if count >= numba.config.NUMBA_NUM_THREADS:  # type: ignore[attr-defined]
        return kernel(*arguments)
    # numba's public functions for this take a lock of all processes: 5 us each.
    before = parallel._get_num_threads()  # type: ignore[attr-defined]
    if count >= before:
        return kernel(*arguments)
    parallel._set_num_threads(count)  # type: ignore[attr-defined]
    try:
        return kernel(*arguments)
    finally:
        parallel._set_num_threads(before)  # type: ignore[attr-defined]


@cache
def _layer() -> str:
    """Start numba's threads, and return the name of the layer that runs them.

    Its OpenMP layer then calls ``omp_set_num_threads``, which also sets torch's count in the
    calling thread: torch would split sums otherwise from there on, and give other bits. So the
    call is made by a thread that ends with it.
    """
    launch = Thread(target=cast(Callable[[], None], parallel._launch_threads))
    launch.start()
    launch.join()
    return cast(Callable[[], str], parallel.threading_layer)()
