"""What lists show and what of it was clicked, against the rows of the world."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.shown import interaction_with_lists, is_clicked, shown_items
from tests.lists_world import LISTS, lists_graph


@pytest.fixture(scope="module")
def lists() -> Graph:
    return lists_graph()


def test_what_was_clicked(lists: Graph) -> None:
    nodes = torch.tensor(list(lists.nodes("impression")))
    shown = shown_items(lists, nodes, "shows")
    relation = interaction_with_lists(lists.schema, None, "impression")
    liked = is_clicked(lists, relation, nodes[shown.row], shown.item, 4.0)
    for row, item, like in zip(
        shown.row.tolist(), shown.item.tolist(), liked.tolist(), strict=True
    ):
        user = int(str(lists.raw_id(int(nodes[row]))).split("/")[0])
        film = int(str(lists.raw_id(item))[1:])
        assert like == (film % 3 == user % 3)
    every = is_clicked(lists, relation, nodes[shown.row], shown.item)
    assert bool(every.all())
    other = is_clicked(lists, relation, nodes[shown.row].roll(4 * LISTS), shown.item)
    assert not bool(other.all())  # shown in another list


def test_an_interaction_without_lists_is_refused(lists: Graph) -> None:
    with pytest.raises(GraphRecError, match="event"):
        interaction_with_lists(lists.schema, None, "user")
