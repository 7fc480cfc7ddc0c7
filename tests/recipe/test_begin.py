"""Beginnings: one process in a folder, data that changed, and starts that failed."""

import os
import re
import shutil
from pathlib import Path

import pytest

from graphrec_pt import GraphRecError, Model, save_graph
from graphrec_pt.cli import main
from graphrec_pt.core.scratch import LOCK, locked
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.recipe.begin import nothing_trained, will_train
from graphrec_pt.recipe.data import graph_of
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import METRICS, Run
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.training.trainer import Trainer
from tests.faults import write_raw


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files and a recipe of our own."""
    folder = tmp_path_factory.mktemp("own") / "raw"
    write_raw(folder)
    return folder


ONE_STAGE = ["seeds=[0]", "stages.1.epochs=1", "evaluate.scratch=false"]


@pytest.fixture(scope="module")
def finished(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = load_recipe(own / "recipe.yaml", ONE_STAGE)
    return run_recipe(recipe, tmp_path_factory.mktemp("finished") / "run", raw=own)


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def test_a_finished_run_is_not_told_for_new_data(
    finished: Run, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = copied(own, tmp_path / "raw")  # the same content, other times
    out = copied(finished.folder, tmp_path / "run")
    assert not will_train(finished.recipe, out, raw=raw, resume=True)
    assert run_recipe(finished.recipe, out, raw=raw, resume=True).metrics == finished.metrics
    with (raw / "Beauty.txt").open("a") as file:
        file.write("25 1 2 3 4 5\n")
    command = ["run", str(out / "recipe.yaml"), "--out", str(out), "--raw", str(raw), "--resume"]
    assert main(command) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err == (
        f"{out}: expected the data that the run began with, got Beauty.txt has changed since; "
        "try another --out for the data of today, "
        f"with start={out / 'model'} to begin with this model\n"
    )


def test_an_interrupted_run_does_not_go_on_with_new_data(
    finished: Run, own: Path, tmp_path: Path
) -> None:
    raw, out = copied(own, tmp_path / "raw"), copied(finished.folder, tmp_path / "run")
    (out / METRICS).unlink()
    (raw / "Beauty_item2attributes.json").unlink()
    with pytest.raises(GraphRecError, match=r"got Beauty_item2attributes.json is gone; try anot"):
        run_recipe(finished.recipe, out, raw=raw, resume=True)
    with (raw / "Beauty.txt").open("a") as file:
        file.write("25 1 2 3 4 5\n")
    graph = graph_of(finished.recipe.data, raw)
    with pytest.raises(GraphRecError, match=r"got another graph \(\w{8} before, \w{8} now\)"):
        run_recipe(finished.recipe, out, graph=graph, raw=tmp_path / "moved", resume=True)


def test_a_graph_that_was_built_anew_is_noticed(own: Path, tmp_path: Path) -> None:
    card = load_card("amazon-beauty")
    save_graph(build_card(card, own), tmp_path / "graph")
    recipe = load_recipe(own / "recipe.yaml", ONE_STAGE)
    content = recipe.resolved() | {"data": {"graph": str(tmp_path / "graph")}}
    recipe = type(recipe).checked(content, "recipe")
    out = tmp_path / "run"
    run_recipe(recipe, out)
    assert not will_train(recipe, out, resume=True)
    shutil.rmtree(tmp_path / "graph")
    save_graph(build_card(card, own, seed=1), tmp_path / "graph")
    with pytest.raises(GraphRecError, match="the data that the run began with, got another graph"):
        will_train(recipe, out, resume=True)


def test_a_failed_start_leaves_nothing(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["run", str(own / "recipe.yaml"), "--raw", str(own), "--out", str(out), *ONE_STAGE]
    assert main([*command, "budget=3"]) == 2  # known when the steps are counted
    assert "expected steps left of 3" in capsys.readouterr().err
    assert not out.exists()
    assert main(command) == 0


def test_a_kill_before_anything_was_trained_blocks_nothing(finished: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for name in ("data.json", "recipe.yaml", "metrics.jsonl"):
        shutil.copy(finished.folder / name, out / name)
    (out / "checkpoint").mkdir()
    (out / LOCK).write_text("99999")
    assert nothing_trained(out)
    other = finished.recipe.model_copy(update={"name": "corrected"})
    for resume in (False, True):
        assert will_train(other, out, resume=resume)
    (out / "data.json").unlink()  # a recipe of the user's, not of a run
    assert not nothing_trained(out)
    with pytest.raises(GraphRecError, match="one that holds a run"):
        will_train(other, out)


def test_two_runs_do_not_share_a_folder(own: Path, tmp_path: Path) -> None:
    recipe, out = load_recipe(own / "recipe.yaml", ONE_STAGE), tmp_path / "run"
    message = f"expected a folder that no other process writes to, got process {os.getpid()}"
    with locked(out / LOCK, out), pytest.raises(GraphRecError, match=re.escape(message)):
        run_recipe(recipe, out, raw=own)
    graph, place = graph_of(recipe.data, own), tmp_path / "trainer" / "checkpoint"
    model = Model.of(graph, backbone={"name": "graph_transformer", "width": 8, "layers": 1})
    trainer, stage = Trainer(place.parent, cpu=True), recipe.stages[0]
    with (
        locked(place / LOCK, place.parent),
        pytest.raises(GraphRecError, match="no other process"),
    ):
        trainer.fit(model, graph, stage)
    graphs = tmp_path / "graphs"
    with (
        locked(graphs / f".beauty{LOCK}", graphs / "beauty"),
        pytest.raises(GraphRecError, match=f"{graphs / 'beauty'}: expected a folder that no other"),
    ):
        build_card(load_card("amazon-beauty"), own, out=graphs / "beauty")
