"""Momentum contrast: average and queue by hand, the loss term by term, resumed to the bit."""

import subprocess
import sys
from math import exp, log, sqrt
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphrec_pt import Graph, GraphRecError, Model, Stage, Trainer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.momentum_contrast import KeyEncoder
from graphrec_pt.objectives.objective import TrainingExamples, objective
from graphrec_pt.training.checkpoint import load_checkpoint

PAST, EVENTS = {"name": "history"}, {"name": "history"}
BACKBONE = {"name": "graph_transformer", "width": 8, "layers": 1, "heads": 2, "dropout": 0.2}


def contrast(**options: Any) -> Any:
    return objective.build({"name": "momentum_contrast", **options})


@pytest.fixture
def model(ring: Graph) -> Model:
    return Model.of(ring, backbone=BACKBONE)


def corrupted_of(ring: Graph, making: Any, chosen: Any, rows: int = 6) -> TrainingExamples:
    preparation = making.prepared(ring, PAST, EVENTS, torch.arange(24))
    found: TrainingExamples = chosen.corrupt(making.examples(preparation, torch.arange(rows)))
    return found


def test_the_average_by_hand(model: Model) -> None:
    head = nn.Linear(8, 8)
    state = KeyEncoder(model, head, 4, seed=0)
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    with torch.no_grad():
        for parameter in [*model.parameters(), *head.parameters()]:
            parameter.add_(8.0)
    state.follow(model, head, 0.75)  # a quarter of the way: 2
    for name, slow in state.model.named_parameters():
        torch.testing.assert_close(slow, before[name] + 2)
    torch.testing.assert_close(state.head.weight, head.weight - 6)
    state.follow(model, head, 0.75)  # a quarter of what is left: 1.5
    for name, slow in state.model.named_parameters():
        torch.testing.assert_close(slow, before[name] + 3.5)


def test_the_queue_by_hand(model: Model) -> None:
    state = KeyEncoder(model, nn.Identity(), 4, seed=0)
    assert torch.allclose(state.keys.norm(dim=1), torch.ones(4))
    assert state.sources.tolist() == [-1] * 4
    first = state.keys.clone()

    def put(*numbers: int) -> None:
        keys = torch.tensor(numbers, dtype=torch.float32).unsqueeze(1).expand(-1, 8)
        state.waiting.append((keys, torch.tensor(numbers) * 10))

    put(1, 2)
    put(3)  # another micro-batch of the step
    state.enqueue()
    assert state.keys[:3, 0].tolist() == [1, 2, 3]
    assert torch.equal(state.keys[3], first[3])
    assert (state.sources.tolist(), int(state.oldest)) == ([10, 20, 30, -1], 3)
    put(4, 5)
    state.enqueue()
    assert state.keys[:, 0].tolist() == [5, 2, 3, 4]
    assert (state.sources.tolist(), int(state.oldest)) == ([50, 20, 30, 40], 1)
    state.enqueue()  # nothing waits
    assert int(state.oldest) == 1
    put(6, 7, 8, 9, 10)  # more than the queue holds: the last four stay
    state.enqueue()
    assert sorted(state.keys[:, 0].tolist()) == [7, 8, 9, 10]


def slow_loss(query: Tensor, key: Tensor, queue: Tensor, whose: Any, mine: Any, t: float) -> float:
    def cos(x: list[float], y: list[float]) -> float:
        dot = sum(p * q for p, q in zip(x, y, strict=True))
        return dot / sqrt(sum(p * p for p in x) * sum(q * q for q in y))

    total = 0.0
    for q, k, root in zip(query.tolist(), key.tolist(), mine, strict=True):
        true = exp(cos(q, k) / t)
        others = [other for other, of in zip(queue.tolist(), whose, strict=True) if of != root]
        total -= log(true / (true + sum(exp(cos(q, other) / t) for other in others)))
    return total / len(mine)


def test_the_loss_term_by_term(ring: Graph, making: Any, model: Model) -> None:
    chosen = contrast(queue=5, temperature=0.3)
    corrupted = corrupted_of(ring, making, chosen)
    assert corrupted.targets["source"].tolist() == [0, 1, 2, 3, 4, 5]
    state = chosen.state(model, nn.Identity(), 3)
    state.sources[:] = torch.tensor([2, -1, 7, 4, 2])  # two keys of root 2, one of root 4
    model.eval()
    with torch.no_grad():
        encoded = [model.encode(corrupted.views[0])]
        key = model.encode(corrupted.unencoded[0]).pooled("mean")  # the encoder is a fresh copy
        loss = chosen.loss(encoded, corrupted, model, nn.Identity(), state)
    query = encoded[0].pooled("mean")
    found = slow_loss(query, key, state.keys, state.sources.tolist(), range(6), 0.3)
    assert loss.item() == pytest.approx(found, rel=1e-5)
    assert not state.waiting  # nothing is taken up while the model is only looked at


def test_no_gradient_reaches_the_key_encoder(ring: Graph, making: Any, model: Model) -> None:
    chosen = contrast(queue=5, projection=True)
    corrupted = corrupted_of(ring, making, chosen)
    head = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
    state = chosen.state(model, head, 3)  # asks for gradients, unlike in a Trainer
    chosen.loss([model.encode(corrupted.views[0])], corrupted, model, head, state).backward()
    assert all(each.grad is None for each in state.parameters())
    assert any(bool(each.grad.abs().sum() > 0) for each in head.parameters())
    assert sum(len(keys) for keys, _ in state.waiting) == 6
    assert not any(keys.requires_grad for keys, _ in state.waiting)


def test_gradients_are_slopes(ring: Graph, making: Any, model: Model) -> None:
    chosen = contrast(queue=5, temperature=0.5)
    corrupted = corrupted_of(ring, making, chosen)
    model = model.double().eval()
    state = chosen.state(model, nn.Identity(), 3).double()
    draw = torch.Generator().manual_seed(0)
    shape = len(corrupted.views[0].tokens.id), 8
    hidden = torch.randn(shape, dtype=torch.float64, generator=draw, requires_grad=True)

    def loss(states: Tensor) -> Tensor:
        encoded = [Encoded(corrupted.views[0], states)]
        found: Tensor = chosen.loss(encoded, corrupted, model, nn.Identity(), state)
        return found

    assert torch.autograd.gradcheck(loss, hidden)


def test_a_compiled_model_is_not_read_by_the_copy(model: Model) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    copy = KeyEncoder(model, nn.Identity(), 4, seed=0).model
    mine = {each.data_ptr() for each in model.parameters()}
    assert not mine & {each.data_ptr() for each in copy.parameters()}
    assert all(
        torch.equal(one, other)
        for one, other in zip(model.parameters(), copy.parameters(), strict=True)
    )
    assert copy.graph is model.graph


def test_it_asks_for_its_state(ring: Graph, making: Any, model: Model) -> None:
    chosen = contrast()
    corrupted = corrupted_of(ring, making, chosen)
    with pytest.raises(GraphRecError, match=r"momentum_contrast: expected its state"):
        chosen.loss([model.encode(corrupted.views[0])], corrupted, model, nn.Identity())


def stage(**options: Any) -> Stage:
    given: dict[str, Any] = {"augment": {"operations": ["drop"]}, "queue": 20, "momentum": 0.9}
    return Stage(
        sampler=PAST,
        linearizer=EVENTS,
        objectives=[{"name": "momentum_contrast", **given, **options}, "next_item"],
        roots="user",
        batch=8,
        steps=8,
        optimization={"lr": 1e-2},
    )


def test_a_resumed_run_has_the_same_queue_to_the_bit(ring: Graph, tmp_path: Path) -> None:
    """Stopped in the middle of a queue: after 5 steps 40 keys went through a queue of 20."""
    options: dict[str, Any] = {"cpu": True, "checkpoint_every": 1, "keep": 20, "seed": 4}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    Trainer(whole, **options).fit(Model.of(ring, backbone=BACKBONE), ring, stage())
    (resumed / "checkpoint").mkdir(parents=True)
    step = "checkpoint/step-00000005"
    copytree(whole / step, resumed / step)
    model = Model.of(ring, backbone=BACKBONE)
    Trainer(resumed, **options).fit(model, ring, stage(), resume=True)
    expected, found = (load_checkpoint(each / "checkpoint").tensors for each in (whole, resumed))
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    state = "state/momentum_contrast/"
    assert int(found[state + "oldest"]) == 8 * 8 % 20
    assert set(found[state + "sources"].tolist()) <= set(range(24))
    weights = [name for name in found if name.startswith(state + "model.")]
    assert len(weights) == len([name for name in model.state_dict() if "heads." not in name])
    trained = {name: found["learner/model." + name.split("model.")[1]] for name in weights}
    assert any(not torch.equal(found[name], trained[name]) for name in weights)  # it lags behind


def test_the_state_neither_trains_nor_is_saved_with_the_model(ring: Graph, tmp_path: Path) -> None:
    model = Model.of(ring, backbone=BACKBONE)
    Trainer(cpu=True).fit(model, ring, stage(projection=True))
    saved = Model.from_pretrained(model.save_pretrained(tmp_path / "model"))
    names = {*saved.state_dict(), *saved.heads}
    assert not [name for name in names if "keys" in name or "sources" in name]


def test_it_learns(small: Any) -> None:
    """Twelve users with four items each that nobody else has: any two items tell the user."""
    rates = [(user, 4 * user + k, k) for user in range(12) for k in range(4)]
    graph = small([12, 48, 1], rates, [(0, 0)])
    model = Model.of(graph, backbone={**BACKBONE, "dropout": 0.0})
    alone = stage(queue=64, temperature=0.2)
    alone = alone.model_copy(update={"steps": 150, "objectives": alone.objectives[:1]})
    rows = Trainer(cpu=True, log_every=10).fit(model, graph, alone)
    losses = [row["loss/momentum_contrast"] for row in rows if "loss/momentum_contrast" in row]
    assert losses[-1] < 0.25 * max(losses)


ALONE = """
from graphrec_pt import Key, Model, Stage, Trainer
from graphrec_pt.data.synthetic import synthetic_graph

graph = synthetic_graph(20, 20, 100, key=Key(3))
stage = Stage(sampler="history", linearizer="history", objectives=["momentum_contrast"],
              roots="user", batch=4, steps=1)
model = Model.of(graph, backbone={"name": "graph_transformer", "width": 8})
Trainer(cpu=True).fit(model, graph, stage)
"""


@pytest.mark.slow
def test_two_processes_are_refused(tmp_path: Path) -> None:
    """Each would keep its own queue, of which a checkpoint holds one."""
    script = tmp_path / "script.py"
    script.write_text(ALONE)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *torchrun, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "'momentum_contrast': expected one process" in done.stderr
