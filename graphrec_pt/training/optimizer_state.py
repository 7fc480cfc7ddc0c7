"""The state of an optimiser as named tensors and JSON, and back to the bit."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from graphrec_pt.core.errors import GraphRecError, did_you_mean

WHO = "optimizer state"


def save_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of an optimiser by the names of its parameters.

    Args:
        optimizer: Made from named parameters, as those of
            :func:`graphrec_pt.training.groups.parameter_groups`.

    Returns:
        Tensors named ``parameter/entry`` (``norm.weight/exp_avg``), and JSON with what is not a
        tensor: the class, the options and the parameters of each group, entries such as None.
        The tensors are the optimiser's own: write or copy them before its next step.

    Raises:
        GraphRecError: When the optimiser does not know the names of its parameters.
    """
    tensors: dict[str, Tensor] = {}
    entries: dict[str, dict[str, Any]] = {}
    for name, parameter in _named(optimizer):
        for entry, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}/{entry}"] = value
            else:
                entries.setdefault(name, {})[entry] = value
    groups = [
        {option: _plain(value) for option, value in group.items() if option != "params"}
        for group in optimizer.param_groups
    ]
    return tensors, {
        "class": type(optimizer).__name__,
        "shapes": {name: list(parameter.shape) for name, parameter in _named(optimizer)},
        "groups": groups,
        "entries": entries,
    }


def load_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Put a saved state into an optimiser of the same parameters, in any order of them.

    Args:
        optimizer: Of the class that was saved, over parameters of the same names and shapes.
        tensors: As :func:`save_optimizer` returned them; taken over where they are on the device
            of their parameter, copied where not.
        state: Likewise.

    Raises:
        GraphRecError: For another class, other groups, names or shapes.
    """
    if state["class"] != type(optimizer).__name__:
        raise GraphRecError(WHO, state["class"], type(optimizer).__name__)
    named = dict(_named(optimizer))
    saved = [group["param_names"] for group in state["groups"]]
    mine = [group["param_names"] for group in optimizer.param_groups]
    if [sorted(names) for names in saved] != [sorted(names) for names in mine]:
        raise GraphRecError(WHO, "the groups of parameters that were saved", _differ(saved, mine))
    for name, shape in state["shapes"].items():
        if list(named[name].shape) != shape:
            raise GraphRecError(f"{WHO} of {name}", f"shape {shape}", list(named[name].shape))
    entries: dict[str, dict[str, Any]] = {n: dict(v) for n, v in state["entries"].items()}
    for key, value in tensors.items():
        name, _, entry = key.rpartition("/")
        if name not in named:
            raise GraphRecError(WHO, "a parameter's name", repr(name), did_you_mean(name, named))
        entries.setdefault(name, {})[entry] = value
    number = {name: at for at, name in enumerate(n for names in mine for n in names)}
    groups = [
        _options(old, group) | {"params": [number[name] for name in group["param_names"]]}
        for old, group in zip(state["groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict(
        {"state": {number[n]: entries[n] for n in entries}, "param_groups": groups}
    )


def _named(optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    for group in optimizer.param_groups:
        if "param_names" not in group:
            hint = "Optimizer(parameter_groups(network, …).groups)"
            raise GraphRecError(WHO, "an optimiser made from named parameters", "", hint)
        yield from zip(group["param_names"], group["params"], strict=True)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _options(saved: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved options in the types of a group: JSON has neither tuples nor tensors."""
    options: dict[str, Any] = {}
    for name, value in saved.items():
        now = group.get(name)
        if isinstance(now, Tensor):
            options[name] = torch.as_tensor(value, dtype=now.dtype, device=now.device)
        else:
            options[name] = tuple(value) if isinstance(now, tuple) else value
    options["param_names"] = group["param_names"]
    return options


def _differ(saved: list[list[str]], mine: list[list[str]]) -> str:
    before, now = {n for names in saved for n in names}, {n for names in mine for n in names}
    if before == now:
        return f"{len(mine)} groups that share them out otherwise"
    missing, new = sorted(before - now), sorted(now - before)
    return f"missing {missing[:5]}, not saved {new[:5]}"
