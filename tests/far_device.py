"""A device that no machine needs to have: tensors that refuse what a GPU's would refuse.

A :class:`Far` tensor keeps its values on the CPU and says that it lives elsewhere. An operation
between it and a CPU tensor of one or more dimensions fails, as between CUDA and the CPU; so do
``numpy()`` and every call that needs the CPU's memory. What runs with far tensors from end to end
runs on a GPU, but for the kernels: use the ``torch`` bodies here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

FAR = torch.device("meta")  # the one kind of device that torch lets others play
_aten = torch.ops.aten


class Far(Tensor):
    """A tensor elsewhere."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> "Far":
        made: Far = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=FAR,
        )
        made.near = near
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self) -> Any:
        """Return the values, which a GPU gives too."""
        return self.near.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
        return _run(operation, args, kwargs or {})


def _run(operation: Any, args: Any, kwargs: Any) -> Any:
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    far = [each for each in tensors if isinstance(each, Far)]
    copies = operation in (_aten._to_copy.default, _aten.copy_.default)
    if far and not copies and any(t.ndim for t in tensors if not isinstance(t, Far)):
        shapes = [(type(each).__name__, tuple(each.shape)) for each in tensors]
        raise RuntimeError(f"{operation}: tensors on two devices: {shapes}")
    there = bool(far)
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]) == FAR
        kwargs = {**kwargs, "device": "cpu"}
    args_, kwargs_ = tree_map_only(Far, lambda each: each.near, (args, kwargs))
    out = operation(*args_, **kwargs_)
    if operation is _aten._local_scalar_dense.default:
        return out
    same = [each for each in far if each.near is out]  # an operation in place
    if same:
        return same[0]
    return tree_map_only(Tensor, Far, out) if there else out


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
        return _run(operation, args, kwargs or {})


class _Function(TorchFunctionMode):
    """Makes tensors of Python numbers near, and moves them: torch leaves such ones empty."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        device = kwargs.get("device")
        makes = function in (torch.tensor, torch.as_tensor, Tensor.new_tensor)
        if makes and (device is not None or isinstance(args[0], Far)):
            if function is Tensor.new_tensor:
                kwargs = {"dtype": args[0].dtype, **kwargs}
                device, args = device or args[0].device, args[1:]
            if args and isinstance(args[0], Tensor):
                return args[0].to(**{**kwargs, "device": device or args[0].device})
            made = torch.tensor(*args, **{**kwargs, "device": "cpu"})
            return made.to(device)
        return function(*args, **kwargs)


@contextmanager
def far_device() -> Iterator[torch.device]:
    """Let tensors be on the far device inside the block."""
    with _Function(), _Dispatch():
        yield FAR


def brought_near(value: Any) -> Any:
    """Return the same with far tensors on the CPU, after checking that none was there before."""

    def near(each: Tensor) -> Tensor:
        assert isinstance(each, Far), f"a tensor stayed on the CPU: {each}"
        return each.near

    return tree_map_only(Tensor, near, value)
