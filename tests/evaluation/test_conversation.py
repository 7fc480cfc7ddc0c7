"""Recommendation in dialogue, on five turns whose ranks and shares are counted by hand.

Dialogue d1 trains; d2 is held out for validation, d3 and d4 for test::

    t1 (d1) names a, x         recommends b
    t2 (d2) names a            recommends b
    t3 (d3) names a then c     recommends c (named) and b (novel)
    t4 (d3) names a, c, b      recommends b (named)
    t5 (d4) names nothing      recommends d (novel)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.evaluation.baseline import baseline
from graphrec_pt.evaluation.conversations import Conversations, read_conversations
from graphrec_pt.evaluation.intervals import compare, resampled
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.outcome import write_outcomes
from graphrec_pt.evaluation.responses import Responses, Titles
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.evaluation.tasks.conversation import Conversation, System
from graphrec_pt.graph.split import Split, split
from graphrec_pt.sampling.turns import Context
from graphrec_pt.testing import check_baseline

NAMED = {"t1": "a x", "t2": "a", "t3": "a c", "t4": "a c b", "t5": ""}
RECOMMENDED = {"t1": "b", "t2": "b", "t3": "c b", "t4": "b", "t5": "d"}
DIALOGUE = {"t1": "d1", "t2": "d2", "t3": "d3", "t4": "d3", "t5": "d4"}
PART = {"d1": "train", "d2": "valid", "d3": "test", "d4": "test"}
TITLES = {"a": "Alien", "b": "Brazil", "c": "Cube", "d": "The Big Sleep"}


def pairs(lists: Mapping[str, str], kinds: str) -> pl.DataFrame:
    rows = [(turn, node) for turn, line in lists.items() for node in line.split() if node in kinds]
    made = pl.DataFrame(rows, {"turn": pl.String, "node": pl.String}, orient="row")
    return made.with_row_index("row")


@pytest.fixture(scope="module")
def made() -> Split:
    def edge(table: str, target: str, **more: Any) -> EdgePlan:
        return EdgePlan(table=table, source="turn.turn", target=target, **more)

    recommended = pairs(RECOMMENDED, "abcd").with_columns(
        split=pl.col("turn").replace_strict(DIALOGUE).replace_strict(PART)
    )
    items = pl.DataFrame({"item": list(TITLES), "name": list(TITLES.values())})
    turns = pl.DataFrame({"turn": list(NAMED), "response": [f"See {t}." for t in NAMED]})
    tables = {
        "recommended": recommended,
        "items": items,
        "turns": turns,
        "named": pairs(NAMED, "abcd"),
        "people": pairs(NAMED, "x"),
        "parts": pl.DataFrame({"turn": list(DIALOGUE), "node": list(DIALOGUE.values())}),
        "stars": pl.DataFrame({"item": ["d", "b"], "person": ["x", "x"]}),
    }
    plan = Plan(
        nodes={
            "turn": NodePlan(table="turns", id="turn", columns={"response": "text"}),
            "item": NodePlan(table="items", id="item", columns={"name": "text"}, title="name"),
            "person": NodePlan(),
            "dialogue": NodePlan(),
        },
        edges={
            "recommends": edge(
                "recommended", "item.node", columns={"split": "category"}, interaction=True
            ),
            "names": edge("named", "item.node", time="row"),
            "knows": edge("people", "person.node", time="row"),
            "part_of": edge("parts", "dialogue.node"),
            "stars": EdgePlan(table="stars", source="item.item", target="person.person"),
        },
        time_unit="ordinal",
    )
    return split(build(plan, tables, seed=None), "fixed")


CONFIG = {
    "name": "conversation",
    "context": {"mentions": ["names", "knows"]},
    "dialogue": "part_of",
    "reference": "response",
}


@pytest.fixture(scope="module")
def asked() -> Any:
    return task.build(CONFIG)


NOTHING: list[frozenset[int]] = [frozenset()] * 3


class Rows:
    """Scores of the items a, b, c, d for each turn."""

    def __init__(self, made: Split, scores: Mapping[str, list[float]]) -> None:
        self.rows = {made.graph.node_id("turn", t): s for t, s in scores.items()}

    def scores(self, nodes: Tensor) -> Tensor:
        return torch.tensor([self.rows[node] for node in nodes.tolist()])


ONE = {"t3": [4.0, 1, 3, 2], "t4": [4.0, 3, 2, 1], "t5": [1.0, 2, 3, 4]}


def outcome(asked: Conversation, made: Split, seen: Any = "keep", scores: Any = None) -> Any:
    return asked.judge(System(Rows(made, scores or ONE)), made, "test", RankingConfig(seen))


def names_of(made: Split, nodes: Tensor) -> list[str]:
    return [made.graph.raw_id(node) for node in nodes.tolist()]


def test_context_without_previous_is_what_the_turn_itself_names(made: Split) -> None:
    context = Context(mentions=("names", "knows"))
    turns = made.graph.node_ids("turn", ["t5", "t1", "t3"])
    named = context.named(made.graph, turns)
    assert named.row.tolist() == [1, 1, 2, 2]
    assert set(names_of(made, named.node[:2])) == {"a", "x"}
    assert names_of(made, named.node[2:]) == ["c", "a"]  # the latest mention first
    assert named.place.tolist() == [0, 1, 0, 1]
    ptr, column = context.items(made.graph, "recommends", turns)
    assert ptr.tolist() == [0, 0, 1, 3]
    assert column.tolist() == [0, 0, 2]


def test_context_with_previous_reads_the_turns_before() -> None:
    said = {"u1": "a", "u2": "b", "u3": "a", "u4": ""}
    before = pl.DataFrame({"turn": ["u2", "u3", "u4"], "node": ["u1", "u2", "u3"]})
    plan = Plan(
        nodes={"turn": NodePlan(), "item": NodePlan()},
        edges={
            "mentions": EdgePlan(table="said", source="turn.turn", target="item.node"),
            "follows": EdgePlan(table="before", source="turn.turn", target="turn.node"),
        },
    )
    graph = build(plan, {"said": pairs(said, "ab"), "before": before}, seed=None)
    context = Context(previous="follows")
    named = context.named(graph, graph.node_ids("turn", ["u1", "u2", "u3", "u4"]))
    raw = [graph.raw_id(node) for node in named.node.tolist()]
    assert list(zip(named.row.tolist(), raw, strict=True)) == [
        (1, "a"),
        (2, "b"),
        (2, "a"),
        (3, "a"),  # named last in u3, and in u1 before
        (3, "b"),
    ]
    near = Context(previous="follows", turns=1).named(graph, graph.node_ids("turn", ["u4"]))
    assert [graph.raw_id(node) for node in near.node.tolist()] == ["a"]


def test_every_item_of_a_turn_is_an_instance(made: Split, asked: Conversation) -> None:
    table = outcome(asked, made).table.sort("user", "item")
    assert table.select("user", "item", "dialogue", "named", "rank").rows() == [
        ("t3", "b", "d3", False, 4.0),
        ("t3", "c", "d3", True, 2.0),
        ("t4", "b", "d3", True, 2.0),
        ("t5", "d", "d4", False, 1.0),
    ]
    assert table["reference"].to_list() == ["See t3.", "See t3.", "See t4.", "See t5."]
    assert table["response"].to_list() == [
        "Have you seen Alien?",
        "Have you seen Alien?",
        "Have you seen Alien?",
        "Have you seen The Big Sleep?",
    ]


def test_all_and_novel_side_by_side(made: Split, asked: Conversation) -> None:
    names = ["recall_all@2", "recall_novel@2", "mrr_all@4", "mrr_novel@4"]
    names += [
        "ndcg_all@2",
        "ndcg_novel@2",
        "text_recall_all",
        "text_recall_novel",
        "items_per_response",
    ]
    values = evaluate(outcome(asked, made), names)
    log = np.log2
    assert values == pytest.approx(
        {
            "recall_all@2": 3 / 4,
            "recall_novel@2": 1 / 2,
            "mrr_all@4": (1 / 4 + 1 / 2 + 1 / 2 + 1) / 4,
            "mrr_novel@4": (1 / 4 + 1) / 2,
            "ndcg_all@2": (2 / log(3) + 1) / 4,
            "ndcg_novel@2": 1 / 2,
            "text_recall_all": 1 / 4,
            "text_recall_novel": 1 / 2,
            "items_per_response": 1.0,
        }
    )


def test_text_metrics_read_one_response_of_each_turn(made: Split, asked: Conversation) -> None:
    names = ["response_bleu@1", "response_bleu_single@1", "response_rouge_l"]
    names += ["response_distinct@1", "response_distinct_sentences@1"]
    # three responses, the words of "have you seen alien ?" twice and of "… the big sleep ?" once;
    # references "see t3 ." and so on share no word with them
    values = evaluate(outcome(asked, made), names)
    assert values == pytest.approx(
        {
            "response_bleu@1": 0.0,
            "response_bleu_single@1": 0.0,
            "response_rouge_l": 0.0,
            "response_distinct@1": 8 / 17,
            "response_distinct_sentences@1": 8 / 3,
        }
    )
    written = System(Rows(made, ONE), lambda turns: Responses(["See t3.", "See it.", ""], NOTHING))
    judged = asked.judge(written, made, "test", RankingConfig("keep"))
    assert judged.policy["responses"] == "model"
    assert evaluate(judged, ["response_rouge_l"]) == pytest.approx({"response_rouge_l": 5 / 9})
    assert evaluate(judged, ["items_per_response"]) == {"items_per_response": 0.0}


def test_best_items_take_the_place_of_blanks(made: Split) -> None:
    asked = task.build({**CONFIG, "blank": "<item>"})
    texts = ["See <item> or <item>!", "No.", "<item>"]
    written = System(Rows(made, ONE), lambda turns: Responses(texts, NOTHING))
    table = asked.judge(written, made, "test", RankingConfig("keep")).table.sort("user", "item")
    title = {made.graph.raw_id(n): made.graph.title(n) for n in made.graph.nodes("item")}
    # The order of t3 is a, c, d, b and that of t5 d, c, b, a; t3 has two instances.
    expected = [f"See {title['a']} or {title['c']}!"] * 2 + ["No.", title["d"]]
    assert table["response"].to_list() == expected
    assert table["items_in_response"].to_list() == [2, 2, 0, 1]
    inside = [item in "ac" for item in table["item"][:2]] + [False, table["item"][3] == "d"]
    assert table["in_response"].to_list() == inside


def test_titles_of_one_word_count_as_they_are_spelled(made: Split) -> None:
    titles = Titles(made.graph, "item")
    start = made.graph.nodes("item").start
    text = "Brazil is good. I saw Alien, not the alien, and the BIG sleep."
    assert [text[match.start : match.end] for match in titles.spans(text)] == [
        "Alien",
        "the BIG sleep",
    ]
    assert titles.nodes(text) == {start, start + 3}


def test_mask_leaves_out_what_was_named(made: Split, asked: Conversation) -> None:
    table = outcome(asked, made, "mask").table.sort("user", "item")
    # t3: b and d are left, b is the second; t4: d alone; t5: all.
    assert table["rank"].to_list() == [2.0, float("inf"), float("inf"), 1.0]
    assert table["candidates"].to_list() == [2, 2, 1, 4]
    assert table["response"].to_list()[2] == "Have you seen The Big Sleep?"
    assert asked.policies(made) == ("mask", "keep")


def test_intervals_resample_dialogues_and_weigh_instances(made: Split, asked: Conversation) -> None:
    judged = outcome(asked, made)
    assert judged.users.to_list() == ["d3", "d4"]
    draws = resampled(judged, ["recall_all@2", "recall_novel@2"], Key(0).named("x"), 200)
    # d3 twice: 2 of 3 instances, 0 of 1 novel; d4 twice: 1 and 1; each once: 3 of 4, 1 of 2
    rows = {(round(float(a), 6), round(float(b), 6)) for a, b in draws}
    assert rows == {(0.666667, 0.0), (1.0, 1.0), (0.75, 0.5)}
    other = outcome(asked, made, scores={**ONE, "t5": [4.0, 3, 2, 1]})
    apart = compare(judged, other, "recall_novel@2", Key(0).named("x"))
    assert apart.difference == pytest.approx(0.5)
    assert apart.users == 2


def test_repeat_names_the_latest_first(made: Split, asked: Conversation) -> None:
    system = asked.fitted({"name": "repeat", "context": CONFIG["context"]}, made, "test")
    ranks = asked.judge(system, made, "test", RankingConfig("keep")).table.sort("user", "item")
    # t3: c, a, then b (popular); t4: b, c, a; t5: b, then a, c, d tied
    assert ranks["rank"].to_list() == [3.0, 1.0, 1.0, 3.0]


def test_mention_knn_counts_the_turns_that_named_the_same(made: Split, asked: Conversation) -> None:
    config = {"name": "mention_knn", "context": CONFIG["context"]}
    system = asked.fitted(config, made, "test")
    turns = made.graph.node_ids("turn", ["t3", "t5"])
    scores = system.scorer.scores(turns)
    assert scores[0, 1] == pytest.approx(1.0)  # a was named in one turn, b recommended in it
    assert bool((scores[0, [0, 2, 3]] < 0).all())
    assert scores[1].argmax() == 1  # nothing named: popularity


def test_linked_items_reads_facts_alone(made: Split, asked: Conversation) -> None:
    config = {"name": "linked_items", "context": CONFIG["context"]}
    fitted: Any = baseline.build(config).fit(made.train, "recommends")
    assert fitted.weights.shape == (made.graph.num_nodes(), 4)
    person = made.graph.node_id("person", "x")
    row = fitted.weights[[person]].toarray()[0]
    assert row == pytest.approx([0, 2**-0.5, 0, 2**-0.5])  # x has two films, each one star
    with pytest.raises(GraphRecError, match="relations that are facts"):
        baseline.build({**config, "facts": []}).fit(made.train, "recommends")


@pytest.mark.parametrize("name", ["repeat", "mention_knn", "linked_items"])
def test_baselines_keep_the_promises_of_their_family(made: Split, name: str) -> None:
    check_baseline({"name": name, "context": CONFIG["context"]}, made)


def test_default_baselines_know_the_context(made: Split, asked: Conversation) -> None:
    configs = asked.baselines(made)
    names = [each if isinstance(each, str) else each["name"] for each in configs]
    assert names == ["popularity", "repeat", "mention_knn", "linked_items"]
    assert all(asked.family.build(each) for each in configs)


@pytest.mark.parametrize(
    ("change", "metrics", "message"),
    [
        ({"context": {"mentions": ["nams"]}}, [], "did you mean.*names"),
        ({"dialogue": "stars"}, [], "leaves the turns"),
        ({"reference": "respond"}, [], "text column.*response"),
        ({"template": "You like it."}, [], "with {item}"),
        ({}, ["recall_all@2"], "recall_novel@2 beside recall_all@2"),
        ({}, ["mrr_all@5", "mrr_novel@5"], "catalogue of 4"),
    ],
)
def test_mistakes_in_one_line(made: Split, change: Any, metrics: list[str], message: str) -> None:
    with pytest.raises(GraphRecError, match=message) as caught:
        task.build({**CONFIG, **change}).check_split(made, metrics)
    assert "\n" not in str(caught.value)


def test_saved_and_read_again(made: Split, asked: Conversation, tmp_path: Any) -> None:
    judged = outcome(asked, made)
    write_outcomes(tmp_path / asked.file, [judged])
    again = read_conversations(tmp_path / asked.file)["test"]
    assert again.table.equals(judged.table)
    assert again.policy == judged.policy


def test_outcome_refuses_an_instance_twice(made: Split, asked: Conversation) -> None:
    table = outcome(asked, made).table
    with pytest.raises(GraphRecError, match="once"):
        Conversations(pl.concat([table, table]))
    with pytest.raises(GraphRecError, match="ranks in"):
        Conversations(table.with_columns(rank=pl.lit(0.0)))
