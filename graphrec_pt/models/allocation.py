"""A bound on the memory that an untrusted config can allocate while its network is made."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from graphrec_pt.core.errors import GraphRecError

ROOM = 1 << 24
"""Numbers beyond those of the weights: buffers that are not saved, such as masks."""
_BY_SIZE: tuple[Callable[..., Any], ...] = (
    torch.empty,
    torch.zeros,
    torch.ones,
    torch.rand,
    torch.randn,
    torch.randint,
    torch.full,
    torch.eye,
    torch.arange,
    torch.linspace,
    torch.empty_strided,
)


class BoundedAllocation(TorchFunctionMode):
    """Refuses to make tensors of more numbers, all together, than saved weights can fill.

    Inside the block, what a config claims cannot take more memory than the file beside it has.

    Args:
        weights: Numbers of the saved weights.
        who: Names the config in errors.
    """

    def __init__(self, weights: int, who: str) -> None:
        super().__init__()
        self.left, self.who = 4 * weights + ROOM, who

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function of torch after checking how much it would allocate."""
        options = dict(kwargs or {})
        if func in _BY_SIZE:
            size = _numbers(func, args, options)
            self.left -= size
            if self.left < 0 or size < 0:
                raise GraphRecError(
                    self.who, "a model of the size of its weights", "a config of another size"
                )
        return func(*args, **options)


@contextmanager
def bounded(weights: int, who: str) -> Iterator[None]:
    """Make a network from a config inside the block; see :class:`BoundedAllocation`.

    Raises:
        GraphRecError: When the config asks for too much, or for what cannot be made.
    """
    try:
        with BoundedAllocation(weights, who):
            yield
    except GraphRecError:
        raise
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as e:
        got = (str(e).splitlines() or [type(e).__name__])[0]
        raise GraphRecError(who, "a config that a model can be made from", got) from e


def _numbers(func: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> int:
    """Return how many numbers a factory makes at most."""
    given = [*args, *(options[name] for name in ("size", "end", "steps", "n") if name in options)]
    if func in (torch.arange, torch.linspace):
        return max((abs(int(each)) for each in given if isinstance(each, int)), default=0)
    if func is torch.eye:
        sizes = [each for each in given if isinstance(each, int)]
        return int(prod(sizes) if len(sizes) > 1 else sizes[0] ** 2 if sizes else 0)
    shapes = [each for each in given if isinstance(each, list | tuple)]
    shape = shapes[0] if shapes else [each for each in given if isinstance(each, int)]
    return int(prod(int(each) for each in shape))
