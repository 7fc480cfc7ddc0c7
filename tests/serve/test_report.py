"""The page of a run: what it says is what was measured, and nothing in it runs or loads."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from graphrec_pt import GraphRecError, Key, open_run, run_recipe, write_report
from graphrec_pt.cli import main
from graphrec_pt.data.synthetic import synthetic_tables
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import Run
from graphrec_pt.serve.report import comparison
from graphrec_pt.serve.report.comparison import FEWEST, System, distinct, gaps, parts, systems
from graphrec_pt.serve.report.learning_curves import MOST, Axis, stage_curves
from graphrec_pt.serve.report.user_examples import chosen_users, user_examples
from graphrec_pt.serve.report.write import render

EVIL = "<script>alert('x')</script> & \"co\""
CARD = """
name: corner
title: An invented shop
licence: {name: CC0, redistribute: true}
tables:
  sales: {file: sales.csv, types: {time: int}}
  items: {file: items.csv}
nodes:
  user: {}
  item: {table: items, id: item, columns: {title: text}, title: title}
  brand: {}
edges:
  buys: {table: sales, source: user.user, target: item.item, time: time, inverse: bought_by,
    interaction: true}
  made_by: {table: items, source: item.item, target: brand.brand, inverse: makes}
"""
RECIPE = """
name: paged
title: "A system of <b>ours</b>"
paper: "Us & them, 2026"
notes: ["Read `notes <i>` first."]
data: {card: CARD}
model: {backbone: {name: graph_transformer, width: 16, layers: 1, mode: bidirectional}}
stages:
  - name: first
    sampler: {name: history, window: 20}
    linearizer: history
    objectives: [masked_item, segment_prediction]
    epochs: 2
  - name: second
    sampler: {name: history, window: 20}
    linearizer: history
    objectives: [next_item]
    strategy: finetune_whole
    epochs: 2
evaluate: {baselines: [popularity, markov], metrics: [ndcg@10, hr@5, recall@5, mrr]}
seeds: [3, 4]
options: {cpu: true, log_every: 1}
"""
VOID = {"meta", "br", "path", "rect", "circle", "polyline"}


class Page(HTMLParser):
    """Reads a page; every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.numbers: list[float] = []
        self.words = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.numbers += [float(v or "") for name, v in attrs if (tag, name) == ("data", "value")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two stages, two seeds and two baselines on a shop with titles to escape."""
    raw = tmp_path_factory.mktemp("raw")
    _, tables = synthetic_tables(50, 30, 600, clusters=4, key=Key(5))
    tables["interactions"].select("user", "item", "time").write_csv(raw / "sales.csv")
    title = pl.concat_str(pl.lit(EVIL + " "), pl.col("id"))
    items = tables["items"].select(pl.col("id").alias("item"), title.alias("title"), "brand")
    items.write_csv(raw / "items.csv")
    (raw / "corner.yaml").write_text(CARD)
    (raw / "paged.yaml").write_text(RECIPE.replace("CARD", str(raw / "corner.yaml")))
    out = tmp_path_factory.mktemp("runs") / "paged"
    return run_recipe(load_recipe(raw / "paged.yaml"), out, raw=raw)


@pytest.fixture(scope="module")
def text(finished: Run) -> str:
    return write_report(finished.folder).read_text(encoding="utf-8")


@pytest.fixture
def copied(finished: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "run"))


def undigested(folder: Path) -> Path:
    """Drop the digests of a run, as in folders of older versions, so that its files may change."""
    metrics = json.loads((folder / "metrics.json").read_text())
    kept = {name: value for name, value in metrics.items() if name not in ("files", "digest")}
    (folder / "metrics.json").write_text(json.dumps(kept))
    return folder


def test_numbers_are_those_of_the_metrics(finished: Run, text: str) -> None:
    told = json.loads((finished.folder / "metrics.json").read_text())
    found = Page(text).numbers
    means = [told["over_seeds"][name] for name in ("test", "scratch")]
    rows = [{name: each["mean"] for name, each in row.items()} for row in means]
    rows += told["baselines"].values()
    assert all(value in found for row in rows for value in row.values())
    seeds = [row[when]["ndcg@10"] for row in told["by_seed"] for when in ("valid", "test")]
    assert all(value in found for value in seeds)
    for name in ("scratch", "popularity", "markov"):
        test = told["compared"][name]
        for value in (test["difference"], test["low"], test["high"]):
            assert f"{value:+.4f}".replace("-", "−") in text
    spread = told["over_seeds"]["test"]["ndcg@10"]
    assert f"{spread['mean']:.4f} ± {spread['sd']:.4f}" in text


def test_headline_and_tile_have_the_mean_over_seeds(finished: Run, text: str) -> None:
    spread = finished.metrics["over_seeds"]["test"]["ndcg@10"]
    mean, sd = f"{spread['mean']:.4f}", f"{spread['sd']:.4f}"
    assert mean != f"{finished.metrics['test']['ndcg@10']:.4f}"
    headline = text[text.index('<p class="lead">') : text.index("<nav")]
    assert f"ndcg@10 {mean}</strong> on the test set, the mean over 2 seeds" in headline
    assert f"standard deviation {sd}" in headline
    tile = text[text.index("<dt>ndcg@10, test") :].partition("</div>")[0]
    assert f">{mean}</data>" in tile
    shown = systems(finished, "ndcg@10")
    control = next(row for row in shown if row.name == "from-scratch control")
    assert control.values["mrr"] == finished.metrics["over_seeds"]["scratch"]["mrr"]["mean"]


def test_equal_metrics_are_printed_once(finished: Run, text: str) -> None:
    names = ["ndcg@10", "hr@5", "recall@5", "mrr"]
    assert distinct(names, systems(finished, "ndcg@10"))[0] == ["ndcg@10", "hr@5", "mrr"]
    assert '<th scope="col" class="n">recall@5' not in text
    assert "For every system recall@5 equals hr@5." in text
    rows = [System("a", {"mrr": 0.5, "map": 0.5}), System("b", {"mrr": 0.5, "map": 0.4})]
    assert distinct(["map", "mrr"], rows) == (["map", "mrr"], "")


def test_stars_are_those_of_the_printed_bootstrap(finished: Run, text: str) -> None:
    assert "***" not in text
    for gap in gaps(finished):
        p = finished.metrics["compared"].get(gap.name.replace("from-scratch control", "scratch"))
        bound = p["p_bootstrap"]
        assert gap.mark == ("**" if bound < 0.01 else "*" if bound < 0.05 else "")


def test_counts_and_notes_are_written_out(text: str) -> None:
    assert "2 epochs" in text
    assert "Read <code>notes &lt;i&gt;</code> first." in text
    assert "1 rows" not in text
    assert "twin" not in text


def test_control_characters_are_written_out(finished: Run) -> None:
    odd = replace(finished, recipe=finished.recipe.model_copy(update={"title": "a\x1b[31mb"}))
    page = render(odd)
    assert "a\\x1b[31mb" in page
    assert "\x1b" not in page


def test_a_page_is_whole_and_closed(text: str) -> None:
    page = Page(text)
    assert len(text.encode()) < 1_000_000
    for heading in ("What ran", "Learning curves", "Test", "Slices of the test set", "Graph"):
        assert heading in page.words
    for heading in ("Three users", "Recipe", "Reproduce", "masked_item, loss"):
        assert heading in page.words
    named = [value for _, name, value in page.attributes if name == "id"]
    assert len(named) == len(set(named))
    linked = [value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert linked
    assert set(linked) <= set(named)
    pictures = page.tags.count("svg")
    silent = [each for each in page.attributes if each[0] == "svg" and each[1] == "aria-hidden"]
    spoken = [each for each in page.attributes if each[0] == "svg" and each[1] == "aria-label"]
    assert len(spoken) + len(silent) == pictures
    assert all(value.strip() for *_, value in spoken)


def test_nothing_runs_and_nothing_is_loaded(text: str) -> None:
    page = Page(text)
    assert not {"script", "img", "link", "iframe", "object", "image", "use"} & set(page.tags)
    assert not [each for each in page.attributes if each[1].startswith("on")]
    assert {each[1] for each in page.attributes} & {"src", "xlink:href", "style"} == set()
    assert "://" not in text
    assert not re.search(r"url\(|@import", text)


def test_titles_are_text(text: str) -> None:
    assert "<script" not in text
    assert "<b>" not in text
    words = Page(text).words
    assert EVIL in words
    assert "A system of <b>ours</b>" in words
    assert "Us & them, 2026" in words


def test_users_are_chosen_by_rank_and_their_lists_are_true(finished: Run) -> None:
    best = finished.ranks["test"].table.group_by("user").agg(pl.col("rank").min())
    chosen = [user for user, _ in chosen_users(finished)]
    ranks = [best.filter(user=user)["rank"].item() for user in chosen]
    ordered = sorted(best["rank"])
    assert ranks == [ordered[round(place * 49)] for place in (0.1, 0.5, 0.9)]
    for user, example in zip(chosen, user_examples(finished), strict=True):
        assert example.id == user
        target = example.targets[0]
        place = [offer.id for offer in example.offers]
        assert (target.id in place) == (target.rank <= 10)
        if target.id in place:
            assert place.index(target.id) + 1 == target.rank
            assert example.offers[place.index(target.id)].held
        assert example.picture is not None
        assert len(example.latest) == min(example.events, 8)
        assert EVIL in example.picture.about
        drawn = example.picture
        assert all(0 <= pill.left <= pill.right <= drawn.width for pill in drawn.pills)
        assert all(0 < pill.y < drawn.height for pill in drawn.pills)
        assert all("bought_by" not in words for *_, words, _ in drawn.texts)
        assert not any("bought_by" in offer.path for offer in example.offers)
        assert any("←buys–" in offer.path for offer in example.offers)
        told = [offer.sentence for offer in example.offers if offer.sentence]
        assert all(text.startswith("You came across ") for text in told)
        assert any("; somebody else came across " in text for text in told)


def test_curves_end_where_the_training_did(finished: Run) -> None:
    first, second = stage_curves(finished, "ndcg@10")
    titles = [panel.title for panel in first.panels]
    assert titles == ["masked_item, loss", "segment_prediction, loss"]
    assert {line.name for line in first.panels[0].lines} == {"seed 3", "seed 4"}
    valid = second.panels[-1]
    assert valid.title == "ndcg@10, validation"
    controls = {"from-scratch control, seed 3", "from-scratch control, seed 4"}
    assert {line.name for line in valid.lines if line.dashed} == controls
    lines = (finished.folder / "metrics.jsonl").read_text().splitlines()
    told = [row for line in lines if "valid/ndcg@10" in (row := json.loads(line))]
    ours = next(line for line in valid.lines if line.name == "seed 3")
    assert ours.value == told[-1]["valid/ndcg@10"]


def test_long_curves_are_thinned_to_means(finished: Run, copied: Path) -> None:
    line = {"stage": "first", "epoch": 0, "loss/masked_item": 2.0}
    lines = [json.dumps({"step": n, "stage_step": n, **line}) for n in range(1, 10_001)]
    (copied / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    panel = stage_curves(open_run(undigested(copied)), "ndcg@10")[0].panels[0]
    drawn = next(each for each in panel.lines if each.name == "seed 3")
    assert len(drawn.points.split()) <= MOST
    assert drawn.value == 2.0


def test_parts_are_metrics_of_their_targets(finished: Run) -> None:
    found = {part.name: part for part in parts(finished, "mrr")}
    either = ("of the long tail", "outside the long tail"), ("1 to 4 events", "5 events or more")
    halves = [[p for name, p in found.items() if any(w in name for w in two)] for two in either]
    for pair in halves:  # each cuts the targets in two, one target per user
        assert sum(part.targets for part in pair) == len(finished.ranks["test"]) == 50
        mean = sum(part.value * part.targets for part in pair) / 50
        assert mean == pytest.approx(finished.metrics["test"]["mrr"])
    assert all(part.low <= part.value <= part.high for part in found.values())
    few = found["users with 1 to 4 events"]
    assert few.users < FEWEST
    assert few.bar is None


def test_the_whole_as_a_part_has_the_interval_of_the_run(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = finished.ranks["test"]
    monkeypatch.setattr(comparison, "slices", lambda *_: {"long_users": ranks})
    whole = comparison.parts(finished, "mrr")[0]
    assert [whole.low, whole.high] == pytest.approx(finished.metrics["intervals"]["mrr"])
    assert whole.value == finished.metrics["test"]["mrr"]


def test_the_strongest_stand_first(finished: Run) -> None:
    values = [system.values["ndcg@10"] for system in systems(finished, "ndcg@10")]
    assert values == sorted(values, reverse=True)
    for gap in gaps(finished):
        ours = finished.metrics["over_seeds"]["test"]["ndcg@10"]["mean"]
        assert gap.difference == pytest.approx(ours - gap.theirs)
        right = gap.bar.middle > gap.bar.zero
        assert right == (gap.difference > 0)


@pytest.mark.parametrize(
    ("gone", "without"),
    [
        (("metrics.jsonl", "seed-4/metrics.jsonl", "scratch", "seed-4/scratch"), "Learning curves"),
        (("ranks.parquet",), "Slices of the test set"),
        (("history",), "without edges"),
        (("model",), "Three users"),
    ],
)
def test_what_is_missing_is_left_out(
    copied: Path, text: str, gone: tuple[str, ...], without: str
) -> None:
    assert without in Page(text).words
    for name in gone:
        place = copied / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    words = Page(write_report(copied).read_text(encoding="utf-8")).words
    assert without not in words
    assert "Left out" not in words
    assert "Reproduce" in words


def test_a_part_that_cannot_be_made_says_why(copied: Path) -> None:
    (undigested(copied) / "model" / "config.json").write_text("{}")
    words = Page(write_report(copied).read_text(encoding="utf-8")).words
    assert "Left out (three users): " in words
    assert "Three users" not in words
    assert "Slices of the test set" in words


def test_interrupted_runs_and_other_ranks_have_no_page(copied: Path) -> None:
    (undigested(copied) / "report.html").unlink(missing_ok=True)
    table = pl.read_parquet(copied / "ranks.parquet").with_columns(rank=pl.lit(1.0))
    policy = pl.read_parquet_metadata(copied / "ranks.parquet")
    table.write_parquet(
        copied / "ranks.parquet", metadata={k: policy[k] for k in ("seen", "history")}
    )
    with pytest.raises(GraphRecError, match=r"the ranks that metrics\.json tells of, got others"):
        write_report(copied)
    (copied / "metrics.json").unlink()
    with pytest.raises(GraphRecError, match="a finished run, got one that was interrupted"):
        write_report(copied)
    assert not (copied / "report.html").exists()


def test_the_command_line_leaves_a_page(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "report.html").unlink(missing_ok=True)
    assert main(["run", str(copied / "recipe.yaml"), "--out", str(copied), "--resume"]) == 0
    assert "report.html" in capsys.readouterr().out
    assert "Three users" in Page((copied / "report.html").read_text(encoding="utf-8")).words


@pytest.mark.parametrize("ends", [(0.0, 0.0), (-3.0, 7.0), (0.12, 0.1201), (0.0, 12345.0)])
def test_ticks_are_round_and_inside(ends: tuple[float, float]) -> None:
    axis = Axis.around(ends, 0, 100, margin=0.05)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 6
    for place, label in ticks:
        assert 0 <= place <= 100
        assert axis.at(float(label.replace(",", ""))) == pytest.approx(place, abs=0.2)
    assert len({label for _, label in ticks}) == len(ticks)
