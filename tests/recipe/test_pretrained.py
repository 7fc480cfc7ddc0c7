"""Runs that start from a model: of another data set, without its stages of pre-training."""

from pathlib import Path
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.store import open_graph
from graphrec_pt.models.model import Model
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.training.tracking import read_metrics

STEPS = ("stages.0.steps=5", "stages.1.steps=5", "stages.0.batch=16", "stages.1.batch=16")


def words(column: str) -> str:
    return f"model.features.by_type.item=[{{name: static_text, columns: [{column}]}}]"


@pytest.fixture(scope="module")
def source(raw: Path, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = small("unisrec", words("keywords"), *STEPS)
    return run_recipe(recipe, tmp_path_factory.mktemp("runs") / "source", raw=raw)


def test_a_model_goes_to_another_shop(source: Run, raw: Path, tmp_path: Path, small: Any) -> None:
    start = f"start={source.folder / 'model'}"
    recipe = small("unisrec", words("title"), *STEPS, start, "data.card=online-retail")
    done = run_recipe(recipe, tmp_path / "run", raw=raw)
    before, after = (Model.from_pretrained(run.folder / "model") for run in (source, done))
    assert after.spec.node_names != before.spec.node_names
    weights = after.state_dict()
    kept = [name for name in weights if name.startswith("backbone.")]
    assert kept
    for name in kept:  # frozen in the only stage there was, so it is that of the first shop
        assert torch.equal(weights[name], before.state_dict()[name]), name
    words_of = "features.of_type.of_item.parts.0.table.weight"
    moved = (weights[words_of] != before.state_dict()[words_of]).any(1)
    assert 0 < int(moved.sum()) < len(moved)  # words that no product has are as they came
    told = [row for row in read_metrics(done.folder) if "stage" in row]
    assert {row["stage"] for row in told} == {"finetune"}
    assert done.metrics["scratch"] is not None
    again = load_recipe(done.folder / "recipe.yaml")
    assert again.start == str(source.folder / "model")


def test_codes_mean_the_same_in_another_shop(raw: Path, tmp_path: Path, small: Any) -> None:
    def coded(column: str) -> str:
        of = f"of: {{name: static_text, columns: [{column}]}}"
        return f"model.features.by_type.item=[{{name: codes, digits: 4, values: 8, {of}}}]"

    source = run_recipe(small("vq_rec", coded("keywords"), *STEPS), tmp_path / "source", raw=raw)
    start = f"start={source.folder / 'pretrained'}"
    recipe = small("vq_rec", coded("title"), *STEPS, start, "data.card=online-retail")
    done = run_recipe(recipe, tmp_path / "run", raw=raw)
    before, after = (Model.from_pretrained(run.folder / "model") for run in (source, done))
    both = {}
    for model, words in ((before, "keywords"), (after, "title")):
        codes = model.features.get_submodule("of_type.of_item.parts.0").get_buffer("codes")
        graph = open_graph((source if model is before else done).folder / "history")
        told = graph.tables["item"][words]
        both[words] = dict(zip(told, codes.tolist(), strict=True))
    common = both["keywords"].keys() & both["title"].keys()
    assert len(common) > 3
    assert all(both["keywords"][told] == both["title"][told] for told in common)


def test_what_does_not_fit_is_told(source: Run, raw: Path, tmp_path: Path, small: Any) -> None:
    start = f"start={source.folder / 'model'}"
    wide = small("unisrec", words("keywords"), start, "model.backbone.width=32")
    with pytest.raises(GraphRecError, match="a backbone with width: 32, got 16"):
        run_recipe(wide, tmp_path / "run", raw=raw)
    nowhere = small("unisrec", words("keywords"), f"start={tmp_path / 'nothing'}")
    with pytest.raises(GraphRecError, match="nothing"):
        run_recipe(nowhere, tmp_path / "run", raw=raw)
    assert not (tmp_path / "run").exists()
