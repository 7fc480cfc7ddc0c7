"""Distillation: states and scores like those of the teachers."""

from collections.abc import Callable
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.objective import objective

PAST, EVENTS = {"name": "history"}, {"name": "history"}


def softmax(scores: list[float]) -> list[float]:
    total = sum(exp(score) for score in scores)
    return [exp(score) / total for score in scores]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.fixture
def teachers(tmp_path: Path) -> list[str]:
    paths = []
    for name, users, items in (
        ("one", [[1, 1], [0, 1]], [[2, 1], [1, 0.5], [0, 1]]),
        ("two", [[0, 1, 1], [1, 0, 0]], [[1, 1, 1], [0, 2, 1], [1, 0, 1]]),
    ):
        paths.append(str(tmp_path / f"{name}.safetensors"))
        save_file(
            {"user": torch.tensor(users).float(), "item": torch.tensor(items).float()}, paths[-1]
        )
    return paths


def test_by_hand(toy: Graph, making: Any, hand: Any, teachers: list[str]) -> None:
    chosen: Any = objective.build(
        {
            "name": "distillation",
            "teachers": teachers,
            "relation": "rates",
            "negatives": 1,
            "temperature": 2.0,
            "hard": 0.2,
            "states": 0.5,
        }
    )
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    assert corrupted.targets["items"].tolist() == [[3, 4]]  # 3 is true, 4 the only false one
    # Teachers: (1, 1) with (1, .5) and (0, 1); (0, 1, 1) with (0, 2, 1) and (1, 0, 1).
    scores = [[1.5, 1.0], [3.0, 1.0]]
    likely = [softmax(each)[0] for each in scores]
    w = [each / sum(likely) for each in likely]
    mixed = [w[0] * scores[0][k] + w[1] * scores[1][k] for k in (0, 1)]
    p = softmax([each / 2 for each in mixed])
    # The student: state (1, 2), items (1, −1) and (0.5, 1).
    state, items = [1.0, 2.0], [[1.0, -1.0], [0.5, 1.0]]
    q = softmax([dot(state, each) / 2 for each in items])
    soft = -4 * sum(p[k] * log(q[k]) for k in (0, 1))
    hard = -log(q[0])
    # W_i: the first teacher sees the vector itself, the second (x, y, 1).
    apart = [
        ((1 - 1) ** 2 + (2 - 1) ** 2) / 2,
        ((1 - 0) ** 2 + (2 - 1) ** 2 + (1 - 1) ** 2) / 3,
    ]
    apart_item = [
        ((1 - 1) ** 2 + (-1 - 0.5) ** 2) / 2,
        ((1 - 0) ** 2 + (-1 - 2) ** 2 + (1 - 1) ** 2) / 3,
    ]
    unlike = sum(w[i] * (apart[i] + apart_item[i]) for i in (0, 1))
    head = chosen.head(GraphSpec.of(toy), 2).double()
    with torch.no_grad():
        for side in ("root", "item"):
            head[side][0].weight.copy_(torch.eye(2))
            head[side][0].bias.zero_()
            head[side][1].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
            head[side][1].bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    model = hand.model(toy, {"item": [[9, 9], *items]})
    loss = chosen.loss([hand.encoded([state])], corrupted, model, head)
    assert loss.item() == pytest.approx(soft + 0.2 * hard + 0.5 * unlike, rel=1e-5)


def test_roots_alone_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build(
        {"name": "distillation", "teachers": ["look"], "node_type": "item"}
    )
    hops = making.prepared(toy, {"name": "k_hop", "fanout": [3]}, "subgraph", torch.tensor([3, 4]))
    corrupted = chosen.corrupt(making.examples(hops, [0, 1]))
    assert corrupted.targets["root.0"].tolist() == [[0, 2], [3, 3]]
    head = chosen.head(GraphSpec.of(toy), 2).double()
    with torch.no_grad():
        head["root"][0].weight.copy_(torch.eye(2))
        head["root"][0].bias.zero_()
    # Means (1, 1) and (3, 2).
    states = hand.encoded([[0, 2], [2, 0], [3, 2]], [0, 2, 3])
    loss = chosen.loss([states], corrupted, None, head)
    assert loss.item() == pytest.approx(((1 + 1) / 2 + (0 + 1) / 2) / 2)


def test_better_teachers_weigh_more(toy: Graph, making: Any, teachers: list[str]) -> None:
    config = {"name": "distillation", "teachers": teachers, "relation": "rates", "negatives": 1}
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = objective.build(config).corrupt(making.examples(preparation, [0]))
    first, second = corrupted.targets["weight"][0].tolist()
    assert first + second == pytest.approx(1)
    assert second > first  # 3 before 1, beside 1.5 before 1


def test_what_does_not_fit_is_refused(toy: Graph, teachers: list[str]) -> None:
    spec = GraphSpec.of(toy)
    with pytest.raises(GraphRecError, match="a relation or a node_type"):
        objective.build({"name": "distillation", "teachers": ["look"]}).check(spec)
    with pytest.raises(GraphRecError, match="a vector column of 'user'"):
        objective.build({"name": "distillation", "teachers": ["look"], "relation": "rates"}).check(
            spec
        )
    with pytest.raises(GraphRecError, match="did you mean 'rates'"):
        objective.build({"name": "distillation", "teachers": teachers, "relation": "rate"}).check(
            spec
        )


def test_gradients(toy: Graph, making: Any, hand: Any, teachers: list[str]) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    config = {
        "name": "distillation",
        "teachers": teachers,
        "relation": "rates",
        "negatives": 1,
        "temperature": 2.0,
        "cosine": True,
    }
    assert hand.gradients_hold(config, examples)


def test_learns_from_a_teacher_that_knows(
    ring: Graph, fit: Callable[..., Any], tmp_path: Path
) -> None:
    """The teacher puts users and items on a circle: it scores the next item first."""
    path = str(tmp_path / "teacher.safetensors")
    turn = 2 * torch.pi * torch.arange(24) / 12

    def circle(angle: torch.Tensor) -> torch.Tensor:
        return 3 * torch.stack([angle.cos(), angle.sin()], 1)

    save_file({"user": circle(turn + 5 * torch.pi / 6), "item": circle(turn[:12])}, path)
    config = {
        "name": "distillation",
        "teachers": [path],
        "relation": "rates",
        "negatives": 4,
        "hard": 0.0,
        "pool": "last",
    }
    given = {"structure": {"position": 8}, "steps": 60, "rate": 2e-2}
    found = fit(ring, config, PAST, EVENTS, torch.arange(24), **given)
    assert found.losses[0] > 1.5 * log(5)  # scores that say nothing, and vectors of variance 4.5
    assert found.last < 0.5 * found.losses[0]
