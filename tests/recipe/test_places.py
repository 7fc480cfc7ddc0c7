"""Sizes of structural columns, checked before a run trains."""

from pathlib import Path

import pytest

from graphrec_pt import GraphRecError
from graphrec_pt.recipe.dry_run import dry_run
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.run import run_recipe

SMALL = ("data.card=toy-shop", "options.cpu=true", "model.backbone.width=16")
SPLIT = "data.split={name: global_time, valid: 0.2, test: 0.2}"
MEASURE = ("evaluate.metrics=[ndcg@2]", "options.watch=ndcg@2", "evaluate.baselines=[popularity]")


def test_all_sizes_that_are_too_small_are_named_before_training(tmp_path: Path) -> None:
    sizes = "model.backbone.structure={position: 1, slot: 1, type: null}"
    recipe = load_recipe("sasrec", [*SMALL, SPLIT, *MEASURE, sizes, "stages.0.steps=2"])
    with pytest.raises(GraphRecError) as caught:
        run_recipe(recipe, tmp_path / "run")
    message = str(caught.value)
    assert "model.backbone.structure.position: expected at least" in message
    assert "for the tokens of train, got 1; try model.backbone.structure.position=" in message
    assert not (tmp_path / "run").exists()  # the corrected command begins there
    with pytest.raises(GraphRecError, match=r"structure\.position"):
        dry_run(recipe)


def test_the_size_that_is_named_suffices(tmp_path: Path) -> None:
    changes = [*SMALL, SPLIT, *MEASURE, "stages.0.steps=1"]
    with pytest.raises(GraphRecError) as caught:
        dry_run(load_recipe("sasrec", [*changes, "model.backbone.structure={position: 1}"]))
    hint = str(caught.value).partition("; try ")[2]
    assert dry_run(load_recipe("sasrec", [*changes, hint])).parameters
