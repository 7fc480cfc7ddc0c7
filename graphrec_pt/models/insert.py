"""Small networks put behind parts of a model, without a new name for what was there."""

from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


def insert(host: nn.Module, name: str, part: nn.Module) -> None:
    """Let what a module returns go through a part, which becomes its child.

    The weights of the module keep their names, so that saved ones still fit.

    Args:
        host: Any module that returns a tensor.
        name: Of the child.
        part: From and to tensors of the shape that `host` returns.
    """
    host.add_module(name, part.to(device_of(host)))
    host.register_forward_hook(partial(_through, name=name))


def device_of(network: nn.Module) -> torch.device:
    """Return where the weights or buffers of a network are."""
    some = next(chain[Tensor](network.parameters(), network.buffers()), None)
    return torch.device("cpu") if some is None else some.device


def _through(host: nn.Module, given: Any, made: Tensor, *, name: str) -> Tensor:
    out: Tensor = host.get_submodule(name)(made)
    return out.to(made.dtype)
