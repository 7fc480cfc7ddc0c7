"""Links from what a dialogue named to items, by hand, and the objective that weighs them."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.turn_head import LINK_SCALE, TurnHead
from graphrec_pt.objectives.turn_links import TurnLinks, fact_links, facts_of, mention_links
from graphrec_pt.sampling.turns import Context

NAMED = {"t1": "a x", "t2": "x", "t3": "a", "t4": "b a"}
RECOMMENDED = {"t1": "b", "t2": "b", "t3": "c"}
STARS = {"b": "x", "c": "x", "d": "y", "a": "y"}


def edges(lists: dict[str, str], kinds: str) -> pl.DataFrame:
    rows = [(u, v) for u, line in lists.items() for v in line.split() if v in kinds]
    frame = pl.DataFrame(rows, {"u": pl.String, "v": pl.String}, orient="row")
    return frame.with_row_index("row")


@pytest.fixture(scope="module")
def graph() -> Graph:
    def edge(table: str, source: str, target: str, **more: Any) -> EdgePlan:
        return EdgePlan(table=table, source=f"{source}.u", target=f"{target}.v", **more)

    plan = Plan(
        nodes={
            "turn": NodePlan(table="turns", id="u"),
            "item": NodePlan(table="items", id="v"),
            "person": NodePlan(),
            "dialogue": NodePlan(),
        },
        edges={
            "recommends": edge("recommended", "turn", "item", interaction=True),
            "names": edge("named", "turn", "item", time="row"),
            "knows": edge("people", "turn", "person", time="row"),
            "stars": edge("stars", "item", "person"),
            "part_of": edge("parts", "turn", "dialogue"),
        },
        time_unit="ordinal",
    )
    tables = {
        "turns": pl.DataFrame({"u": list(NAMED)}),
        "items": pl.DataFrame({"v": list("abcd")}),
        "recommended": edges(RECOMMENDED, "abcd"),
        "named": edges(NAMED, "abcd"),
        "people": edges(NAMED, "xy"),
        "stars": edges(STARS, "xy"),
        "parts": edges({"t1": "A", "t2": "A", "t3": "B", "t4": "B"}, "AB"),
    }
    return build(plan, tables, seed=None)


LINKS = TurnLinks(context=Context(mentions=("names", "knows")))


def table_of(
    graph: Graph, turn: str, training: bool = False, links: TurnLinks = LINKS
) -> dict[str, list[float]]:
    turns = graph.node_ids("turn", [turn])
    linked = links.of(graph, "recommends", turns, training=training)
    assert linked.row.tolist() == [0] * len(linked.row)
    names = ["abcd"[item] for item in linked.item.tolist()]
    return dict(zip(names, linked.value.tolist(), strict=True))


def test_mention_links_count_turns(graph: Graph) -> None:
    weights = mention_links(graph, "recommends", LINKS.context, 0.5, 0.5).toarray()
    a, x = graph.node_id("item", "a"), graph.node_id("person", "x")
    # a is named in t1, t3; x in t1, t2; b is recommended twice, c once
    assert weights[a] == pytest.approx([0, 1 / 2, 2**-0.5, 0])
    assert weights[x] == pytest.approx([0, 2 / 2, 0, 0])
    assert weights[graph.node_id("item", "b")].sum() == 0  # t4 recommends nothing


def test_facts_are_about_neither_turns_nor_interactions(graph: Graph) -> None:
    assert facts_of(graph, "turn") == ("stars",)
    links = fact_links(graph, ("stars",)).toarray()
    b, x = graph.node_id("item", "b"), graph.node_id("person", "x")
    assert links[b, x] == pytest.approx((1 * 2) ** -0.5)
    assert np.allclose(links, links.T)


def test_channels_of_a_turn(graph: Graph) -> None:
    # t4 names b, then a: a is the latest mention
    found = table_of(graph, "t4")
    half = 2**-0.5
    assert found["a"][0] == 1.0
    assert found["b"][0] == 0.5
    assert found["b"][1] == pytest.approx(1 / 2)  # of a
    assert found["c"][1] == pytest.approx(half)
    assert [found[item][2] for item in "abcd"] == [0, 0, 0, 0]  # items link to people alone
    # two steps: b – x – b and c; a – y – a and d, each half · half
    assert [found[item][3] for item in "abcd"] == pytest.approx([0.5, 0.5, 0.5, 0.5])


def test_a_training_turn_does_not_see_its_own_recommendations(graph: Graph) -> None:
    own = table_of(graph, "t3")["c"][1]
    assert own == pytest.approx(2**-0.5)  # t3 alone recommends c after a
    assert table_of(graph, "t3", True).get("c", [0, 0.0])[1] == 0.0
    # t1: x and a named, b recommended; t2 links x to b too, which stays
    without = table_of(graph, "t1", True)["b"][1]
    assert without == pytest.approx(1 / 2 + 1 - 1 / 2 - 1 / 2)


def test_a_training_turn_does_not_see_its_own_dialogue(graph: Graph) -> None:
    links = LINKS.model_copy(update={"dialogue": "part_of"})
    # t1 and t2 are one dialogue, and nothing else links x to b
    assert table_of(graph, "t1", True, links).get("b", [0, 0.0])[1] == 0.0
    assert table_of(graph, "t2", True, links).get("b", [0, 0.0])[1] == 0.0
    assert table_of(graph, "t3", True, links)["b"][1] == pytest.approx(1 / 2)  # a, by t1


def test_several_turns_are_those_alone(graph: Graph) -> None:
    turns = graph.node_ids("turn", ["t1", "t4", "t2"])
    together = LINKS.of(graph, "recommends", turns)
    for place in range(3):
        alone = LINKS.of(graph, "recommends", turns[place : place + 1])
        mine = together.row == place
        assert torch.equal(together.item[mine], alone.item)
        torch.testing.assert_close(together.value[mine], alone.value)


def test_the_head_starts_alike_for_all_kinds_and_learns_by_state() -> None:
    head = TurnHead(3, 2)
    with torch.no_grad():
        head.initialise(torch.Generator())
    state, row = torch.randn(2, 3), torch.tensor([0, 1, 1])
    value = torch.tensor([[0.0, 0.5], [1.0, 0.0], [0.2, 0.3]])
    term = head(state, row, value)
    torch.testing.assert_close(term, torch.log1p(LINK_SCALE * value).sum(1))
    with torch.no_grad():
        head.gate.weight[0] = 1.0
    more = head(state, row, value) - term
    expected = state.sum(1)[row] * torch.log1p(LINK_SCALE * value[:, 0])
    torch.testing.assert_close(more, expected, atol=1e-5, rtol=1e-5)
