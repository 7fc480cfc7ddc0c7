"""What every objective promises; ``conformance.yaml`` has a row for every registered name."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import yaml
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.objective import Examples, objective
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.testing import objectives as promised
from graphrec_pt.testing.configs import check_config
from graphrec_pt.testing.objectives import Batches
from graphrec_pt.tokens.join import concat
from graphrec_pt.tokens.tokens import same
from tests.lists_world import lists_graph
from tests.objectives.worlds import Letters


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
        world: The graph: the shop, or the world of lists.
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
    world: Literal["shop", "lists"] = "shop"


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
def batches(row: Row, shop: Graph) -> Batches:
    graph = lists_graph() if row.world == "lists" else shop
    return Batches.of(graph, row.sampler, row.linearizer, roots_of(row, graph))


@pytest.fixture
def whole(batches: Batches) -> Examples:
    """All roots in one batch, the isolated ones too."""
    return batches.examples()


def built(row: Row) -> Any:
    return objective.build(row.config)


def test_every_objective_has_a_row() -> None:
    assert {row.config["name"] for row in ROWS} == set(objective.names())


def test_a_root_is_corrupted_alike_alone_and_in_a_batch(row: Row, batches: Batches) -> None:
    chosen = built(row)
    some = torch.linspace(0, batches.size - 1, 8).long().unique()  # the last is isolated
    together = chosen.corrupt(batches.examples(some))
    alone = [chosen.corrupt(batches.examples([n])) for n in some.tolist()]
    assert together.count == sum(each.count for each in alone)
    taking = [each for each in alone if each.views or each.targets]
    for number, view in enumerate(promised.every_view(together)):
        parts = [promised.every_view(each)[number] for each in taking]
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


def test_corruption_is_a_function_of_its_key(row: Row, batches: Batches) -> None:
    promised.corrupts_purely(built(row), batches, drawn=row.drawn)


def test_an_empty_batch_has_nothing_to_learn(row: Row, batches: Batches) -> None:
    promised.learns_nothing_from_nothing(built(row), batches)


def test_configs_survive_json_and_pickle_and_refuse_misspelt_options(row: Row) -> None:
    check_config(objective, built(row))


def test_what_it_needs_is_made(row: Row, batches: Batches) -> None:
    promised.gets_what_it_needs(built(row), batches)


def test_the_loss_is_a_finite_scalar_that_reaches_every_weight(row: Row, batches: Batches) -> None:
    promised.has_a_loss_that_reaches_weights(built(row), batches, idle=frozenset(row.idle))


def test_the_loss_is_the_mean_of_its_terms(row: Row, batches: Batches) -> None:
    if not row.mean:
        pytest.skip("the others of the batch are negatives")
    promised.has_a_loss_that_is_a_mean(built(row), batches)


def test_everything_moves_to_another_device(row: Row, batches: Batches) -> None:
    promised.moves_to_another_device(built(row), batches)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu(row: Row, whole: Examples) -> None:
    chosen, model = built(row), promised.small_model(whole.graph)
    head = promised.small_head(chosen, model)
    corrupted, both = chosen.corrupt(whole), torch.nn.ModuleList([model, head])
    expected = promised.loss_of(chosen, corrupted, model, head)
    expected.backward()
    gradients = {n: p.grad for n, p in both.named_parameters() if p.grad is not None}
    both.zero_grad()
    both.to("cuda")
    found = promised.loss_of(chosen, corrupted.to("cuda"), model, head)
    found.backward()
    torch.testing.assert_close(found.detach().cpu(), expected.detach(), atol=1e-4, rtol=1e-4)
    for name, parameter in both.named_parameters():
        assert (parameter.grad is None) == (name not in gradients), name
        if parameter.grad is not None:
            there = parameter.grad.cpu()
            torch.testing.assert_close(there, gradients[name], atol=1e-4, rtol=1e-3, msg=name)
