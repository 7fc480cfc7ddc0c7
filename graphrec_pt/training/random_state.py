"""The state of torch's generators as tensors: what dropout draws from."""

from collections.abc import Mapping

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError


def save_random_state() -> dict[str, Tensor]:
    """Return the states of this process, uint8 ``[n]`` each, by device: ``cpu``, ``cuda:0``."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{n}": each for n, each in enumerate(torch.cuda.get_rng_state_all())}
    return states


def load_random_state(states: Mapping[str, Tensor]) -> None:
    """Go on drawing where the saved states were.

    Raises:
        GraphRecError: When the devices are not those that were saved; nothing has changed then.
    """
    here = save_random_state()
    if states.keys() != here.keys():
        expected = f"generators of {', '.join(sorted(states))}"
        raise GraphRecError("random state", expected, ", ".join(sorted(here)), "the same devices")
    torch.set_rng_state(states["cpu"])
    for name in sorted(states.keys() - {"cpu"}):
        torch.cuda.set_rng_state(states[name], name)
