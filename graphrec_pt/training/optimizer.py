"""Parameter groups by rules over parameter names, and exact saving of optimiser states."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn
from torch.optim import Optimizer

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all

_LOOKUP = (nn.Embedding, nn.EmbeddingBag)


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class ParameterRule:
    """Options of the parameters whose names match; None keeps what earlier rules set.

    Args:
        pattern: Glob over names such as ``layers.0.norm.weight``; ``*`` also matches dots.
        lr: Factor of the learning rate.
        weight_decay: Instead of the default.
        freeze: Whether they stay unchanged.
    """

    pattern: str
    lr: float | None = Field(None, ge=0)
    weight_decay: float | None = Field(None, ge=0)
    freeze: bool | None = None


@dataclass(frozen=True, eq=False)
class ParameterGroups:
    """The parameter groups of an optimiser, and the frozen parameters.

    Args:
        groups: For any torch optimiser: ``params`` by name, ``lr``, ``initial_lr`` (what a
            schedule's factor multiplies) and ``weight_decay``.
        frozen: Names of the parameters that do not train.
        trained: Numbers that train.
    """

    groups: list[dict[str, Any]]
    frozen: frozenset[str]
    trained: int


def parameter_groups(
    network: nn.Module,
    rules: Sequence[ParameterRule] = (),
    *,
    trains: Sequence[str] = ("*",),
    lr: float = 1e-3,
    weight_decay: float = 0.01,
) -> ParameterGroups:
    """Group the parameters of a network by rules; later rules win.

    Without a rule a parameter trains unless it asks for no gradient. Weight decay is for matrices
    by default: biases, gains of norms and other vectors have none, as is common practice, and
    embedding tables neither, whose rows would shrink in every step that does not look them up.

    Args:
        network: Tied parameters count once, under their first name.
        rules: In order.
        trains: Globs of the names that may train at all.
        lr: Learning rate.
        weight_decay: Weight decay of matrices.

    Raises:
        GraphRecError: For every pattern that matches nothing, at once.
    """
    named = dict(network.named_parameters())
    _check(rules, network)
    tables = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, _LOOKUP)
        for parameter in module.parameters(recurse=False)
    }
    alike: dict[tuple[float, float], list[tuple[str, nn.Parameter]]] = {}
    frozen = set()
    for name, parameter in named.items():
        plain = parameter.ndim >= 2 and id(parameter) not in tables
        factor, decay = 1.0, weight_decay if plain else 0.0
        freeze = not (parameter.requires_grad and any(fnmatchcase(name, p) for p in trains))
        for rule in rules:
            if fnmatchcase(name, rule.pattern):
                factor = factor if rule.lr is None else rule.lr
                decay = decay if rule.weight_decay is None else rule.weight_decay
                freeze = freeze if rule.freeze is None else rule.freeze
        if freeze:
            frozen.add(name)
        else:
            alike.setdefault((lr * factor, decay), []).append((name, parameter))
    groups: list[dict[str, Any]] = [
        {"params": params, "lr": rate, "initial_lr": rate, "weight_decay": decay}
        for (rate, decay), params in alike.items()
    ]
    trained = sum(each.numel() for params in alike.values() for _, each in params)
    return ParameterGroups(groups, frozenset(frozen), trained)


@contextmanager
def only_trained(network: nn.Module, groups: ParameterGroups) -> Iterator[None]:
    """Require gradients of exactly the grouped parameters inside the block; restore afterwards."""
    before = {parameter: parameter.requires_grad for parameter in network.parameters()}
    try:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in groups.frozen)
        yield
    finally:
        for parameter, required in before.items():
            parameter.requires_grad_(required)


def scale_rates(optimizer: Optimizer, factor: float) -> None:
    """Set the learning rate of every group to its initial one times a schedule's factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def _check(rules: Iterable[ParameterRule], network: nn.Module) -> None:
    names = [name for name, _ in network.named_parameters()]
    raise_all(
        [
            GraphRecError(
                "parameter rule", "a pattern that matches", repr(rule.pattern), _hint(rule, names)
            )
            for rule in rules
            if not any(fnmatchcase(name, rule.pattern) for name in names)
        ]
    )


def _hint(rule: ParameterRule, names: Sequence[str]) -> str:
    """Return names or prefixes like the pattern, else the parts of the network."""
    parts = [name.split(".") for name in names]
    prefixes = {".".join(p[:n]) + ".*" for p in parts for n in range(1, len(p))}
    close = did_you_mean(rule.pattern, prefixes | set(names))
    if close.startswith("did you mean"):
        return close
    return did_you_mean("", {p[0] + ".*" if len(p) > 1 else p[0] for p in parts})


WHO = "optimizer state"


def save_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of an optimiser by the names of its parameters.

    Args:
        optimizer: Made from named parameters, as those of
            :func:`graphrec_pt.training.optimizer.parameter_groups`.

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
