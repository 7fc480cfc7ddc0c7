"""Which recipes fit which cards, against what a run on the real data says."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graphrec_pt import GraphRecError
from graphrec_pt.cli import app
from graphrec_pt.data.card import load_card
from graphrec_pt.data.sketch import sketch
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.data import graph_of
from graphrec_pt.recipe.dry_run import dry_run
from graphrec_pt.recipe.files import load_recipe, recipe_files, recipe_source
from graphrec_pt.recipe.fits import misfits, sketch_of
from graphrec_pt.recipe.run import prepare
from graphrec_pt.recipe.train import new_model

PLAIN = """
name: plain
tables: {events: {file: events.csv}}
nodes: {reader: {}, book: {}}
edges:
  reads:
    {table: events, source: reader.r, target: book.b, time: t, interaction: true, inverse: false}
"""
"""Events with times and nothing else."""


@pytest.fixture(scope="module")
def shop() -> Graph:
    return sketch_of("tables")


@pytest.mark.parametrize("recipe", ["sasrec", "s3rec", "lightgcn", "pmgt", "unisrec"])
def test_a_recipe_fits_every_card_that_has_its_roles(recipe: str, shop: Graph) -> None:
    assert misfits(recipe, "tables", graph=shop) == ()


def test_a_misfit_names_what_the_data_lacks(shop: Graph, tmp_path: Path) -> None:
    (error,) = misfits("g_bert", "tables", graph=shop)
    assert "expected a relation, got 'visits'" in str(error)
    plain = tmp_path / "plain.yaml"
    plain.write_text(PLAIN)
    (lacks,) = misfits("s3rec", plain)
    assert "$attribute" in str(lacks)
    assert misfits("sasrec", plain, ["stages.0.sampler=histori"])


def test_a_sketch_has_the_names_of_its_card() -> None:
    card = load_card("movielens-100k")
    graph = sketch(card)
    assert set(card.edges) <= set(graph.schema.relation_names)
    assert graph.tables["item"].columns == ["id", "title", "year"]
    assert graph.schema.relation("rates").weighted
    assert graph.fingerprint == sketch(card).fingerprint


def test_the_command_line_lists_what_fits(tmp_path: Path) -> None:
    runner = CliRunner(env={"COLUMNS": "80"})
    plain = tmp_path / "plain.yaml"
    plain.write_text(PLAIN)
    listed = runner.invoke(app, ["recipe", "ls", "--data", str(plain), "--json"])
    assert listed.exit_code == 0, listed.output
    rows = {row["name"]: row for row in json.loads(listed.output)}
    assert rows["sasrec"]["fits"]
    assert not rows["s3rec"]["fits"]
    assert "$attribute" in rows["s3rec"]["reasons"][0]
    valid = runner.invoke(app, ["recipe", "validate", "sasrec", "--data", str(plain)])
    assert valid.output == "sasrec: valid\n"


def test_a_dry_run_prints_sizes_and_trains_nothing(tmp_path: Path) -> None:
    runner = CliRunner()
    split = "data.split={name: global_time, valid: 0.2, test: 0.2}"
    measure = ["evaluate.metrics=[ndcg@2]", "options.watch=ndcg@2"]
    changes = ["data.card=toy-shop", split, *measure, "stages.0.epochs=3", "stages.0.batch=2"]
    out = tmp_path / "run"
    dry = runner.invoke(app, ["run", "sasrec", *changes, "--out", str(out), "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "Nothing was trained" in dry.output
    assert not out.exists()
    recipe = load_recipe("sasrec", changes)
    plan = dry_run(recipe, graph=graph_of(recipe.data))
    assert f"at most {plan.stages[0].steps} optimiser steps" in dry.output
    ready = prepare(recipe)
    model = new_model(recipe, ready.split, 0)
    assert plan.parameters == sum(weight.numel() for weight in model.parameters())
    assert plan.memory == 16 * plan.parameters
    assert (plan.valid, plan.test) == (len(ready.split.valid), len(ready.split.test))


def test_the_quick_setting_is_shorter_and_says_so(tmp_path: Path) -> None:
    full, quick = load_recipe("sasrec"), load_recipe("sasrec", quick=True)
    assert (full.setting, quick.setting) == ("full", "quick")
    assert quick.stages[0].epochs < full.stages[0].epochs
    assert load_recipe("sasrec", ["stages.0.epochs=2"], quick=True).stages[0].epochs == 2
    path = tmp_path / "mine.yaml"
    path.write_text(recipe_source("sasrec").split("quick:")[0])
    with pytest.raises(GraphRecError, match="expected a quick setting"):
        load_recipe(path, quick=True)


@pytest.mark.parametrize("name", [file.name.removesuffix(".yaml") for file in recipe_files()])
def test_every_recipe_has_a_quick_setting(name: str) -> None:
    full, quick = load_recipe(name), load_recipe(name, quick=True)
    assert quick.resolved() != full.resolved()
    assert [stage.name for stage in quick.stages] == [stage.name for stage in full.stages]
