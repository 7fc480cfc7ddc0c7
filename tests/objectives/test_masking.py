"""Events, their last one, their text and their attributes."""

from typing import Any

import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.masking import (
    Masking,
    choose_events,
    events,
    last_of,
    with_text,
)
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


def histories() -> Tokens:
    """Return a root with two events, a text token of each; a root; one event."""
    N, T = int(Kind.NODE), int(Kind.TEXT)
    return Tokens.of(
        torch.tensor([0, 7, 1, 8, 2, 0, 8]),
        torch.tensor([N, N, T, N, T, N, N]),
        torch.tensor([0, 5, 6, 7, 7]),
        hop=torch.tensor([0, 1, 1, 1, 1, 0, 1]),
        type=torch.tensor([0, 1, -1, 2, -1, 0, 2]),
        word=torch.tensor([0, 1, 1, 2, 2, 0, 0]),
    )


def test_events_and_their_last() -> None:
    tokens = histories()
    assert events(tokens).nonzero().flatten().tolist() == [1, 3, 6]
    assert events(tokens, 1).nonzero().flatten().tolist() == [1]
    assert last_of(tokens, events(tokens)).tolist() == [3, -1, 6, -1]


def test_text_goes_with_its_node() -> None:
    tokens = histories()
    chosen = torch.zeros(7, dtype=torch.bool)
    chosen[3] = True
    assert with_text(tokens, chosen).nonzero().flatten().tolist() == [3, 4]


def test_repeats_of_a_chosen_event_are_chosen_with_it(small: Any, making: Any) -> None:
    graph: Graph = small([1, 3, 1], [(0, 1, 1), (0, 0, 2), (0, 1, 3)], [(0, 0)])
    preparation = making.prepared(
        graph, {"name": "history"}, {"name": "history"}, torch.tensor([0])
    )
    examples = making.examples(preparation, [0])
    tokens = examples.tokens
    for everywhere, chosen in ((True, [0, 2]), (False, [2])):
        policy = Masking(least=0, share=0.01, everywhere=everywhere)
        found = choose_events(tokens, events(tokens), examples.draws, policy, last=True)
        assert found.nonzero().flatten().tolist() == chosen
