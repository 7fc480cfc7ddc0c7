"""What every objective promises; ``conformance.yaml`` has a row for every registered name."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.options import option_names
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import View
from graphrec_pt.objectives.objective import (
    Examples,
    StatefulObjective,
    TrainingExamples,
    objective,
)
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.join import concat
from graphrec_pt.tokens.linearizer import linearizer, require
from graphrec_pt.tokens.tokens import Tokens, same
from graphrec_pt.training.batches import Preparation
from tests.objectives.worlds import Letters

WIDTH = 8
TEXT = 128


@dataclass(frozen=True)
class Row:
    """One registered objective under test.

    Args:
        config: What a recipe would say.
        sampler: Config of the sampler.
        linearizer: Config of the linearizer.
        roots: Type of the roots, ``"all"``, ``"pairs"`` or ``"sets"``.
        drawn: Whether anything is drawn: another epoch looks different.
        mean: Whether the loss of a batch is the mean of the terms of its roots; not so where
            the others of the batch are negatives.
        tokens: Targets that count the tokens of the first view.
        sequences: Targets that count its sequences.
        terms: Targets that count the terms of the loss.
        batch: Targets that speak of the whole batch.
        idle: Parameters of the head that this batch need not reach.
    """

    config: dict[str, Any]
    sampler: dict[str, Any]
    linearizer: dict[str, Any]
    roots: str
    drawn: bool = True
    mean: bool = True
    tokens: set[str] = field(default_factory=lambda: {"token"})
    sequences: set[str] = field(default_factory=set)
    terms: set[str] = field(default_factory=set)
    batch: set[str] = field(default_factory=set)
    idle: set[str] = field(default_factory=set)


def written_rows() -> list[Row]:
    """Return the rows of ``conformance.yaml``, in which samplers and linearizers have names."""
    file = yaml.safe_load(Path(__file__).with_name("conformance.yaml").read_text())

    def read(entry: dict[str, Any]) -> Row:
        for family in ("sampler", "linearizer"):
            chosen = entry[family]
            entry[family] = file[f"{family}s"][chosen] if isinstance(chosen, str) else chosen
        if entry["linearizer"].get("tokenizer") == "letters":
            entry["linearizer"] = {**entry["linearizer"], "tokenizer": Letters()}
        sets = ("tokens", "sequences", "terms", "batch", "idle")
        return Row(**entry | {name: set(entry[name]) for name in sets if name in entry})

    return [read(entry) for entry in file["rows"]]


ROWS = written_rows()
IDS = [f"{n}-{row.config['name']}" for n, row in enumerate(ROWS)]


@pytest.fixture(params=ROWS, ids=IDS)
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


def roots_of(row: Row, graph: Graph) -> Tensor | Sets:
    if row.roots == "all":
        return torch.arange(graph.num_nodes())
    if row.roots == "sets":
        return Sets.of([[0, 16, 20], [15], [], [3, 36], [41, 5]])
    if row.roots == "pairs":
        users, items = torch.arange(16), 16 + torch.tensor([0, 3, 7, 19])
        return torch.cartesian_prod(users, items)
    return torch.tensor(list(graph.nodes(row.roots)))


@pytest.fixture
def preparation(row: Row, shop: Graph, making: Any) -> Preparation:
    found: Preparation = making.prepared(shop, row.sampler, row.linearizer, roots_of(row, shop))
    return found


@pytest.fixture
def whole(preparation: Preparation, making: Any) -> Examples:
    """All roots in one batch, the isolated ones too."""
    found: Examples = making.examples(preparation, torch.arange(len(preparation.roots)))
    return found


def built(row: Row) -> Any:
    return objective.build(row.config)


def model_of(graph: Graph) -> Model:
    config = GraphTransformer(
        width=WIDTH, layers=1, heads=2, dropout=0.0, structure={"type": None, "hop": 8}
    )
    return Model.of(graph, backbone=config, text=TEXT)


def loss_of(chosen: Any, corrupted: TrainingExamples, model: Model, head: Any) -> Tensor:
    state = {}
    if isinstance(chosen, StatefulObjective):
        made = chosen.state(model, head, 0)
        assert made is not None
        state["state"] = made.to(next(model.parameters()).device).requires_grad_(False)
    with model.cached_embeddings():
        encoded = [model.encode(view) for view in corrupted.views]
        found: Tensor = chosen.loss(encoded, corrupted, model, head, **state)
    return found


def learner(row: Row, graph: Graph) -> tuple[Any, Model, Any]:
    chosen, model = built(row), model_of(graph)
    return chosen, model, seeded(partial(chosen.head, model.spec, WIDTH), 0)


def columns(tokens: Tokens) -> dict[str, Tensor | None]:
    return {each.name: getattr(tokens, each.name) for each in fields(tokens)}


def equal(a: TrainingExamples, b: TrainingExamples) -> bool:
    return (
        a.count == b.count
        and len(every_view(a)) == len(every_view(b))
        and all(same_view(*views) for views in zip(every_view(a), every_view(b), strict=True))
        and a.targets.keys() == b.targets.keys()
        and all(torch.equal(a.targets[name], b.targets[name]) for name in a.targets)
    )


def every_view(corrupted: TrainingExamples) -> tuple[View, ...]:
    """Return what is encoded by the model, and by the objective itself."""
    return corrupted.views + corrupted.unencoded


def same_view(a: View, b: View) -> bool:
    return (
        same(a.tokens, b.tokens)
        and (a.mode, a.two_stream) == (b.mode, b.two_stream)
        and (a.order is None) == (b.order is None)
        and (a.order is None or torch.equal(a.order, b.order))  # type: ignore[arg-type]
        and (a.prefix is None) == (b.prefix is None)
        and (a.prefix is None or torch.equal(a.prefix, b.prefix))  # type: ignore[arg-type]
    )


def test_every_objective_has_a_row() -> None:
    assert {row.config["name"] for row in ROWS} == set(objective.names())


def test_a_root_is_corrupted_alike_alone_and_in_a_batch(
    row: Row, preparation: Preparation, making: Any
) -> None:
    chosen = built(row)
    some = torch.linspace(0, len(preparation.roots) - 1, 8).long().unique()  # the last is isolated
    together = chosen.corrupt(making.examples(preparation, some))
    alone = [chosen.corrupt(making.examples(preparation, [n])) for n in some.tolist()]
    assert together.count == sum(each.count for each in alone)
    taking = [each for each in alone if each.views or each.targets]
    for number, view in enumerate(every_view(together)):
        parts = [every_view(each)[number] for each in taking]
        assert same(view.tokens, concat([part.tokens for part in parts]))
        for name in ("order", "prefix"):
            column = getattr(view, name)
            if column is not None:
                assert torch.equal(column, torch.cat([getattr(part, name) for part in parts]))
    for name, value in together.targets.items():
        if name in row.batch:
            continue
        shift, found = 0, []
        for each in taking:
            found.append(each.targets[name] + shift if shift else each.targets[name])
            shift += each.count if name in row.terms else 0
            if each.views:
                first = each.views[0].tokens
                shift += len(first.id) if name in row.tokens else 0
                shift += len(first) if name in row.sequences else 0
        assert torch.equal(value, torch.cat(found)), name


def test_corruption_is_the_same_twice_and_leaves_everything_alone(
    row: Row, whole: Examples
) -> None:
    before = {n: v if v is None else v.clone() for n, v in columns(whole.tokens).items()}
    state = torch.get_rng_state()
    assert equal(built(row).corrupt(whole), built(row).corrupt(whole))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in columns(whole.tokens).items():
        assert value is before[name] or torch.equal(value, before[name]), name


def test_another_epoch_or_seed_looks_different(row: Row, whole: Examples) -> None:
    chosen = built(row)
    first = chosen.corrupt(whole)
    for key in (Key(7, 1), Key(8, 0)):
        other = replace(whole, draws=replace(whole.draws, key=key))
        assert equal(first, chosen.corrupt(other)) != row.drawn


def test_an_empty_batch_has_nothing_to_learn(
    row: Row, preparation: Preparation, making: Any
) -> None:
    corrupted = built(row).corrupt(making.examples(preparation, []))
    assert corrupted.count == 0
    corrupted.to("cpu")


def test_configs_survive_json_and_pickle(row: Row) -> None:
    chosen = built(row)
    text = json.dumps(objective.config(chosen))
    assert objective.build(json.loads(text)) == chosen
    assert pickle.loads(pickle.dumps(chosen)) == chosen


def test_a_misspelt_option_is_told(row: Row) -> None:
    for option in option_names(type(built(row))):
        with pytest.raises(GraphRecError, match=f"did you mean .*'{option}'"):
            objective.build({**row.config, option + "x": 1})


def test_what_it_needs_is_made(row: Row, shop: Graph) -> None:
    chosen = built(row)
    require(row.config["name"], linearizer.build(row.linearizer), *vars(chosen.needs).values())
    chosen.check(GraphSpec.of(shop))


def test_the_loss_is_a_finite_scalar_that_reaches_every_weight(
    row: Row, shop: Graph, whole: Examples
) -> None:
    chosen, model, head = learner(row, shop)
    corrupted = chosen.corrupt(whole)
    assert corrupted.count > 0
    state = torch.get_rng_state()
    loss = loss_of(chosen, corrupted, model, head)
    assert torch.equal(torch.get_rng_state(), state)
    assert loss.shape == ()
    assert bool(torch.isfinite(loss))
    assert float(loss.detach()) > 0
    loss.backward()
    for name, parameter in head.named_parameters():
        if name not in row.idle:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.abs().sum() > 0), name
    learned = model.backbone if corrupted.views else model.features
    reached = [p.grad for p in learned.parameters() if p.grad is not None]
    assert any(bool(gradient.abs().sum() > 0) for gradient in reached)
    every = [p.grad for p in [*model.parameters(), *head.parameters()] if p.grad is not None]
    assert all(bool(torch.isfinite(gradient).all()) for gradient in every)


def test_the_loss_is_the_mean_of_its_terms(
    row: Row, shop: Graph, preparation: Preparation, making: Any
) -> None:
    """Two micro-batches weighed by count equal one batch, as accumulation and DDP need."""
    if not row.mean:
        pytest.skip("the others of the batch are negatives")
    chosen, model, head = learner(row, shop)
    every = torch.arange(len(preparation.roots))
    parts = [every, every[: len(every) // 3], every[len(every) // 3 :]]
    batches = [chosen.corrupt(making.examples(preparation, part)) for part in parts]
    counts = [batch.count for batch in batches]
    assert counts[0] == counts[1] + counts[2]
    assert min(counts) > 0
    with torch.no_grad():
        whole, first, second = (float(loss_of(chosen, b, model, head)) for b in batches)
    mean = (counts[1] * first + counts[2] * second) / counts[0]
    assert whole == pytest.approx(mean, rel=1e-5)


def test_everything_moves_to_another_device(row: Row, whole: Examples) -> None:
    moved = built(row).corrupt(whole).to("meta")
    found: list[Tensor] = list(moved.targets.values())
    for view in every_view(moved):
        values: Mapping[str, Tensor | None] = columns(view.tokens)
        found += [v for v in [*values.values(), view.order, view.prefix] if v is not None]
    assert found
    assert all(value.device.type == "meta" for value in found)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu(row: Row, shop: Graph, whole: Examples) -> None:
    chosen, model, head = learner(row, shop)
    corrupted, both = chosen.corrupt(whole), torch.nn.ModuleList([model, head])
    expected = loss_of(chosen, corrupted, model, head)
    expected.backward()
    gradients = {n: p.grad for n, p in both.named_parameters() if p.grad is not None}
    both.zero_grad()
    both.to("cuda")
    found = loss_of(chosen, corrupted.to("cuda"), model, head)
    found.backward()
    torch.testing.assert_close(found.detach().cpu(), expected.detach(), atol=1e-4, rtol=1e-4)
    for name, parameter in both.named_parameters():
        assert (parameter.grad is None) == (name not in gradients), name
        if parameter.grad is not None:
            there = parameter.grad.cpu()
            torch.testing.assert_close(there, gradients[name], atol=1e-4, rtol=1e-3, msg=name)
