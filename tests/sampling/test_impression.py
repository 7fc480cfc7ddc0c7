"""Impressions by hand: the user, what came before and what was shown, in this order."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.impression import Impression
from graphrec_pt.sampling.sample import Subgraphs
from tests.lists_world import FILMS, frames, lists_graph


@pytest.fixture(scope="module")
def lists() -> Graph:
    return lists_graph()


def names(graph: Graph, nodes: torch.Tensor) -> list[str]:
    return [str(graph.raw_id(node)) for node in nodes.tolist()]


def sampled(graph: Graph, name: str, **options: object) -> Subgraphs:
    return Impression(**options).sample(graph, graph.node_ids("impression", [name]), Key(0))


def test_the_third_list_of_a_user(lists: Graph) -> None:
    rows = frames()["rows"]
    rows = rows.filter(rows["user"] == "u4")
    made = sampled(lists, "4/2")
    told = names(lists, made.node)
    assert told[:2] == ["4/2", "u4"]
    past = rows.filter(rows["began"] < 200).sort("time")["film"].to_list()
    assert told[2:10] == past  # eight events before it, oldest first
    shown = rows.filter(rows["list"] == "4/2")["film"].to_list()
    assert sorted(told[10:]) == sorted(shown)
    assert made.slot.tolist() == [0, 0, *[1] * 8, *[2] * 4]
    assert made.hop.tolist() == [0, 1, *[2] * 8, *[1] * 4]
    assert made.parent.tolist() == [-1, 0, *[1] * 8, *[0] * 4]


def test_the_first_list_has_no_history(lists: Graph) -> None:
    assert sampled(lists, "4/0").slot.tolist() == [0, 0, 2, 2, 2, 2]


def test_only_likes_and_only_the_latest(lists: Graph) -> None:
    rows = frames()["rows"]
    mine = rows.filter((rows["user"] == "u4") & (rows["began"] < 200)).sort("time")
    liked = mine.filter(mine["weight"] >= 4)["film"].to_list()
    made = sampled(lists, "4/2", liked=4.0)
    assert names(lists, made.node[made.slot == 1]) == liked
    made = sampled(lists, "4/2", liked=4.0, window=2)
    assert names(lists, made.node[made.slot == 1]) == liked[-2:]
    made = sampled(lists, "4/2", window=3)
    assert names(lists, made.node[made.slot == 1]) == mine["film"].to_list()[-3:]


def test_reading_without_times_comes_first(lists: Graph) -> None:
    made = sampled(lists, "4/1", history=("rates", "read_before"), window=6)
    past = names(lists, made.node[made.slot == 1])
    assert past[:2] == [f"f{(20 + k) % FILMS}" for k in (1, 2)]  # the latest of three
    assert len(past) == 6


def test_what_it_needs(lists: Graph) -> None:
    with pytest.raises(GraphRecError, match="relation"):
        sampled(lists, "4/2", sees="seen")
