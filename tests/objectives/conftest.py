"""Worlds to learn from, and the smallest loop that learns.

::

    user 0–15, item 16–35, brand 36–40, code 41–49, basket 50–57

The last node of each type is isolated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

import graphrec_pt.objectives
import graphrec_pt.sampling
import graphrec_pt.tokens  # noqa: F401 - registers its members
from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.data.synthetic import checkerboard
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import Examples, Objective, objective
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.sampling.loader import Batch, Loader
from graphrec_pt.sampling.sampler import Sets, sampler
from graphrec_pt.testing.graphs import example_graph
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.batches import Preparation
from tests.objectives.worlds import Letters, colors_graph, small_graph


@pytest.fixture(scope="session")
def shop() -> Graph:
    """A typed graph with columns of every kind, isolated nodes and two relations on one pair."""
    return example_graph()


@pytest.fixture(scope="session")
def board() -> Graph:
    """Sixteen users and items of two colours; see :func:`checkerboard`."""
    return checkerboard(16)


@pytest.fixture(scope="session")
def colors() -> Graph:
    """Two colours of users and items; see :func:`colors_graph`."""
    return colors_graph()


@pytest.fixture(scope="session")
def twins() -> Graph:
    """Users *u* = 0–31 who bought item 2 (u % 8), rated 1, and then its twin, rated 5, raw ids.

    Whose items are those of u % 8 has age 10 (u % 8) and is of team a below 4, of team b else.
    """
    user = np.repeat(np.arange(32), 2)
    second = np.tile([0, 1], 32)
    bought = {
        "user": user,
        "item": 2 * (user % 8) + second,
        "time": second,
        "stars": 1 + 4 * second,
    }
    kind = np.arange(32) % 8
    people = {"id": np.arange(32), "age": 10.0 * kind, "team": np.where(kind < 4, "a", "b")}
    buys = EdgePlan(
        table="bought",
        source="user.user",
        target="item.item",
        time="time",
        weight="stars",
        inverse="bought_by",
        interaction=True,
    )
    columns: dict[str, Any] = {"age": "number", "team": "category"}
    nodes = {"user": NodePlan(table="people", id="id", columns=columns), "item": NodePlan()}
    plan = Plan(nodes=nodes, edges={"buys": buys}, time_unit="ordinal")
    return build(plan, {"bought": pl.DataFrame(bought), "people": pl.DataFrame(people)})


@pytest.fixture(scope="session")
def letters() -> Letters:
    return Letters()


def prepared(
    graph: Graph,
    sampler_config: Any,
    linearizer_config: Any,
    roots: Tensor | Sets,
    exclude: Tensor | None = None,
) -> Preparation:
    """Return the sampler and the linearizer of some roots, put together."""
    chosen = sampler.build(sampler_config), linearizer.build(linearizer_config)
    return Preparation(graph, *chosen, {}, roots, exclude)


def examples_of(
    preparation: Preparation, rows: Sequence[int] | Tensor, *, seed: int = 7, epoch: int = 0
) -> Examples:
    """Return the examples of some rows of the roots, as a loader's worker makes them."""
    rows = torch.as_tensor(rows, dtype=torch.int64)
    key = Key(seed, epoch)
    options = {} if preparation.exclude is None else {"exclude": preparation.exclude[rows]}
    sample = preparation.sampler.sample(preparation.graph, preparation.roots[rows], key, **options)
    return preparation.examples(Batch(0, 0, len(rows), rows, sample, key))


@dataclass(frozen=True)
class Making:
    """What :func:`examples_of` and :func:`prepared` do, for tests that cannot import them."""

    prepared: Callable[..., Preparation]
    examples: Callable[..., Examples]


@pytest.fixture(scope="session")
def making() -> Making:
    return Making(prepared, examples_of)


@dataclass
class Fitted:
    """What came of training.

    Args:
        losses: Of every step.
        model: As trained.
        head: As trained.
        preparation: Where the examples came from.
    """

    losses: list[float]
    model: Model
    head: torch.nn.Module
    preparation: Preparation

    @property
    def last(self) -> float:
        """Mean loss of the last tenth of the steps."""
        tail = self.losses[-max(len(self.losses) // 10, 1) :]
        return sum(tail) / len(tail)


def fitted(
    graph: Graph,
    chosen: Objective | dict[str, Any] | str,
    sampler_config: Any,
    linearizer_config: Any,
    roots: Tensor | Sets,
    *,
    steps: int = 150,
    batch: int = 32,
    width: int = 16,
    rate: float = 1e-2,
    seed: int = 0,
    exclude: Tensor | None = None,
    layers: int = 1,
    structure: dict[str, int | None] | None = None,
    text: int = 0,
    **backbone: Any,
) -> Fitted:
    """Train a small transformer on one objective for some steps."""
    chosen = objective.build(chosen)
    preparation = prepared(graph, sampler_config, linearizer_config, roots, exclude)
    structure = {"type": None, "hop": 8} if structure is None else structure
    config = GraphTransformer(
        width=width, layers=layers, heads=2, dropout=0.0, structure=structure, **backbone
    )
    model = Model.of(graph, backbone=config, text=text, seed=seed)
    head = seeded(partial(chosen.head, model.spec, width), seed)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], rate, weight_decay=0)
    loader = Loader(
        graph,
        preparation.sampler,
        roots,
        batch,
        seed,
        exclude=exclude,
        threads=0,
        transform=preparation.examples,
    )
    losses: list[float] = []
    epoch = 0
    while len(losses) < steps:
        for examples in loader.epoch(epoch):
            corrupted = chosen.corrupt(examples)
            if not corrupted.count or len(losses) == steps:
                continue
            with model.cached_embeddings():
                encoded = [model.encode(view) for view in corrupted.views]
                loss = chosen.loss(encoded, corrupted, model, head)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        epoch += 1
    return Fitted(losses, model, head, preparation)


@pytest.fixture(scope="session")
def fit() -> Callable[..., Fitted]:
    """Give :func:`fitted`."""
    return fitted


@pytest.fixture(scope="session")
def toy() -> Graph:
    """Two users 0, 1, three items 2, 3, 4, two brands 5, 6.

    0 rates 2 then 3; 1 rates 3 then 4. 2 is made by 5; 3 by 5 and 6; 4 by nobody.
    """
    return small_graph(
        [2, 3, 2],
        [(0, 0, 1), (0, 1, 2), (1, 1, 1), (1, 2, 2)],
        [(0, 0), (1, 0), (1, 1)],
        taste=[[1, 0], [0, 1]],
        look=[[1, 0], [0, 2], [3, 3]],
    )


@pytest.fixture(scope="session")
def ring() -> Graph:
    """24 users walk round a ring of 12 items, six steps each; brand n makes items 3n to 3n + 2.

    Items look like places on a circle, so whoever knows the item knows its look.
    """
    steps = [(u, (u + k) % 12, k) for u in range(24) for k in range(6)]
    angle = 2 * np.pi * np.arange(12) / 12
    look = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], 1)
    return small_graph([24, 12, 4], steps, [(i, i // 3) for i in range(12)], look=look)


@pytest.fixture(scope="session")
def noise() -> Graph:
    """The ring with its items dealt to 384 users at random: nothing tells what was hidden.

    They are more than can be learnt by heart in a few steps.
    """
    draw = np.random.default_rng(0)
    steps = [(u, int(i), k) for u in range(384) for k, i in enumerate(draw.permutation(12)[:6])]
    look = draw.normal(size=(12, 4))
    return small_graph([384, 12, 4], steps, [(i, i // 3) for i in range(12)], look=look)


@pytest.fixture(scope="session")
def small() -> Callable[..., Graph]:
    """Give :func:`small_graph`."""
    return small_graph


def encoded_of(hidden: Any, ptr: Sequence[int] | None = None) -> Encoded:
    """Return hidden states as if they had been encoded, in float64, of one sequence by default."""
    states = torch.as_tensor(hidden, dtype=torch.float64)
    ends = torch.tensor([0, len(states)] if ptr is None else ptr)
    ids = torch.zeros(len(states), dtype=torch.int64)
    return Encoded(View(Tokens.of(ids, Kind.NODE, ends)), states)


def model_with(graph: Graph, tables: Mapping[str, Any]) -> Model:
    """Return a model in float64 whose nodes of some types have the given vectors."""
    width = len(next(iter(tables.values()))[0])
    model = Model.of(graph, backbone=GraphTransformer(width=width, layers=1, heads=1)).double()
    with torch.no_grad():
        for name, values in tables.items():
            table = model.features.get_parameter(f"of_type.of_{name}.parts.0.table.weight")
            table.copy_(torch.as_tensor(values))
    return model


def gradients_hold(chosen: Objective | dict[str, Any], examples: Examples, width: int = 4) -> bool:
    """Say whether the gradients of a loss are its slopes: by hidden states and by node vectors."""
    chosen = objective.build(chosen)
    corrupted = chosen.corrupt(examples)
    assert corrupted.count > 0
    backbone = GraphTransformer(width=width, layers=1, heads=1)
    model = Model.of(examples.graph, backbone=backbone, text=128).double()
    head = seeded(partial(chosen.head, model.spec, width), 0).double()
    draw = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=draw).requires_grad_()

    hidden = [normal(len(view.tokens.id), width) for view in corrupted.views]
    with torch.no_grad():
        for table in model.features.parameters():
            table.copy_(normal(*table.shape))

    def loss(*states: Tensor) -> Tensor:
        views = zip(corrupted.views, states[: len(hidden)], strict=True)
        return chosen.loss([Encoded(*each) for each in views], corrupted, model, head)

    inputs = [*hidden, *model.features.parameters(), *head.parameters()]
    return torch.autograd.gradcheck(loss, inputs, fast_mode=True, atol=1e-4)


@dataclass(frozen=True)
class Hand:
    """Hidden states and vectors set by hand, and what checks gradients."""

    encoded: Callable[..., Encoded]
    model: Callable[..., Model]
    gradients_hold: Callable[..., bool]


@pytest.fixture(scope="session")
def hand() -> Hand:
    return Hand(encoded_of, model_with, gradients_hold)


def written_examples(graph: Graph, tokens: Tokens, seed: int = 5) -> Examples:
    """Return examples of sequences written by hand, one per root."""
    rows = torch.arange(len(tokens))

    def resample(roots: Any, exclude: Tensor | None) -> tuple[Tokens, Tensor]:
        raise AssertionError("nothing to sample from")

    return Examples(graph, tokens, rows, rows, SequenceRNG.of(Key(seed), rows, rows), resample)


@pytest.fixture(scope="session")
def written() -> Callable[..., Examples]:
    """Give :func:`written_examples`."""
    return written_examples


@pytest.fixture(scope="session")
def retold() -> Callable[[Examples, Tokens], Examples]:
    """Give a function that returns examples with other tokens."""
    return lambda examples, tokens: replace(examples, tokens=tokens)


@pytest.fixture(scope="session")
def whole(making: Any, shop: Graph) -> Callable[..., Examples]:
    """Give a function from a sampler and a linearizer to examples of the shop's users or pairs."""

    def made(sampler: Any, linearizer: Any = "subgraph", *, pairs: bool = False) -> Examples:
        roots = torch.arange(16)
        if pairs:
            roots = torch.cartesian_prod(roots, 16 + torch.tensor([0, 3, 7, 11]))
        preparation = making.prepared(shop, sampler, linearizer, roots)
        found: Examples = making.examples(preparation, torch.arange(len(roots)))
        return found

    return made
