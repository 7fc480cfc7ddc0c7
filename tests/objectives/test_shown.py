"""What is drawn from a list: clicked items, each beside items that were shown and not clicked."""

import torch

from graphrec_pt.objectives.choice import Choice
from graphrec_pt.sampling.shown import interaction_with_lists, is_clicked
from graphrec_pt.testing.objectives import Batches
from tests.lists_world import lists_graph


def test_each_clicked_item_stands_before_others_of_its_list() -> None:
    graph = lists_graph()
    nodes = torch.tensor(list(graph.nodes("impression")))
    batches = Batches.of(graph, "impression", "subgraph", nodes)
    made = Choice(above=4.0, clicked=2, negatives=3).corrupt(batches.examples())
    length, item = made.targets["count"], made.targets["item"]
    assert made.count * 4 == len(item) == int(length.sum())
    relation = interaction_with_lists(graph.schema, None, "impression")
    every = graph.edges("shows")
    some = torch.zeros(len(nodes), dtype=torch.bool)
    at = 0
    for node in nodes.tolist():
        shown = every.target[every.source == node]
        liked = is_clicked(graph, relation, torch.full_like(shown, node), shown, 4.0)
        taken = min(int(liked.sum()), 2) if not bool(liked.all()) else 0
        some[node - nodes[0]] = taken > 0
        drawn = item[at : at + 4 * taken].view(-1, 4)
        at += 4 * taken
        assert set(drawn[:, 0].tolist()) <= set(shown[liked].tolist())
        assert len(set(drawn[:, 0].tolist())) == taken
        assert set(drawn[:, 1:].flatten().tolist()) <= set(shown[~liked].tolist())
    assert at == len(item)
    assert len(length) == int(some.sum())
