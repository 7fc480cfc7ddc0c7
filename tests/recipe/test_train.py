"""Stages that share a budget of steps."""

from pathlib import Path
from typing import Any

import pytest

from graphrec_pt import GraphRecError, run_recipe
from graphrec_pt.recipe.data import graph_of, split_of
from graphrec_pt.recipe.train import stages_of
from graphrec_pt.training.tracking import read_metrics


def test_the_last_stage_takes_what_is_left(raw: Path, small: Any) -> None:
    def steps(*options: str) -> list[int | None]:
        recipe = small("flagship", "stages.0.steps=4", *options)
        train = split_of(recipe.data, graph_of(recipe.data, raw)).train
        return [stage.steps for stage in stages_of(recipe, train, 0)]

    assert steps("budget=7") == [4, 3]
    assert steps("budget=7", "stages.0.most_epochs=0.5") == [4, 6]  # half a pass is a step
    assert steps("budget=7", "stages.1.steps=5") == [4, 5]
    assert steps("budget=null") == [4, None]
    with pytest.raises(GraphRecError, match=r"steps left of 4 for 'histories', got 4 steps"):
        steps("budget=4")


def test_a_run_and_its_twin_spend_the_budget(raw: Path, tmp_path: Path, small: Any) -> None:
    recipe = small("flagship", "stages.0.steps=2", "budget=5", "evaluate.baselines=[popularity]")
    done = run_recipe(recipe, tmp_path / "run", raw=raw)
    spent = []
    for folder in (done.folder, done.folder / "scratch"):
        rows = [row for row in read_metrics(folder) if "stage_step" in row]
        spent.append({row["stage"]: row["stage_step"] for row in rows})
    assert spent == [{"walks": 2, "histories": 3}, {"histories": 5}]
