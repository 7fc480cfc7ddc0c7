"""Worlds to learn from, and the smallest loop that learns.

::

    user 0–15, item 16–35, brand 36–40, code 41–49, basket 50–57

The last node of each type is isolated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.checkerboard import checkerboard
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.objectives.objective import Examples, Objective, objective
from graphrec_pt.sampling.loader import Batch, Loader
from graphrec_pt.sampling.sampler import Sets, sampler
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.training.preparation import Preparation

COUNTS = {"user": 16, "item": 20, "brand": 5, "code": 9, "basket": 8}
GENRES = ["crime", "drama", "jazz"]
WORDS = ["red", "blue", "old", "new", "pen", "cup"]


def both_ways(name: str, inverse: str, source: str, target: str, **kind: bool) -> list[Relation]:
    return [
        Relation(name=name, source=source, target=target, inverse=inverse, **kind),
        Relation(name=inverse, source=target, target=source, inverse=name, backward=True, **kind),
    ]


SCHEMA = Schema(
    nodes=(
        NodeType(name="user", columns={"age": "number", "team": "category", "taste": "vector"}),
        NodeType(
            name="item",
            columns={"title": "text", "look": "vector", "year": "number", "genre": "category"},
            title="title",
        ),
        NodeType(name="brand"),
        NodeType(name="code"),
        NodeType(name="basket"),
    ),
    relations=(
        *both_ways("rates", "rated_by", "user", "item", timed=True, interaction=True),
        *both_ways("views", "viewed_by", "user", "item", timed=True),
        *both_ways("made_by", "makes", "item", "brand"),
        *both_ways("tagged", "tags", "item", "code"),
        *both_ways("is_a", "kinds", "code", "code"),
        *both_ways("holds", "in_basket", "basket", "item"),
    ),
)


def _edges() -> dict[str, EdgeList]:
    draw = np.random.default_rng(3)

    def pairs(source: str, target: str, n: int) -> np.ndarray:
        ends = [draw.integers(0, COUNTS[name] - 1, n) for name in (source, target)]
        return np.unique(np.stack(ends, 1), axis=0).T

    user, item = pairs("user", "item", 110)
    viewer, viewed = pairs("user", "item", 40)
    return {
        "rates": EdgeList(user, item, draw.integers(0, 60, len(user))),
        "views": EdgeList(viewer, viewed, draw.integers(0, 60, len(viewer))),
        "made_by": EdgeList(np.arange(19), draw.integers(0, 4, 19)),
        "tagged": EdgeList(*pairs("item", "code", 30)),
        "is_a": EdgeList(np.array([0, 1, 2, 3, 4, 5]), np.array([4, 4, 5, 5, 6, 6])),
        "holds": EdgeList(*pairs("basket", "item", 32)),
    }


def _tables() -> dict[str, pl.DataFrame]:
    draw = np.random.default_rng(4)
    tables = {
        name: pl.DataFrame({"id": [f"{name[0]}{n}" for n in range(count)]})
        for name, count in COUNTS.items()
    }
    users, items = COUNTS["user"], COUNTS["item"]
    titles = [" ".join(draw.choice(WORDS, 1 + n % 3)) for n in range(items)]
    tables["user"] = tables["user"].with_columns(
        age=pl.Series(draw.integers(18, 80, users).astype(np.float32)),
        team=pl.Series([["a", "b"][n % 2] for n in range(users)], dtype=pl.Enum(["a", "b"])),
        taste=pl.Series(
            np.random.default_rng(5).normal(size=(users, 2)).tolist(),
            dtype=pl.Array(pl.Float32, 2),
        ),
    )
    tables["item"] = tables["item"].with_columns(
        title=pl.Series([None, *titles[1:]]),
        look=pl.Series(draw.normal(size=(items, 2)).tolist(), dtype=pl.Array(pl.Float32, 2)),
        year=pl.Series([None, *draw.integers(1980, 2020, items - 1).tolist()], dtype=pl.Int64),
        genre=pl.Series([None, *draw.choice(GENRES, items - 1).tolist()], dtype=pl.Enum(GENRES)),
    )
    return tables


def _shop() -> Graph:
    made = assemble(SCHEMA, list(COUNTS.values()), _edges())
    return Graph(
        SCHEMA,
        made.csr,
        _tables(),
        made.edge_tables,
        made.edge_offset,
        fingerprint="shop",
        edge_ids=made.edge_ids,
    )


@pytest.fixture(scope="session")
def shop() -> Graph:
    """A typed graph with columns of every kind, isolated nodes and two relations on one pair."""
    return _shop()


@pytest.fixture(scope="session")
def board() -> Graph:
    """Sixteen users and items of two colours; see :func:`checkerboard`."""
    return checkerboard(16)


class Letters:
    """A tokenizer that needs nothing: one id per letter, below 128."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Letters)

    __hash__ = None  # type: ignore[assignment]


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
    head = seeded(partial(chosen.head, model.outline, width), seed)
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
            with model.held():
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
