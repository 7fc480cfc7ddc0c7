"""Networks whose initial weights are a function of a seed alone."""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Generator, nn

from graphrec_pt.core.key import Key, draw32

M = TypeVar("M", bound=nn.Module)

SPREAD = 0.02  # standard deviation of weights (BERT, Devlin et al., NAACL 2019)


@runtime_checkable
class Initialised(Protocol):
    """A module with its own initialisation, called after those of its submodules."""

    def initialise(self, draw: Generator) -> None:
        """Fill the parameters."""
        ...


def derive_seed(seed: int, purpose: str) -> int:
    """Return a separate seed for one of several networks, so that they share no draws."""
    return int(draw32(Key(seed).named(purpose), 0))


def seeded(make: Callable[[], M], seed: int) -> M:
    """Build a network without touching the global random state, and fill it from a seed.

    Linear and embedding weights are normal with spread 0.02, biases and padding rows 0, norms the
    identity; parameters of other modules are 0 unless the module has ``initialise(draw)``.

    Args:
        make: Returns the network; runs on the meta device, so it must not compute values.
        seed: Seed of the draws, which go through the modules in order.
    """
    with torch.device("meta"):
        network = make()
    network.to_empty(device="cpu")
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for module in reversed(list(network.modules())):  # parts before the whole
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(0, SPREAD, generator=draw)
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            if isinstance(module, Initialised):
                module.initialise(draw)
    return network
