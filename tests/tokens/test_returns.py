"""Returns to go: by hand, beside a loop, and what a model is shown of them."""

from typing import Any

import pytest
import torch

from graphrec_pt import Graph, GraphRecError, Key, Model
from graphrec_pt.data.build import build
from graphrec_pt.models.view import View
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.returns import returns_to_go
from graphrec_pt.tokens.tokens import Tokens

GAINS: dict[str, Any] = {
    "name": "returns",
    "rewards": {"sees": 0.25, "buys": 1.0},
    "discount": 0.5,
    "buckets": 4,
    "most": 2.0,
}


def edge(table: str) -> dict[str, Any]:
    ends = {"source": "user.user", "target": "item.item"}
    return {"table": table, **ends, "time": "time", "weight": "stars", "interaction": True}


@pytest.fixture(scope="module")
def world() -> Graph:
    """Ann sees item 1, buys 2 and sees 3, at times 0, 1, 2; bob buys 1; cat does nothing."""
    sees = {"user": ["ann", "ann"], "item": [1, 3], "time": [0, 2], "stars": [4.0, 2.0]}
    buys = {"user": ["ann", "bob"], "item": [2, 1], "time": [1, 5], "stars": [1.0, 3.0]}
    people = {"id": ["ann", "bob", "cat"]}
    plan = {
        "nodes": {"user": {"table": "people", "id": "id"}, "item": {}},
        "edges": {"sees": edge("sees"), "buys": edge("buys")},
    }
    return build(plan, {"sees": sees, "buys": buys, "people": people}, seed=None)


def linear(world: Graph, **options: Any) -> Tokens:
    past = {"name": "history", "relations": ["sees", "buys"]}
    users = torch.tensor([world.node_id("user", name) for name in ("ann", "bob", "cat")])
    sample: Any = sampler.build(past).sample(world, users, Key(0))
    return linearizer.build({**GAINS, **options}).linearize(world, sample, Key(0))


def test_by_hand(world: Graph) -> None:
    """R of ann: .25, then 1 + .125, then .25 + .5625 before it; of bob 1. Their mean is .796875."""
    tokens = linear(world)
    items = [world.node_id("item", name) for name in ("1", "2", "3")]
    #       R = .8125         1.125        .25          μ · mean  1.0          mean mean
    ids = [1, items[0], 2, items[1], 0, items[2], 1, 2, items[0], 1, 1]
    prompt, node = int(Kind.PROMPT), int(Kind.NODE)
    assert tokens.ptr.tolist() == [0, 7, 10, 11]
    assert tokens.id.tolist() == ids
    kinds = [prompt, node, prompt, node, prompt, node, prompt, prompt, node, prompt, prompt]
    assert tokens.kind.tolist() == kinds
    assert tokens.position.tolist() == [0, 0, 1, 1, 2, 2, 3, 0, 0, 1, 0]
    names = world.schema.relation_names
    sees, buys = names.index("sees"), names.index("buys")
    assert tokens.relation[tokens.kind == Kind.NODE].tolist() == [sees, buys, sees, buys]


def test_what_is_wanted_and_what_the_edges_weigh(world: Graph) -> None:
    assert linear(world, aim=2.0).id[-1] == 3  # 2 · .796875 of 2.0, in quarters
    # With stars: .5, then 1 + .25, then 1 + .625 before it; of bob 3: all of them beyond 2 × .8.
    tokens = linear(world, weighted=True, most=1.6)
    assert tokens.id[tokens.kind == Kind.PROMPT].tolist() == [3, 3, 1, 3, 3, 3, 3]


def test_a_window_cuts_the_past_and_no_gain(world: Graph) -> None:
    whole, cut = linear(world), linear(world, window=2)
    assert cut.id[:5].tolist() == whole.id[2:7].tolist()
    assert cut.position[:5].tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("discount", [0.0, 0.7, 1.0])
def test_equals_a_loop(discount: float) -> None:
    draw = torch.Generator().manual_seed(1)
    owner = torch.sort(torch.randint(0, 12, (60,), generator=draw)).values
    reward = torch.rand(60, generator=draw, dtype=torch.float64)
    expected, before = torch.zeros(60, dtype=torch.float64), 0.0
    for at in reversed(range(60)):
        alone = at == 59 or owner[at + 1] != owner[at]
        before = float(reward[at]) + (0.0 if alone else discount * before)
        expected[at] = before
    assert torch.allclose(returns_to_go(reward, owner, discount), expected)


def test_a_model_takes_them_where_it_has_room(world: Graph) -> None:
    backbone = {"name": "graph_transformer", "width": 8, "layers": 1, "structure": {"position": 8}}
    view = View(linear(world))
    assert Model.of(world, backbone=backbone, prompts=4).encode(view).hidden.shape == (11, 8)
    with pytest.raises(GraphRecError, match="prompts: in the model"):
        Model.of(world, backbone=backbone).encode(view)
