"""The task `text`, from a recipe to the page; reviews of this world name an aspect of the item."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml

from graphrec_pt import GraphRecError, Recipe, open_run, run_recipe, split, write_report
from graphrec_pt.cli import main
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.evaluation.facts import Facts
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.evaluation.tasks.text import TextTask, known_texts
from graphrec_pt.evaluation.text_writers import GroundedWriter, Quotes
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split
from graphrec_pt.recipe.folder import Run, measured_again
from graphrec_pt.serve.report.text_examples import chosen_texts, pieces, text_page

ASPECTS = ("strap", "amplifier", "cable", "pedal")
USERS, ITEMS = 12, 8
RECIPE = """
name: said
data: {graph: none, split: leave_one_out}
model:
  backbone: {name: graph_transformer, width: 16, layers: 1, mode: causal,
             structure: {position: 16, type: null}}
stages:
  - name: paths
    sampler: {name: user_item_paths, hops: 3, paths: 4, through: [aspect]}
    linearizer: {name: path, bos: false, eos: false}
    objectives:
      - {name: path_autoregression, decode: {constrained: true, hops: 3, beams: 8, score: sum}}
    batch: 16
    steps: 20
evaluate:
  task:
    name: text
    answer: {of: event, column: text}
    writer: WRITER
    phrases: {reviews: [wrote about], has_aspect: ["comes with a", "has a"]}
options: {cpu: true}
"""


WRITES = """
name: writes
data: {graph: none, split: leave_one_out}
model:
  text: "trained:270"
  backbone: {name: graph_transformer, width: 16, layers: 1, mode: causal,
             structure: {position: 48, type: null}}
stages:
  - name: words
    roots: reviews
    sampler:
      name: both_ends
      source: {name: k_hop, fanout: [2], relations: [reviews]}
      target: {name: k_hop, fanout: [2], relations: [has_aspect]}
    linearizer: subgraph
    objectives:
      - name: language_model
        answer: {of: event, column: text, longest: 24}
        generation: {longest: 24}
    batch: 16
    steps: 40
    optimization: {lr: 1.0e-2}
evaluate:
  task: {name: text, answer: {of: event, column: text}}
  metrics: [rouge_l, ppl, ppl_byte, grounded]
options: {cpu: true}
"""


def aspects_of(item: int) -> tuple[str, str]:
    return ASPECTS[item % 4], ASPECTS[(item + 1) % 4]


def told(user: int, item: int, at: int) -> str | None:
    """The last review of every third user is missing or empty; user 1 names what i lacks."""
    if at == 4 and user % 3 == 0:
        return None if user % 2 else "  "
    wrong = ASPECTS[(item + 2) % 4] if user == 1 else aspects_of(item)[user % 2]
    return f"{'fine' if user % 2 else 'great'} {wrong} for item {item}"


@pytest.fixture(scope="module")
def world() -> Graph:
    rows = [
        (f"u{user}", f"thing {item}", at, f"{user}-{item}", told(user, item, at))
        for user in range(USERS)
        for at in range(5)
        for item in [(user + at * (1 + user % 3)) % ITEMS]
        if (user % 2, at) != (1, 5)
    ]
    reviews = pl.DataFrame(
        rows, schema=["user", "item", "time", "review", "text"], orient="row"
    ).unique("review", keep="first", maintain_order=True)
    things = [(f"thing {n}", list(aspects_of(n))) for n in range(ITEMS)]
    plan = Plan(
        nodes={
            "user": NodePlan(),
            "item": NodePlan(table="things", id="item"),
            "aspect": NodePlan(),
            "review": NodePlan(table="reviews", id="review", columns={"text": "text"}),
        },
        edges={
            "reviews": EdgePlan(
                table="reviews",
                source="user.user",
                target="item.item",
                time="time",
                event="review.review",
                inverse="reviewed_by",
                interaction=True,
            ),
            "has_aspect": EdgePlan(table="things", source="item.item", target="aspect.aspects"),
        },
        time_unit="ordinal",
    )
    tables = {
        "reviews": reviews,
        "things": pl.DataFrame(things, schema=["item", "aspects"], orient="row"),
    }
    return build(plan, tables)


@pytest.fixture(scope="module")
def parts(world: Graph) -> Split:
    return split(world, "leave_one_out")


def recipe(writer: str = "grounded") -> Recipe:
    return Recipe.checked(yaml.safe_load(RECIPE.replace("WRITER", writer)), "test")


@pytest.fixture(scope="module")
def run(world: Graph, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_recipe(recipe(), tmp_path_factory.mktemp("runs") / "said", graph=world)


def text_task(**options: Any) -> TextTask:
    config = {"name": "text", "answer": {"of": "event", "column": "text"}, **options}
    built = task.build(config)
    assert isinstance(built, TextTask)
    return built


class Same:
    """Writes one text about every pair, and finds every reference two nats a word long."""

    def __init__(self, text: str) -> None:
        self.text = text

    def write(self, source: torch.Tensor, target: torch.Tensor, edge: torch.Tensor) -> list[str]:
        return [self.text] * len(source)


class Likely(Same):
    def nll(
        self, source: torch.Tensor, target: torch.Tensor, edge: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = 1 + (edge % 3)
        return 2.0 * tokens.double(), tokens


def test_a_run_measures_texts(run: Run) -> None:
    measured = run.metrics
    assert list(measured["test"]) == list(TextTask.metrics)
    assert measured["test"]["grounded"] == 1
    assert set(measured["baselines"]) == {
        "constant_text",
        "commonest_text",
        "medoid_text",
        "random_text",
        "neighbor_text",
    }
    low, high = measured["intervals"]["rouge_l"]
    assert low <= measured["test"]["rouge_l"] <= high
    assert set(measured["compared"]) == set(measured["baselines"])
    again = measured_again(open_run(run.folder))
    assert again.metrics["test"] == measured["test"]


def test_texts_stand_beside_their_references(run: Run, world: Graph, parts: Split) -> None:
    table = pl.read_parquet(run.folder / "texts.parquet").filter(split="test")
    texts = dict(zip(world.tables["review"]["id"], world.tables["review"]["text"], strict=True))
    for user, item, reference in table.select("user", "item", "reference").iter_rows():
        known = texts[f"{user[1:]}-{item.removeprefix('thing ')}"]
        assert reference == (known.strip() or None if known else None)
    assert table["reference"].null_count() == 4
    page = text_page(run)
    assert (page.targets, page.unknown, page.empty) == (USERS, 4, 0)
    assert page.stated == page.grounded > 0


def test_the_grounded_writer_says_no_false_word(run: Run, parts: Split) -> None:
    asked = text_task(phrases={"reviews": ["wrote about"], "has_aspect": ["has a"]})
    facts = Facts.of(parts.history("test"), "reviews", None, asked.phrases)
    quotes = Quotes(known_texts(parts, asked.answer), facts)
    for proposal, taken in [("a fine triangle", True), ("it has a piano", True)]:
        writer = GroundedWriter(facts, quotes, Same(proposal))
        found = asked.judge(writer, parts, "test", RankingConfig())
        assert (
            set(found.table["text"]) == {proposal} if taken else proposal not in found.table["text"]
        )
    # Every aspect is false for half of the items; there the writer says something else.
    writer = GroundedWriter(facts, quotes, Same("comes with a strap"))
    mixed = asked.judge(writer, parts, "test", RankingConfig())
    plain = asked.judge(Same("comes with a strap"), parts, "test", RankingConfig())
    assert mixed.table["stated"].equals(mixed.table["grounded"])
    assert not plain.table["stated"].equals(plain.table["grounded"])
    kept = mixed.table["text"] == "comes with a strap"
    assert kept.any()
    assert not kept.all()
    assert (plain.table["grounded"].filter(kept) == plain.table["stated"].filter(kept)).all()


def test_a_language_model_writes(world: Graph, parts: Split, tmp_path: Path) -> None:
    written = run_recipe(Recipe.checked(yaml.safe_load(WRITES), "test"), tmp_path, graph=world)
    measured = written.metrics
    assert set(measured["test"]) == {"rouge_l", "ppl", "ppl_byte", "grounded"}
    assert set(measured["baselines"]["medoid_text"]) == {"rouge_l", "grounded"}  # no likelihoods
    table = pl.read_parquet(tmp_path / "texts.parquet").filter(split="test")
    nll, tokens = (table[name].drop_nulls().to_numpy() for name in ("nll", "tokens"))
    assert len(nll) == USERS - 4  # those with a reference
    assert measured["test"]["ppl"] == pytest.approx(math.exp(nll.sum() / tokens.sum()))
    size = sum(len(text.encode()) for text in table["reference"] if text)
    assert measured["test"]["ppl_byte"] == pytest.approx(math.exp(nll.sum() / size))
    assert 1 < measured["test"]["ppl_byte"] < 20
    page = write_report(written).read_text(encoding="utf-8")
    assert '<td class="n">–' in page
    checked = text_task(writer="grounded")
    system = checked.trained(written.model(), written.recipe.stages[-1], parts, "test")
    found = checked.judge(system, parts, "test", RankingConfig())
    assert found.table["stated"].equals(found.table["grounded"])


def test_a_path_is_put_into_words(run: Run, world: Graph, parts: Split) -> None:
    asked = recipe("model").evaluate.asked
    model = run.model()
    system = asked.trained(model, run.recipe.stages[-1], parts, "test")
    found = asked.judge(system, parts, "test", RankingConfig())
    texts = [text for text in found.table["text"] if text]
    assert texts
    shape = r"You wrote about thing \d, which comes with a (\w+); thing \d comes with a \1, too\."
    assert any(re.fullmatch(shape, text) for text in texts)
    assert all(text.startswith("You wrote about thing ") for text in texts)
    assert found.table["stated"].sum() == found.table["grounded"].sum() > 3 * len(texts)


def test_likelihoods_of_the_system(parts: Split) -> None:
    asked = text_task()
    found = asked.judge(Likely("a strap"), parts, "test", RankingConfig())
    assert (found.table["nll"] == 2 * found.table["tokens"]).all()
    assert asked.judge(Same(""), parts, "test", RankingConfig()).table["nll"].null_count() == USERS


def test_few_targets_are_evenly_spaced(parts: Split) -> None:
    every = text_task().judge(Same("x"), parts, "test", RankingConfig()).table["user"]
    some = text_task(most=4).judge(Same("x"), parts, "test", RankingConfig()).table["user"]
    assert some.to_list() == every.to_list()[::3]


def test_data_without_references(world: Graph, parts: Split) -> None:
    text_task().check_split(parts, TextTask.metrics)
    empty = world.tables["review"].with_columns(text=pl.lit("", pl.String))
    silent = replace(world, tables={**world.tables, "review": empty})
    with pytest.raises(GraphRecError, match="12 targets of valid without one"):
        text_task().check_split(split(silent, "leave_one_out"), TextTask.metrics)
    with pytest.raises(GraphRecError, match="director"):
        text_task(entities=["director"]).check_split(parts, TextTask.metrics)


def test_a_model_that_only_ranks_writes_nothing() -> None:
    content = yaml.safe_load(RECIPE.replace("WRITER", "model"))
    content["stages"][0] |= {"sampler": "history", "linearizer": "history"}
    content["stages"][0]["objectives"] = ["next_item"]
    with pytest.raises(GraphRecError, match="an objective that writes or decodes paths"):
        Recipe.checked(content, "test").evaluate.asked.check(Recipe.checked(content, "x").stages[0])


def test_examples_are_chosen_by_a_rule(run: Run) -> None:
    written = run.outcomes["test"]
    rows = chosen_texts(written)  # type: ignore[arg-type]
    scores = [float(re.search(r"\d\.\d+", place)[0]) for _, place in rows]  # type: ignore[index]
    assert scores == sorted(scores, reverse=True)
    assert written.table["reference"].gather([row for row, _ in rows]).null_count() == 0


def test_pieces_put_together_are_the_text(world: Graph) -> None:
    facts = Facts.of(world, "reviews", phrases={"has_aspect": ["has a"]})
    pair = world.node_id("user", "u0"), world.node_id("item", "thing 0")
    text = "It has a strap & no cable, says <b>thing 1</b>"
    parts = pieces(text, facts.stated(text, *pair), world)
    assert "".join(part.words for part in parts) == text
    marks = {part.words: part.fact for part in parts if part.fact}
    assert marks == {"strap": "true", "cable": "true", "thing 1": "true"}
    text = "It has a pedal"
    (_, mark) = pieces(text, facts.stated(text, *pair), world)
    assert (mark.words, mark.fact) == ("pedal", "false")
    assert "no edge" in mark.about


def test_the_page_marks_facts(run: Run) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    assert 'id="texts"' in page
    assert '<mark class="true"' in page
    assert "the data has no text for 4 of them" in page
    assert "100.0% of them" in page


def test_recommendations_in_sentences(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["recommend", str(run.folder), "--user", "u0", "-k", "3", "--explain", "--words"]) == 0
    )
    printed = " ".join(capsys.readouterr().out.split())
    assert "You wrote about thing" in printed
    asked = ["recommend", str(run.folder), "--user", "u0", "-k", "3", "--explain"]
    assert main([*asked, "--json"]) == 0
    items = json.loads(capsys.readouterr().out)[0]["items"]
    sentences = [path["sentence"] for item in items for path in item["paths"]]
    assert sentences
    facts = Facts.of(run.history, "reviews", phrases={"has_aspect": ["comes with a"]})
    for item in items:
        pair = run.history.node_id("user", "u0"), run.history.node_id("item", item["id"])
        for path in item["paths"]:
            assert all(fact.true for fact in facts.stated(path["sentence"], *pair))
    assert main(["recommend", str(run.folder), "--user", "u0", "--words"]) == 2
    assert "--explain --words" in capsys.readouterr().err


def test_run_folder_has_no_ranks(run: Run, tmp_path: Path) -> None:
    assert not (run.folder / "ranks.parquet").exists()
