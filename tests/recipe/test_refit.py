"""A refit trains on every edge for the chosen steps; what was measured stays."""

import json
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
import torch

from graphrec_pt import GraphRecError, from_pretrained, open_run
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.refit import best_step, refit_run, serving_of
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.training.tracking import read_metrics
from tests.serve.shop import SMALL, write_shop


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    folder = write_shop(tmp_path_factory.mktemp("shop"))
    return build_card(load_card(folder / "corner.yaml"), folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = write_shop(tmp_path_factory.mktemp("shop"))
    changes = [f"data.card={folder / 'corner.yaml'}", *SMALL]
    out = tmp_path_factory.mktemp("runs") / "corner"
    done = run_recipe(load_recipe("sasrec", changes), out, raw=folder)
    refit_run(done)
    return done


def test_every_edge_is_used(run: Run, whole: Graph) -> None:
    served = serving_of(run)
    assert served.refitted
    assert served.predictor.graph.num_edges("buys") == whole.num_edges("buys")
    assert run.history.num_edges("buys") < whole.num_edges("buys")
    assert served.edges == f"all {whole.num_edges('buys')} edges of buys, none held out"


def test_the_newest_event_of_everybody_is_read(run: Run, whole: Graph) -> None:
    before, after = from_pretrained(run, measured=True), from_pretrained(run)
    for user in ("u1", "u7"):
        old, new = (each.recommend([user], k=3)[0].history for each in (before, after))
        assert len(new) > len(old)
        newest = whole.neighbors(whole.node_id("user", user), "buys")[-1]
        assert new[-1] == whole.raw_id(int(newest))


def test_the_steps_are_those_that_validation_chose(run: Run) -> None:
    rows = [row for row in read_metrics(run.folder) if "valid/ndcg@10" in row]
    best = max(rows, key=lambda row: (row["valid/ndcg@10"], -row["stage_step"]))
    assert best_step(run) == best["stage_step"]
    final = read_metrics(run.folder / "final")
    assert final[-1]["stage_step"] == best["stage_step"]
    assert not any(name.startswith("valid/") for row in final for name in row)
    record = json.loads((run.folder / "final" / "refit.json").read_text())
    assert (record["steps"], record["chosen_by"]) == (best_step(run), "validation")


def test_what_was_measured_stays(run: Run) -> None:
    again = open_run(run.folder)
    assert again.metrics == run.metrics
    assert not serving_of(again, measured=True).refitted


def test_without_a_step_the_measured_weights_read_all_edges(
    run: Run, whole: Graph, tmp_path: Path
) -> None:
    copied = open_run(copytree(run.folder, tmp_path / "run"))
    refit_run(copied, graph=whole, steps=0)
    served = serving_of(copied)
    assert served.predictor.graph.num_edges("buys") == whole.num_edges("buys")
    weights, measured = served.predictor.model.state_dict(), run.model().state_dict()
    assert all(torch.equal(weights[name], measured[name]) for name in measured)


def test_other_data_are_refused(run: Run, tmp_path: Path) -> None:
    folder = write_shop(tmp_path)
    lines = (folder / "sales.csv").read_text().splitlines()
    (folder / "sales.csv").write_text("\n".join(lines[:-3]) + "\n")
    other = build_card(load_card(folder / "corner.yaml"), folder)
    with pytest.raises(GraphRecError, match=r"expected the data of the run.*start="):
        refit_run(run, graph=other)


def test_a_run_without_a_refit_says_what_is_held_out(run: Run, tmp_path: Path) -> None:
    copied = copytree(run.folder, tmp_path / "run", ignore=ignore_patterns("final"))
    edges = serving_of(open_run(copied)).edges
    assert "test edges are held out" in edges
    assert "graphrec refit" in edges
