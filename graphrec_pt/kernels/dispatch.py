"""Dispatch of a kernel to one of its bodies: torch (reference), numba (CPU) or triton (CUDA)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean

BODIES = ("torch", "numba", "triton")
ENVIRONMENT = "GRAPHREC_KERNELS"

_forced: ContextVar[str | None] = ContextVar("forced_kernel_body", default=None)


@contextmanager
def forced_body(name: str) -> Iterator[None]:
    """Run every kernel inside the block with one body, whatever the device.

    Args:
        name: ``"torch"``, ``"numba"`` or ``"triton"``.
    """
    token = _forced.set(_known(name, "forced_body"))
    try:
        yield
    finally:
        _forced.reset(token)


def chosen_body(like: Tensor) -> str:
    """Return the body's name for tensors on the device of `like`.

    The order is: :func:`forced_body`, the environment variable ``GRAPHREC_KERNELS``, the device.
    """
    forced = _forced.get() or os.environ.get(ENVIRONMENT)
    if forced:
        return _known(forced, ENVIRONMENT)
    if like.is_cuda:
        return "triton" if find_spec("triton") else "torch"
    return "numba"


def body(op: str, like: Tensor) -> Callable[..., Any]:
    """Return the function that computes `op` on the device of `like`.

    Bodies are imported on first use, so that numba and triton cost nothing until then. They stand
    in ``graphrec_pt.kernels.<body>.<family>``; a short torch body stands beside its front, in
    ``graphrec_pt.kernels.<family>`` as ``torch_<function>``. A function without a body for the
    device uses the torch body.

    Args:
        op: ``"family.function"``, or one name for both.
        like: A tensor on the device.
    """
    return _function(chosen_body(like), op)


@cache
def _function(chosen: str, op: str) -> Callable[..., Any]:
    family, _, name = op.rpartition(".")
    home = family or name
    places = [(f"{chosen}.{home}", name), (f"torch.{home}", name), (home, f"torch_{name}")]
    for module, function in places:
        if find_spec(f"graphrec_pt.kernels.{module}") is not None:
            contents = vars(import_module(f"graphrec_pt.kernels.{module}"))
            if function in contents:
                implementation: Callable[..., Any] = contents[function]
                return implementation
    raise GraphRecError("body", "a kernel", repr(op))


def _known(name: str, who: str) -> str:
    if name not in BODIES:
        raise GraphRecError(who, "a kernel body", repr(name), did_you_mean(name, BODIES))
    return name
