"""Another strategy on a finished run repeats neither its pre-training nor its control."""

import logging
from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.recipe.data import graph_of
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.recipe.with_strategy import with_strategy
from graphrec_pt.training.tracking import read_metrics

STEPS = tuple(f"stages.{n}.{option}" for n in (0, 1) for option in ("steps=2", "batch=16"))


@pytest.fixture(scope="module")
def source(raw: Path, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_recipe(small("s3rec", *STEPS), tmp_path_factory.mktemp("runs") / "source", raw=raw)


def swapped(
    source: Run, raw: Path, out: Path, caplog: pytest.LogCaptureFixture, *changes: str
) -> tuple[Run, str]:
    recipe = source.recipe
    if changes:
        stage = recipe.stages[-1].model_copy(update={"steps": 3})
        recipe = recipe.model_copy(update={"stages": (*recipe.stages[:-1], stage)})
    recipe = with_strategy(recipe, "finetune_part", graph_of(recipe.data, raw))
    with caplog.at_level(logging.INFO, "graphrec_pt"):
        done = run_recipe(recipe, out, raw=raw, pretrained=source.folder)
    return done, caplog.text


def test_the_same_control_is_taken_over(
    source: Run, raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done, told = swapped(source, raw, tmp_path / "run", caplog)
    assert "reused: the control from scratch of" in told
    assert f"reused: pretrain of {source.folder}; trained: finetune" in told
    assert done.metrics["scratch"] == source.metrics["scratch"]
    assert {row["stage"] for row in read_metrics(done.folder)} == {"finetune"}
    before, after = (read_metrics(run.folder / "scratch") for run in (source, done))
    assert before == after  # no step was taken, and none was measured anew


def test_another_control_is_trained(
    source: Run, raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done, told = swapped(source, raw, tmp_path / "run", caplog, "more steps")
    assert "the control from scratch is trained again" in told
    assert len(read_metrics(done.folder / "scratch")) != 0
    assert read_metrics(done.folder / "scratch")[-1]["stage_step"] == 3
