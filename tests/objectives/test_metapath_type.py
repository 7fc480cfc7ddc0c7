"""Metapath types: the loss by hand, and a view that is one for every labelling."""

from dataclasses import replace
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.objective import TrainingExamples, objective
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import same

UP = [["rates", "rated_by", "rates"], ["rates", "made_by", "makes"], ["views", "tagged", "tags"]]
PAIRS = {"name": "path_subgraph", "metapaths": UP, "edges": True}
WALKS = {"name": "random_walk", "hops": 4, "repeats": 3}


def typed(**options: Any) -> Any:
    return objective.build({"name": "metapath_type", **options})


def test_the_loss_by_hand(hand: Any, toy: Any) -> None:
    chosen = typed(slots=2)
    hidden = [[9.0, 9.0], [1.0, 2.0], [3.0, 0.0], [0.0, -1.0]]
    # Tokens 1 and 2 are slot 1, token 3 is slot 2; the root is in none.
    at = {"token": [1, 2, 3], "leader": [1, 1, 3], "path": [1, 3], "slot": [0, 1]}
    corrupted = TrainingExamples((), {name: torch.tensor(value) for name, value in at.items()}, 2)
    head = torch.nn.Linear(2, 2).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0.0], [0.5, 1.0]]))
        head.bias.copy_(torch.tensor([0.0, 0.2]))
    loss = chosen.loss([hand.encoded(hidden)], corrupted, None, head)
    expected = 0.0
    for (x, y), slot in (((2.0, 1.0), 0), ((0.0, -1.0), 1)):
        logits = [x, 0.5 * x + y + 0.2]
        expected -= logits[slot] - log(sum(exp(v) for v in logits))
    assert loss.item() == pytest.approx(expected / 2)


def test_gradients(hand: Any, whole: Any) -> None:
    assert hand.gradients_hold({"name": "metapath_type", "metapaths": UP}, whole(PAIRS, pairs=True))


def test_every_slot_is_a_term(whole: Any) -> None:
    examples = whole(PAIRS, pairs=True)
    tokens = examples.tokens
    corrupted = typed(metapaths=UP).corrupt(examples)
    row, slot = tokens.sequence_of().tolist(), tokens.slot.tolist()
    groups = sorted({(r, s) for r, s in zip(row, slot, strict=True) if s})
    at = {name: value.tolist() for name, value in corrupted.targets.items()}
    assert [(row[t], s + 1) for t, s in zip(at["path"], at["slot"], strict=True)] == groups
    assert len(groups) == corrupted.count
    for token, leader in zip(at["token"], at["leader"], strict=True):
        assert (row[token], slot[token]) == (row[leader], slot[leader])
    assert len(at["token"]) == sum(s > 0 for s in slot)


@pytest.mark.parametrize(
    ("sampler", "linearizer", "pairs"),
    [(PAIRS, "subgraph", True), (WALKS, {"name": "path", "join": True}, False)],
    ids=["pairs", "walks"],
)
def test_the_view_is_one_for_every_labelling(
    whole: Any, retold: Any, sampler: Any, linearizer: Any, pairs: bool
) -> None:
    """Slots change places, with the relations, times and edges that spell them: nothing shows."""
    examples = whole(sampler, linearizer, pairs=pairs)
    tokens = examples.tokens
    turn = torch.tensor([0, 2, 3, 1])
    spoken = tokens.kind == Kind.RELATION
    told = replace(
        tokens,
        id=torch.where(spoken, (tokens.id + 1) % 12, tokens.id),
        slot=turn[tokens.slot],
        relation=torch.where(tokens.relation < 0, -1, (tokens.relation + 1) % 12),
        time=tokens.time + 1,
        edges=None if tokens.edges is None else tokens.edges[::2],
    )
    chosen = typed(slots=3)
    first, second = chosen.corrupt(examples), chosen.corrupt(retold(examples, told))
    assert same(first.views[0].tokens, second.views[0].tokens)
    assert set(first.targets["slot"].tolist()) == {0, 1, 2}
    label = {}
    for corrupted in (first, second):
        for token, slot in zip(
            *(corrupted.targets[n].tolist() for n in ("path", "slot")), strict=True
        ):
            label.setdefault(token, []).append(slot)
    assert all(int(turn[a + 1]) - 1 == b for a, b in label.values())
    seen = first.views[0].tokens
    assert (seen.slot == 0).all()
    slotted = torch.isin(tokens.sequence_of(), tokens.sequence_of()[tokens.slot > 0])
    assert (seen.position == tokens.hop.clamp(min=0))[slotted].all()  # they stood slot by slot


def test_relations_are_shown_on_request(whole: Any) -> None:
    examples = whole(PAIRS, pairs=True)
    seen = typed(metapaths=UP, relations=True).corrupt(examples).views[0].tokens
    assert torch.equal(seen.relation, examples.tokens.relation)
    assert (seen.slot == 0).all()


def test_metapaths_that_the_graph_does_not_have(shop: Any) -> None:
    spec = GraphSpec.of(shop)
    typed(metapaths=UP).check(spec)
    with pytest.raises(GraphRecError, match="did you mean 'rated_by'"):
        typed(metapaths=[["rates", "rated_buy"]]).check(spec)
    with pytest.raises(GraphRecError, match="a relation from 'item' after 'rates'"):
        typed(metapaths=[["rates", "makes"]]).check(spec)
    with pytest.raises(GraphRecError, match="metapaths or a number of slots"):
        typed()
    with pytest.raises(GraphRecError, match="metapaths or a number of slots"):
        typed(metapaths=UP, slots=3)


def test_more_slots_than_metapaths_are_refused(whole: Any) -> None:
    with pytest.raises(GraphRecError, match=r"slots up to 2, got 3; try the metapaths"):
        typed(metapaths=UP[:2]).corrupt(whole(PAIRS, pairs=True))


def test_it_learns_what_can_be_told_and_no_more(fit: Any, shop: Any, colors: Any) -> None:
    """Three metapaths over three kinds of nodes are told; two over one kind are not.

    Of every pair of the colours' world, both metapaths meet all items of the user's colour and all
    users of the item's; only the slot says which is which.
    """
    pairs = torch.cartesian_prod(torch.arange(15), 16 + torch.arange(19))
    config = {"name": "metapath_type", "metapaths": UP}
    found = fit(shop, config, PAIRS, "subgraph", pairs, steps=80, rate=2e-2)
    assert found.losses[0] == pytest.approx(log(3), rel=0.1)
    assert found.last < 0.1 * log(3)
    twice = [["rates", "rated_by", "rates"]] * 2
    sampler = {"name": "path_subgraph", "metapaths": twice}
    config = {"name": "metapath_type", "metapaths": twice}
    pairs = torch.cartesian_prod(torch.arange(16), torch.arange(16, 32))
    found = fit(colors, config, sampler, "subgraph", pairs, steps=80, rate=2e-2)
    assert found.last == pytest.approx(log(2), rel=0.02)
