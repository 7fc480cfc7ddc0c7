"""Running a strategy: split a stage in phases, prepare the model, take over saved heads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import derive_seed
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.adaptor import ADAPTOR
from graphrec_pt.models.attachment import attach
from graphrec_pt.models.model import Model
from graphrec_pt.models.prompts.family import PROMPT
from graphrec_pt.training.optimizer import ParameterGroups
from graphrec_pt.training.optimizer_loop import MultiTaskModule
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.strategy import Patterns, Strategy, begin_with


def phases(stage: Stage) -> list[Stage]:
    """Return the phases of a stage: first `warmup_only` alone, if any, then the stage."""
    chosen: Strategy = stage.strategy
    if not chosen.warmup_only:
        return [stage]
    before = replace(chosen, trains=chosen.warmup_only, warmup_only=())
    after = replace(chosen, warmup_only=(), head="kept", reinit=(), init_embeddings_from=None)
    return [
        stage.model_copy(update={"strategy": before, "name": f"{stage.name}, first"}),
        stage.model_copy(update={"strategy": after}),
    ]


def make_ready(model: Model, graph: Graph, stage: Stage, seed: int) -> None:
    """Attach the prompt and the adaptor of a stage; existing ones are kept.

    Args:
        model: Changed in place.
        graph: To bind a prompt to.
        stage: Says what.
        seed: Seed of first weights.
    """
    chosen: Strategy = stage.strategy
    attach(
        model, graph, prompt=chosen.prompt, adaptor=chosen.adaptor, seed=derive_seed(seed, "attach")
    )


def start_anew(learner: MultiTaskModule, graph: Graph, chosen: Strategy, seed: int) -> None:
    """Fill node vectors from encodings, and reinitialise the weights that `reinit` names.

    Raises:
        GraphRecError: For patterns that match nothing, and nodes without a table to fill.
    """
    if chosen.init_embeddings_from is not None:
        begin_with(learner.model, graph, chosen.init_embeddings_from)
    if not chosen.reinit:
        return
    _check_matches(chosen, chosen.reinit, learner)
    model = learner.model
    fresh = dict(
        type(model)(
            model.config, model.spec, derive_seed(seed, "reset"), model.tokenizer
        ).named_parameters()
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in fresh and matches(f"model.{name}", chosen.reinit):
                parameter.copy_(fresh[name])


def take_heads(learner: MultiTaskModule, chosen: Strategy) -> None:
    """Copy the model's saved heads into a learner, where the strategy keeps heads.

    Raises:
        GraphRecError: When the model has no such head, and the strategy does not train it.
    """
    if chosen.head == "new":
        return
    for label in learner.terms:
        path = f"of_{label}"
        head, kept = learner.heads[path], learner.before.get(path, {})
        wanted = head.state_dict()
        fits = {
            name: kept[name]
            for name, weight in wanted.items()
            if name in kept and kept[name].shape == weight.shape
        }
        if fits.keys() == wanted.keys():
            head.load_state_dict(fits)
        elif not all(trains(f"heads.{path}.{name}", chosen) for name in wanted):
            expected = f"a head of {label!r} that was trained"
            got = "none in the model" if not fits else "one of another shape"
            hint = "head: new, with heads.* in trains"
            raise GraphRecError(f"strategy {chosen.name!r}", expected, got, hint)


def patterns_of(learner: MultiTaskModule, chosen: Strategy) -> Patterns:
    """Return the patterns of trained parameters: those of the strategy, and the loss balance.

    Raises:
        GraphRecError: For patterns that match nothing, heads aside, which may have no weights;
            and when nothing trains although something should.
    """
    if not chosen.trains:
        return ()
    _check_matches(chosen, [p for p in chosen.trains if p != "heads.*"], learner)
    _check_matches(chosen, chosen.frozen, learner)
    names = [name for name, _ in learner.named_parameters() if trains(name, chosen)]
    if not names:
        got = "no weights that " + ", ".join(chosen.trains) + " match"
        hint = "an objective whose head has weights, or more in trains"
        raise GraphRecError(f"strategy {chosen.name!r}", "something to train", got, hint)
    balance = () if learner.log_variance is None else ("log_variance",)
    return (*names, *balance)


def trains(name: str, chosen: Strategy) -> bool:
    """Return whether the patterns of a strategy let a parameter train."""
    return matches(name, chosen.trains) and not matches(name, chosen.frozen)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name matches one of the globs."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_matches(chosen: Strategy, patterns: Sequence[str], learner: MultiTaskModule) -> None:
    names = [name for name, _ in learner.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            parts = sorted({".".join(name.split(".")[:2]) + ".*" for name in names})
            hint = "one of " + ", ".join(parts)
            who = f"strategy {chosen.name!r}"
            raise GraphRecError(who, "a pattern that matches", repr(pattern), hint)


@dataclass(frozen=True)
class ParameterCount:
    """The parameter counts of one part of a learner.

    Args:
        name: Such as ``model.backbone``; prompts and adaptors are parts wherever they stand.
        trained: Numbers that train.
        frozen: Numbers that stay.
    """

    name: str
    trained: int
    frozen: int


@dataclass(frozen=True)
class Trained:
    """Parts of a learner, in the order of their first weights; ``str`` gives the table."""

    parts: tuple[ParameterCount, ...]

    @property
    def trained(self) -> int:
        """Numbers that train."""
        return sum(part.trained for part in self.parts)

    @property
    def frozen(self) -> int:
        """Numbers that stay."""
        return sum(part.frozen for part in self.parts)

    def __str__(self) -> str:
        """Return a line for each part and one for all."""
        rows = [*self.parts, ParameterCount("all", self.trained, self.frozen)]
        wide = max(len(part.name) for part in rows)
        count = max(len(f"{max(part.trained, part.frozen):,}") for part in rows)
        count = max(count, len("trains"))
        lines = [f"{'':{wide}}  {'trains':>{count}}  {'frozen':>{count}}"]
        lines += [f"{p.name:{wide}}  {p.trained:>{count},}  {p.frozen:>{count},}" for p in rows]
        return "\n".join(lines)


def trained(network: nn.Module, groups: ParameterGroups) -> Trained:
    """Return the counts of trained and frozen parameters of a network.

    Args:
        network: A learner.
        groups: The parameter groups of the optimiser.
    """
    counts: dict[str, list[int]] = {}
    for name, parameter in network.named_parameters():
        count = counts.setdefault(_part(name), [0, 0])
        count[name in groups.frozen] += parameter.numel()
    return Trained(tuple(ParameterCount(name, *numbers) for name, numbers in counts.items()))


def _part(name: str) -> str:
    path = name.split(".")
    for kind in (PROMPT, ADAPTOR):
        if kind in path[1:-1]:
            return kind
    return ".".join(path[:2]) if path[0] == "model" else path[0]
