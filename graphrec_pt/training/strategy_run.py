"""A strategy put into practice: the model made ready, heads taken over, stages cut in phases."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import apart
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.attachment import attach
from graphrec_pt.models.model import Model
from graphrec_pt.training.encoding import begin_with
from graphrec_pt.training.learner import Learner
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.strategy import Patterns, Strategy


def phases(stage: Stage) -> list[Stage]:
    """Return what a stage amounts to: itself, or one before it in which only `first` trains."""
    chosen: Strategy = stage.strategy
    if not chosen.first:
        return [stage]
    before = replace(chosen, trains=chosen.first, first=())
    after = replace(chosen, first=(), head="kept", reset=(), encoded=None)
    return [
        stage.model_copy(update={"strategy": before, "name": f"{stage.name}, first"}),
        stage.model_copy(update={"strategy": after}),
    ]


def make_ready(model: Model, graph: Graph, stage: Stage, seed: int) -> None:
    """Attach the prompt and the adaptor of a stage; what the model has already stays.

    Args:
        model: Changed in place.
        graph: To bind a prompt to.
        stage: Says what.
        seed: Of first weights.
    """
    chosen: Strategy = stage.strategy
    attach(model, graph, prompt=chosen.prompt, adaptor=chosen.adaptor, seed=apart(seed, "attach"))


def start_anew(learner: Learner, graph: Graph, chosen: Strategy, seed: int) -> None:
    """Give nodes the vectors that they begin with, and weights that are reset those of a new model.

    Raises:
        GraphRecError: For patterns that match nothing, and nodes without a table to fill.
    """
    if chosen.encoded is not None:
        begin_with(learner.model, graph, chosen.encoded)
    if not chosen.reset:
        return
    _check_matches(chosen, chosen.reset, learner)
    model = learner.model
    fresh = dict(type(model)(model.config, model.outline, apart(seed, "reset")).named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in fresh and matches(f"model.{name}", chosen.reset):
                parameter.copy_(fresh[name])


def take_heads(learner: Learner, chosen: Strategy) -> None:
    """Let the heads of a learner be as those that the model had, where the strategy says so.

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


def patterns_of(learner: Learner, chosen: Strategy) -> Patterns:
    """Return what trains: the patterns of a strategy, and the balance of a mixture.

    Raises:
        GraphRecError: For patterns that match nothing, heads aside, which may have no weights;
            and when nothing trains although something should.
    """
    if not chosen.trains:
        return ()
    _check_matches(chosen, [p for p in chosen.trains if p != "heads.*"], learner)
    _check_matches(chosen, chosen.frozen, learner)
    found = [name for name, _ in learner.named_parameters() if trains(name, chosen)]
    if not found:
        got = "no weights that " + ", ".join(chosen.trains) + " match"
        hint = "an objective whose head has weights, or more in trains"
        raise GraphRecError(f"strategy {chosen.name!r}", "something to train", got, hint)
    balance = () if learner.log_variance is None else ("log_variance",)
    return (*found, *balance)


def trains(name: str, chosen: Strategy) -> bool:
    """Say whether the patterns of a strategy let a parameter train."""
    return matches(name, chosen.trains) and not matches(name, chosen.frozen)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Say whether a name matches any of some globs."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_matches(chosen: Strategy, patterns: Sequence[str], learner: Learner) -> None:
    names = [name for name, _ in learner.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            parts = sorted({".".join(name.split(".")[:2]) + ".*" for name in names})
            hint = "one of " + ", ".join(parts)
            who = f"strategy {chosen.name!r}"
            raise GraphRecError(who, "a pattern that matches", repr(pattern), hint)
