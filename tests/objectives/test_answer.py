"""Answers to templates: what is asked and known, hand-computed losses, who is a candidate."""

import math
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import split
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.answer import masks
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.objective import objective
from graphrec_pt.objectives.sequence_rng import SequenceRNG

NONE = torch.zeros(0, dtype=torch.int64)
BUYS = "(user)-[buys]->(MASK:item)"


def template(pattern: str = BUYS, **options: Any) -> dict[str, Any]:
    return {"name": "template", "pattern": pattern, **options}


def plain(**options: Any) -> Any:
    return objective.build({"name": "answer", **options})


def test_a_path_knows_its_nodes(twins: Graph, making: Any) -> None:
    steps = {"name": "metapath", "relations": ["buys", "bought_by"]}
    pattern = "(user)-[buys]->(MASK:item)-[bought_by]->(MASK:user)"
    made = making.prepared(twins, steps, template(pattern), torch.arange(5))
    examples = making.examples(made, torch.arange(5))
    corrupted = plain().corrupt(examples)
    assert corrupted.count == 10
    at = corrupted.targets
    assert at["type"].tolist() == [1, 0] * 5
    paths = made.sampler.sample(twins, torch.arange(5), examples.draws.key)
    assert torch.equal(at["node"].view(5, 2), paths.nodes[:, 1:])
    tokens = corrupted.views[0].tokens
    assert torch.equal(at["token"], masks(tokens).nonzero().squeeze(1))
    items = plain(types=["item"]).corrupt(examples).targets
    assert torch.equal(items["node"], paths.nodes[:, 1])


def test_a_hidden_edge_is_the_answer_and_nothing_shows_it(twins: Graph, making: Any) -> None:
    """Every purchase is asked for after what was bought before it; no prompt holds its answer."""
    edges = twins.edges("buys")
    past = {"name": "history", "before": "exclude"}
    asking = template(context={"name": "history"})
    made = making.prepared(twins, past, asking, edges.source, edges.edge)
    corrupted = plain().corrupt(making.examples(made, torch.arange(len(edges.source))))
    assert torch.equal(corrupted.targets["node"], edges.target)
    tokens = corrupted.views[0].tokens
    for row, (source, target) in enumerate(zip(edges.source, edges.target, strict=True)):
        own = tokens.id[tokens.ptr[row] : tokens.ptr[row + 1]].tolist()
        assert int(target) not in own[:-3]
        first = twins.neighbors(int(source), "buys")[0]
        assert own[:-3] == ([] if target == first else [int(first)])
    silent = making.prepared(twins, {"name": "history"}, asking, torch.arange(4))
    assert plain().corrupt(making.examples(silent, torch.arange(4))).count == 0


@pytest.mark.parametrize("known", [False, True])
def test_the_loss_by_hand(twins: Graph, making: Any, known: bool) -> None:
    """Two items that nobody bought are no candidates, where that is asked for."""
    few = [0, 1, 2, 3, 4, 5]  # raw ids of the users whose purchases stay
    model = Model.of(twins, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    steps = {"name": "metapath", "relations": ["buys"]}
    roots = torch.tensor([twins.node_id("user", str(n)) for n in few])
    corrupted = plain(candidates={"transform": False, "known": "buys" if known else None}).corrupt(
        making.examples(making.prepared(twins, steps, template(), roots), [2])
    )
    targets = dict(corrupted.targets)
    if known:
        assert not targets["unknown.1"].any()  # everything was bought by somebody
        targets["unknown.1"][[0, 3]] = True
    answer = int(targets["node"][0]) - twins.nodes("item").start
    hidden = torch.zeros(len(corrupted.views[0].tokens.id), 2).double()
    hidden[-1] = torch.tensor([1.0, 2.0])
    chosen = plain(candidates={"transform": False})
    head = chosen.head(GraphSpec.of(twins), 2).double()
    moved = type(corrupted)(corrupted.views, targets, corrupted.count)
    loss = chosen.loss([Encoded(corrupted.views[0], hidden)], moved, model, head)
    scores = (model.table("item") @ hidden[-1]).tolist()
    among = [n for n in range(16) if not known or n == answer or n not in (0, 3)]
    total = sum(math.exp(scores[n]) for n in among)
    assert float(loss.detach()) == pytest.approx(math.log(total) - scores[answer])


def test_known_is_for_the_whole_type() -> None:
    with pytest.raises(GraphRecError, match="how: softmax with known, got sampled"):
        plain(candidates={"how": "sampled", "known": "buys"})


def test_nobody_bought_it_so_it_is_unknown(twins: Graph) -> None:
    made = split(twins, {"name": "cold_items", "valid": 0.2, "test": 0.2}, seed=3)
    drawn = Candidates(known="buys").draw(
        made.train, NONE, NONE.view(0, 4), SequenceRNG(Key(0), NONE, NONE)
    )
    first = twins.nodes("item").start
    held = {int(node) - first for node in (*made.valid.target, *made.test.target)}
    assert held
    assert set(drawn["unknown.1"].nonzero().squeeze(1).tolist()) == held
