"""The public checks pass what keeps its promises, and find what was broken on purpose."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from graphrec_pt import (
    Objective,
    baseline,
    featurizer,
    linearizer,
    objective,
    propagation,
    protocol,
    sampler,
    schedule,
    strategy,
)
from graphrec_pt.evaluation.metric import metric
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.features.featurizer import Feature, Propagator
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split
from graphrec_pt.models.view import View
from graphrec_pt.objectives.objective import TrainingExamples
from graphrec_pt.sampling.history import HistorySampler
from graphrec_pt.testing import (
    BrokenPromise,
    check_baseline,
    check_config,
    check_featurizer,
    check_linearizer,
    check_metric,
    check_objective,
    check_propagation,
    check_protocol,
    check_sampler,
    check_schedule,
    check_strategy,
    check_task,
    example_graph,
    example_split,
)
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.linearizer import Linearizer, makes
from graphrec_pt.tokens.subgraphs import node_tokens
from graphrec_pt.training.strategy import Strategy
from graphrec_pt.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("own_components")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return example_graph()


@pytest.fixture(scope="module")
def cut() -> Split:
    return example_split()


class Rows(Feature):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)

    def forward(self, nodes: Any, vectors: Any) -> Any:
        return self.map(vectors(nodes)) * len(nodes)


class Same(Propagator):
    def forward(self, x: Any) -> Any:
        return x


class Fitted:
    def on(self, history: Any) -> Any:
        return self

    def scores(self, nodes: Any) -> Any:
        return torch.rand(len(nodes), 20)


class PlantedHops(Linearizer):
    """Fills fields that it does not name."""

    @property
    def makes(self) -> Any:
        return makes([Kind.NODE])

    def linearize(self, graph: Any, sample: Any, key: Any) -> Any:
        return node_tokens(graph, sample)


class PlantedRows:
    """Vectors that depend on how many are asked for."""

    def build(self, spec: Any, node_type: str, width: int) -> Any:
        return Rows(width)


class PlantedSame:
    """Changes nothing."""

    def build(self, spec: Any, width: int) -> Any:
        return Same()


class PlantedMean:
    """One number for all users."""

    def values(self, outcome: Any) -> Any:
        return np.array([1.0])


class PlantedRandom:
    """Other scores at every call."""

    def fit(self, graph: Any, relation: Any = None) -> Any:
        return Fitted()


class PlantedTrain:
    """Holds nothing out."""

    relation: str | None = None

    def assign(self, events: Any, key: Any) -> Any:
        return np.zeros(len(events.source), np.int8)


class PlantedCalls:
    """Counts its calls."""

    def factor(self, step: int, total: int) -> float:
        object.__setattr__(self, "_calls", getattr(self, "_calls", 0) + 1)
        return float(self._calls)  # type: ignore[attr-defined]


class PlantedHeads(Strategy):
    """Only heads."""

    trains: tuple[str, ...] = ("heads.*",)


class PlantedField:
    """Keeps something that is not an option."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def sample(self, graph: Any, roots: Any, key: Any, exclude: Any = None) -> Any: ...


def test_members_of_the_library_pass(graph: Graph, cut: Split) -> None:
    check_linearizer("history", graph, {"name": "history", "window": 4}, "user")
    for name in ("number", "vector", "categorical"):
        check_featurizer(name, graph, "item")
    check_task("ranking", cut)
    popular = baseline.build("popularity").fit(cut.train).on(cut.history("test"))
    check_metric({"name": "ndcg", "k": 5}, rank_targets(popular, cut))


class Sampling:
    """Histories, with a fault that a test plants."""

    window = 4

    def latest(self, graph: Any, roots: Any, key: Any, exclude: Any = None) -> Any:
        return HistorySampler(window=self.window).sample(graph, roots, key, exclude)


class ShowsExcluded(Sampling):
    """Shows the excluded edge."""

    def sample(self, graph: Any, roots: Any, key: Any, exclude: Any = None) -> Any:
        return self.latest(graph, roots, key)


class ReadsGlobal(Sampling):
    """Reads the global random state."""

    def sample(self, graph: Any, roots: Any, key: Any, exclude: Any = None) -> Any:
        torch.rand(1)
        return self.latest(graph, roots, key, exclude)


class ReadsBatch(Sampling):
    """Looks at the size of the batch."""

    def sample(self, graph: Any, roots: Any, key: Any, exclude: Any = None) -> Any:
        return HistorySampler(window=1 + len(roots) % 3).sample(graph, roots, key, exclude)


class MixesRoots(Sampling):
    """Gives a root the sample of another."""

    def sample(self, graph: Any, roots: Any, key: Any, exclude: Any = None) -> Any:
        return self.latest(graph, roots.flip(0), key, exclude)


SAMPLERS = {
    "exclude": (ShowsExcluded, "excluded for root"),
    "global": (ReadsGlobal, "global random state"),
    "batch": (ReadsBatch, "any batch and order"),
    "order": (MixesRoots, "hop 0 of a sample is its root"),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_broken_sampler_is_found(name: str, graph: Graph) -> None:
    cls, message = SAMPLERS[name]
    sampler(f"planted_{name}")(cls)
    with pytest.raises(BrokenPromise, match=message):
        check_sampler(f"planted_{name}", graph, "user", drawn=False)


def test_a_sampler_that_draws_or_not_must_say_so(graph: Graph) -> None:
    with pytest.raises(BrokenPromise, match="drawn=True"):
        check_sampler("history", graph, "user")
    with pytest.raises(BrokenPromise, match="drawn=False"):
        check_sampler({"name": "k_hop", "fanout": [2]}, graph, "user", drawn=False)


def test_a_broken_linearizer_is_found(graph: Graph) -> None:
    linearizer("planted_hops")(PlantedHops)

    with pytest.raises(BrokenPromise, match=r"makes names every field that is filled.*hop"):
        check_linearizer("planted_hops", graph, "history", "user")


class Whole(Objective):
    """The size of the first state of every sequence."""

    def corrupt(self, examples: Any) -> Any:
        tokens = examples.tokens
        rows = (tokens.lengths() > 0).nonzero().squeeze(1)
        return TrainingExamples((View(tokens.select(rows)),), {}, len(rows))

    def loss(self, encoded: Any, corrupted: Any, model: Any, head: Any) -> Any:
        return encoded[0].pooled("mean").square().sum(1).mean()


class SumLoss(Whole):
    """A sum in place of a mean."""

    def loss(self, encoded: Any, corrupted: Any, model: Any, head: Any) -> Any:
        return encoded[0].pooled("mean").square().sum()


class DetachedLoss(Whole):
    """A loss that teaches the model nothing."""

    def head(self, spec: Any, width: int) -> Any:
        return nn.Linear(width, 1)

    def loss(self, encoded: Any, corrupted: Any, model: Any, head: Any) -> Any:
        return head(encoded[0].pooled("mean").detach()).square().mean() + 1


class GlobalCorruption(Whole):
    """Corruption that reads the global random state."""

    def corrupt(self, examples: Any) -> Any:
        torch.rand(1)
        return super().corrupt(examples)


OBJECTIVES = {
    "sum": (SumLoss, "the mean of its terms"),
    "detached": (DetachedLoss, "the gradient reaches the model"),
    "global": (GlobalCorruption, "global random state"),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_broken_objective_is_found(name: str, graph: Graph) -> None:
    cls, message = OBJECTIVES[name]
    objective(f"planted_{name}")(cls)
    with pytest.raises(BrokenPromise, match=message):
        check_objective(f"planted_{name}", graph, "history", "history", "user", drawn=False)


def test_a_broken_featurizer_is_found(graph: Graph) -> None:

    featurizer("planted_rows")(PlantedRows)

    with pytest.raises(BrokenPromise, match="whatever else is asked for"):
        check_featurizer("planted_rows", graph, "item")


def test_a_broken_propagation_is_found(graph: Graph) -> None:

    propagation("planted_same")(PlantedSame)

    with pytest.raises(BrokenPromise, match="vectors change"):
        check_propagation("planted_same", graph)


def test_broken_parts_of_the_evaluation_are_found(cut: Split) -> None:
    metric("planted_mean")(PlantedMean)

    baseline("planted_random")(PlantedRandom)

    with pytest.raises(BrokenPromise, match="the same scores twice"):
        check_baseline("planted_random", cut)
    popular = baseline.build("popularity").fit(cut.train).on(cut.history("test"))
    with pytest.raises(BrokenPromise, match="one value per user"):
        check_metric("planted_mean", rank_targets(popular, cut))


def test_broken_protocols_and_schedules_are_found(graph: Graph) -> None:
    protocol("planted_train")(PlantedTrain)

    schedule("planted_calls")(PlantedCalls)

    with pytest.raises(Exception, match=r"expected|target of the test"):
        check_protocol("planted_train", graph)
    with pytest.raises(BrokenPromise, match="order of calls"):
        check_schedule("planted_calls")


def test_a_step_that_changes_a_frozen_weight_is_found(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy("planted_heads")(PlantedHeads)

    check_strategy("planted_heads", graph)
    fit = Trainer.fit

    def careless(self: Any, model: Any, *rest: Any, **options: Any) -> Any:
        done = fit(self, model, *rest, **options)
        with torch.no_grad():
            next(model.backbone.parameters()).add_(1e-6)
        return done

    monkeypatch.setattr(Trainer, "fit", careless)
    with pytest.raises(BrokenPromise, match="stays to the bit"):
        check_strategy("planted_heads", graph)


def test_a_config_that_cannot_travel_is_found() -> None:
    sampler("planted_field")(PlantedField)

    with pytest.raises(BrokenPromise, match="its JSON builds an equal component"):
        check_config(sampler, "planted_field")
