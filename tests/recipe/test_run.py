"""Runs: what stands in the folder, that it is true, and that it comes out the same again."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from graphrec_pt import GraphRecError, save_graph
from graphrec_pt.cli.tables import run_notes
from graphrec_pt.data.card import load_card
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.ranks import read_ranks
from graphrec_pt.recipe.data import check_fits, graph_of, split_of
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import Run, measured_again, open_run
from graphrec_pt.recipe.measure import compare_runs
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.serve.report.write import write_report
from graphrec_pt.training.tracking import read_metrics


@pytest.fixture(scope="module")
def two_seeds(raw: Path, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = small("sasrec", "stages.0.epochs=3", "seeds=[0, 1]")
    return run_recipe(recipe, tmp_path_factory.mktemp("runs") / "run", raw=raw)


def test_the_folder_tells_everything(two_seeds: Run) -> None:
    found = {path.name for path in two_seeds.folder.iterdir()}
    expected = "recipe.yaml data.json metrics.json metrics.jsonl ranks.parquet model history"
    assert found == {*expected.split(), "checkpoint", "seed-1"}
    metrics = two_seeds.metrics
    assert metrics["data"]["users"] == 60
    assert metrics["data"]["train"] + 2 * 60 == metrics["data"]["interactions"]
    assert metrics["history"] == {"valid": "train", "test": "train + valid"}
    assert metrics["scratch"] is None  # nothing was pre-trained
    assert set(metrics["baselines"]) == set(metrics["compared"]) == {"popularity", "markov"}
    low, high = metrics["intervals"]["ndcg@10"]
    assert low <= metrics["test"]["ndcg@10"] <= high
    assert len([row for row in read_metrics(two_seeds.folder) if "valid/ndcg@10" in row]) == 3


def test_metrics_come_out_of_the_ranks_alone(two_seeds: Run) -> None:
    """By hand from the Parquet file: one target per user in a leave-one-out split."""
    table = pl.read_parquet(two_seeds.folder / "ranks.parquet").filter(split="test")
    hit = table["rank"] <= 10
    gain = (hit / (table["rank"] + 1).log(2)).mean()
    assert two_seeds.metrics["test"]["ndcg@10"] == pytest.approx(gain)
    assert two_seeds.metrics["test"]["hr@10"] == pytest.approx(hit.mean())
    for when in ("valid", "test"):
        again = evaluate(two_seeds.ranks[when], two_seeds.recipe.evaluate.metrics)
        assert again == two_seeds.metrics[when]


def test_targets_are_those_of_the_raw_files(two_seeds: Run, raw: Path) -> None:
    last = {}
    for line in (raw / "Beauty.txt").read_text().splitlines():
        user, *items = line.split()
        last[user] = items[-1]
    table = pl.read_parquet(two_seeds.folder / "ranks.parquet").filter(split="test")
    assert dict(table.select("user", "item").iter_rows()) == last


def test_seeds_are_averaged(two_seeds: Run) -> None:
    rows = [row["test"]["ndcg@10"] for row in two_seeds.metrics["by_seed"]]
    assert rows[0] == two_seeds.metrics["test"]["ndcg@10"]
    assert rows[0] != rows[1]
    told = two_seeds.metrics["over_seeds"]["test"]["ndcg@10"]
    assert told["mean"] == pytest.approx(sum(rows) / 2)
    assert told["sd"] == pytest.approx(abs(rows[0] - rows[1]) / 2**0.5)


def test_differences_are_those_of_all_seeds(two_seeds: Run) -> None:
    metrics = two_seeds.metrics
    ours = metrics["over_seeds"]["test"]["ndcg@10"]["mean"]
    for name, found in metrics["compared"].items():
        theirs = metrics["baselines"][name]["ndcg@10"]
        assert found["difference"] == pytest.approx(ours - theirs)
    second = read_ranks(two_seeds.folder / "seed-1" / "ranks.parquet")["test"]
    assert two_seeds.tests[1].table.equals(second.table)
    first, again = compare_runs([two_seeds, two_seeds], ["ndcg@10"])
    assert first.values["ndcg@10"] == pytest.approx(ours)
    assert again.differences["ndcg@10"].p_t == 1


def test_the_saved_model_gives_the_saved_ranks(two_seeds: Run, raw: Path) -> None:
    made = split_of(two_seeds.recipe.data, graph_of(two_seeds.recipe.data, raw))
    wanted, last = two_seeds.recipe.evaluate, two_seeds.recipe.stages[-1]
    system = wanted.asked.trained(two_seeds.model(), last, made, "test")
    ranks = wanted.asked.judge(system, made, "test", wanted.policy)
    assert ranks.table.equals(two_seeds.ranks["test"].table)


def test_what_recommends_never_saw_the_test(two_seeds: Run, raw: Path) -> None:
    made = split_of(two_seeds.recipe.data, graph_of(two_seeds.recipe.data, raw))
    shown = two_seeds.history.edges(two_seeds.relation)
    pairs = set(zip(shown.source.tolist(), shown.target.tolist(), strict=True))
    for source, target in zip(made.test.source.tolist(), made.test.target.tolist(), strict=True):
        assert (source, target) not in pairs


def test_the_same_numbers_from_its_folder(two_seeds: Run, raw: Path, tmp_path: Path) -> None:
    again = run_recipe(load_recipe(two_seeds.folder / "recipe.yaml"), tmp_path / "r", raw=raw)
    timed = ("seconds", "peak_memory_mb", "digest", "files")  # the log in them tells times
    told = [{n: v for n, v in run.metrics.items() if n not in timed} for run in (two_seeds, again)]
    assert told[0] == told[1]
    for name in ("ranks.parquet", "seed-1/ranks.parquet"):
        assert two_seeds.metrics["files"][name] == again.metrics["files"][name]


def test_an_interrupted_run_goes_on(two_seeds: Run, raw: Path, tmp_path: Path) -> None:
    """The folder as a kill in the second seed leaves it."""
    folder = tmp_path / "killed"
    shutil.copytree(two_seeds.folder, folder)
    (folder / "metrics.json").unlink()
    shutil.rmtree(folder / "history")
    shutil.rmtree(folder / "seed-1" / "checkpoint" / "step-00000003")
    with pytest.raises(GraphRecError, match="a finished run, got one that was interrupted"):
        open_run(folder)
    with pytest.raises(GraphRecError, match="one that holds a run; try --resume"):
        run_recipe(two_seeds.recipe, folder, raw=raw)
    done = run_recipe(two_seeds.recipe, folder, raw=raw, resume=True)
    assert done.metrics["by_seed"] == two_seeds.metrics["by_seed"]
    assert run_recipe(two_seeds.recipe, folder, resume=True).metrics == done.metrics


def test_another_recipe_does_not_go_on(two_seeds: Run, raw: Path) -> None:
    other = load_recipe(two_seeds.folder / "recipe.yaml", ["stages.0.batch=7"])
    with pytest.raises(GraphRecError, match=r"stages\[0\].batch: expected 128"):
        run_recipe(other, two_seeds.folder, raw=raw, resume=True)


def test_folders_that_are_no_runs(two_seeds: Run, tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="the folder of a run"):
        open_run(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(GraphRecError, match="a new folder, got other files"):
        run_recipe(two_seeds.recipe, tmp_path)
    copy = tmp_path / "newer"
    shutil.copytree(two_seeds.folder, copy)
    metrics = json.loads((copy / "metrics.json").read_text())
    (copy / "metrics.json").write_text(json.dumps({**metrics, "format": 99}))
    with pytest.raises(GraphRecError, match="run format 1, got 99"):
        open_run(copy)


def test_types_are_checked_before_anything_trains(raw: Path, tmp_path: Path, small: Any) -> None:
    wrong = small(
        "sasrec",
        "stages.0.objectives.0.types=[itm]",
        "stages.0.roots=buyers",
        "model.features.by_type={product: [id]}",
    )
    with pytest.raises(GraphRecError) as error:
        run_recipe(wrong, tmp_path / "run", raw=raw)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert "did you mean 'item'" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_split_without_targets_is_told(raw: Path, small: Any) -> None:
    recipe = small("sasrec", "data.split={name: ratio, valid: 0.0, test: 0.0}")
    assert load_card(str(recipe.data.card)).name == "amazon-beauty"
    made = split_of(recipe.data, graph_of(recipe.data, raw))
    with pytest.raises(GraphRecError, match="targets at validation, got none"):
        check_fits(recipe, made)


def test_a_saved_graph_in_place_of_a_card(
    two_seeds: Run, raw: Path, tmp_path: Path, small: Any
) -> None:
    save_graph(graph_of(two_seeds.recipe.data, raw), tmp_path / "graph")
    data = f"data={{graph: {tmp_path / 'graph'}}}"
    done = run_recipe(small("sasrec", data, "stages.0.steps=1"), tmp_path / "run")
    same = ("fingerprint", "users", "train", "valid", "test", "permutation_seed")
    for name in same:
        assert done.metrics["data"][name] == two_seeds.metrics["data"][name]


def test_a_cut_off_beyond_the_catalogue_is_told(raw: Path, small: Any) -> None:
    recipe = small("sasrec", "evaluate.metrics=[ndcg@10, hr@41]")
    made = split_of(recipe.data, graph_of(recipe.data, raw))
    with pytest.raises(
        GraphRecError, match=r"cut-offs within the catalogue of 40 items .* got hr@41;"
    ):
        check_fits(recipe, made)


def test_repeats_are_ranked_both_ways(tmp_path: Path, small: Any) -> None:
    lines = ["1 1 2 3 1 2", "2 2 3 4 5 1", "3 5 4 4 2 2", "4 1 3 5 2 4"]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "Beauty.txt").write_text("\n".join(lines) + "\n")
    recipe = small(
        "sasrec", "stages.0.steps=2", "evaluate.metrics=[hr@1, mrr]", "options.watch=mrr"
    )
    run = run_recipe(recipe, tmp_path / "run", raw=tmp_path / "raw")
    assert run.metrics["seen"] == "mask"
    assert set(run.metrics["other_policy"]) == {"keep"}
    assert set(run.metrics["other_policy"]["keep"]["baselines"]) == {"popularity", "markov"}
    assert torch.isinf(torch.tensor(run.ranks["test"].rank)).any()


def test_derived_relations_count_training_edges_alone(raw: Path, small: Any) -> None:
    """Of every view its own: pairs that only held-out events make are absent from training."""
    recipe = small("sasrec", "data.derive=[{name: co_interaction, least: 1, top: 1000}]")
    made = split_of(recipe.data, graph_of(recipe.data, raw))
    counts = []
    for view in (made.train, made.history("test")):
        buys = view.edges("buys")
        baskets: dict[int, set[int]] = {}
        for user, item in zip(buys.source.tolist(), buys.target.tolist(), strict=True):
            baskets.setdefault(user, set()).add(item)
        pairs = {(i, j) for items in baskets.values() for i in items for j in items if i != j}
        found = view.edges("co_interacts")
        assert set(zip(found.source.tolist(), found.target.tolist(), strict=True)) == pairs
        counts.append(len(pairs))
    assert counts[0] < counts[1]
    with pytest.raises(GraphRecError, match="did you mean 'co_interaction'"):
        small("sasrec", "data.derive=[co_interactions]")


def test_numbers_on_the_history_graph_stand_apart(raw: Path, tmp_path: Path, small: Any) -> None:
    short = "stages.0.steps=9", "stages.0.most_epochs=0.5", "stages.1.steps=3"
    done = run_recipe(small("flagship", *short), tmp_path / "run", raw=raw)
    test, knowing = done.metrics["test"], done.metrics["history_graph"]
    assert test.keys() == knowing.keys()
    assert test != knowing
    assert set(done.metrics["over_seeds"]) == {"valid", "test", "scratch", "history_graph"}
    assert (done.folder / "history-graph-ranks.parquet").exists()
    assert measured_again(done).metrics["test"] == test
    assert "on the history graph" in "\n".join(run_notes(done))
    page = write_report(done).read_text()
    assert "With the history graph, which holds the validation edges too" in page
    twin = [row for row in read_metrics(done.folder / "scratch") if "stage_step" in row]
    assert {row["stage"] for row in twin} == {"histories"}
    assert twin[-1]["stage_step"] == 4  # of equal budget: the one of half a pass of walks too
