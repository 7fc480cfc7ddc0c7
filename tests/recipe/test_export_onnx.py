"""The exported file gives the scores of the model, for any number and length of histories."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from graphrec_pt import GraphRecError, from_pretrained
from graphrec_pt.cli import main
from graphrec_pt.recipe.folder import Run, predictor_of
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.serve.onnx import export_onnx, padded_histories

ort = pytest.importorskip("onnxruntime")
WINDOW = 5


@pytest.fixture(scope="module")
def run(raw: Path, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    short = (f"stages.0.sampler.window={WINDOW}", "stages.0.steps=3", "model.backbone.layers=2")
    recipe = small("sasrec", *short, "evaluate.scratch=false", "seeds=[3]")
    return run_recipe(recipe, tmp_path_factory.mktemp("runs") / "run", raw=raw)


def scores(model: Path, histories: list[list[int]]) -> Any:
    session = ort.InferenceSession(model)
    lengths = np.array([len(each) for each in histories])
    items = np.zeros((len(histories), lengths.max()), np.int64)
    for row, each in zip(items, histories, strict=True):
        row[: len(each)] = each
    return session.run(["scores"], {"items": items, "lengths": lengths})[0]


def test_the_scores_of_the_model(run: Run, tmp_path: Path) -> None:
    model, items, about = export_onnx(run, tmp_path / "onnx")
    ids = pl.read_parquet(items)["id"].to_list()
    key = {raw: n for n, raw in enumerate(ids)}
    recommender = from_pretrained(run)
    for size in (1, 2, 7):
        given = recommender.recommend(run_users(run)[:size], k=4)
        windows = [[key[item] for item in each.history[-WINDOW:]] for each in given]
        found = scores(model, windows)
        assert found.shape == (size, len(ids))
        for row, each in zip(found, given, strict=True):
            told = [row[key[item.id]] for item in each.items]
            assert told == pytest.approx([item.score for item in each.items], abs=1e-4)
            open_ = np.delete(row, [key[item] for item in each.history])
            assert max(told) == pytest.approx(open_.max(), abs=1e-4)
    assert json.loads(about.read_text())["window"] == WINDOW
    one, other = scores(model, [[3], [1, 2, 3, 4, 5]]), scores(model, [[3]])
    assert one[0] == pytest.approx(other[0], abs=1e-5)  # whatever stands behind the end


def run_users(run: Run) -> list[str]:
    history = run.history
    return [history.raw_id(node) for node in history.nodes("user")]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("bert4rec", (), "a stage that learns the next item, got masked_item"),
        ("sasrec", ("stages.0.linearizer={name: history, root: true}",), "items alone, got others"),
        ("sasrec", ("model.backbone.rotary=true",), "learned places alone"),
        ("sasrec", ("stages.0.sampler={name: session, gap: 9}",), "the sampler history"),
        ("flagship", ("stages.0.steps=1", "stages.1.steps=1"), "a term from links between items"),
    ],
)
def test_models_that_read_more(
    raw: Path, small: Any, tmp_path: Path, name: str, changes: tuple[str, ...], message: str
) -> None:
    recipe = small(name, "evaluate.scratch=false", "stages.0.steps=1", *changes)
    made = run_recipe(recipe, tmp_path / "run", raw=raw)
    with pytest.raises(GraphRecError, match=message):
        padded_histories(predictor_of(made))
    if name == "sasrec":
        return
    # What ranks is exported all the same: users' vectors, and the term of their few items.
    out = tmp_path / "onnx"
    export_onnx(made, out)
    about = json.loads((out / "model.json").read_text())
    users, items = pl.read_parquet(out / "queries.parquet"), pl.read_parquet(out / "items.parquet")
    given = {"query": users["vector"].to_numpy()}
    if name == "flagship":
        pairs = pl.read_parquet(out / "terms.parquet")
        assert about["inputs"] == ["query", "keys", "terms"]
        assert pairs["id"].to_list() == users["id"].to_list()
        longest = int(pairs["keys"].list.len().max() or 0)  # type: ignore[arg-type]
        keys, terms = np.zeros((2, len(users), longest), np.float32)
        for row, (key, term) in enumerate(zip(pairs["keys"], pairs["terms"], strict=True)):
            keys[row, : len(key)], terms[row, : len(term)] = key.to_numpy(), term.to_numpy()
        assert np.abs(terms).max() > 0
        given |= {"keys": keys.astype(np.int64), "terms": terms}
    found = ort.InferenceSession(out / "model.onnx").run(["scores"], given)[0]
    history = made.history
    nodes = history.node_ids("user", users["id"].to_list())
    expected = predictor_of(made).scorer(nodes).scores(nodes).detach().numpy()
    assert found.shape == (len(users), len(items))
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_command_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "onnx"
    command = ["export", str(run.folder), "--to", "onnx", "--out", str(out)]
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main(command) == 2
    assert "try pip install 'graphrec-pt[onnx]'" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("3 files in")
    assert main(command) == 2
    assert "a new folder" in capsys.readouterr().err
