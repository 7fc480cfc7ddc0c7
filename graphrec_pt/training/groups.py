"""Which parameters train, how fast and with what decay: rules over parameter names."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated
from torch import nn
from torch.optim import Optimizer

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all

_LOOKUP = (nn.Embedding, nn.EmbeddingBag)


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class ParameterRule:
    """What holds for the parameters whose names match; None leaves a matter to earlier rules.

    Args:
        pattern: Glob over names such as ``layers.0.norm.weight``; ``*`` also matches dots.
        lr: Factor of the learning rate.
        weight_decay: Instead of the default.
        freeze: Whether they are left as they are.
    """

    pattern: str
    lr: float | None = Field(None, ge=0)
    weight_decay: float | None = Field(None, ge=0)
    freeze: bool | None = None


@dataclass(frozen=True, eq=False)
class ParameterGroups:
    """What an optimiser trains, and what it leaves alone.

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
    """Sort the parameters of a network by what the rules say of them; later rules win.

    Without a rule a parameter trains unless it asks for no gradient. Weight decay is for matrices
    by default: biases, gains of norms and other vectors have none, as is common practice, and
    embedding tables neither, whose rows would shrink in every step that does not look them up.

    Args:
        network: Tied parameters count once, under their first name.
        rules: In order.
        trains: Globs of the names that may train at all.
        lr: Learning rate.
        weight_decay: Of matrices.

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
    """Let exactly the grouped parameters ask for gradients inside the block, as before after it."""
    before = {parameter: parameter.requires_grad for parameter in network.parameters()}
    try:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in groups.frozen)
        yield
    finally:
        for parameter, asked in before.items():
            parameter.requires_grad_(asked)


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
