"""Exports: corpora that are what was trained on, an index of the scores, the model on the Hub."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from graphrec_pt import GraphRecError, Key, Model, from_pretrained
from graphrec_pt.cli import main
from graphrec_pt.recipe.data import graph_of, split_of
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.serve.corpus import export_corpus
from graphrec_pt.serve.index import export_index

WALK = (
    "stages=[{name: walk, sampler: {name: metapath, relations: [buys, has_attribute]},"
    " linearizer: path, objectives: [masked_node], roots: buys, steps: 1, batch: 16},"
    " {name: train, sampler: {name: history, window: 3}, linearizer: history,"
    " objectives: [next_item], strategy: finetune_whole, steps: 1, batch: 16}]"
)


@pytest.fixture(scope="module")
def run(raw: Path, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = small("sasrec", WALK, "evaluate.scratch=false", "seeds=[3]")
    return run_recipe(recipe, tmp_path_factory.mktemp("runs") / "run", raw=raw)


def test_a_corpus_of_histories_is_that_of_the_raw_files(
    run: Run, raw: Path, tmp_path: Path
) -> None:
    files = export_corpus(run, tmp_path / "out", stage="train", epochs=2, shard=50, raw=raw)
    tables = [pl.read_parquet(file) for file in files]
    assert [len(table) for table in tables] == [50, 50, 20]
    corpus = pl.concat(tables)
    assert corpus["epoch"].to_list() == [0] * 60 + [1] * 60
    expected = {}
    for line in (raw / "Beauty.txt").read_text().splitlines():
        user, *items = line.split()
        expected[user] = items[:-2][-3:]  # without validation and test
    for epoch in (0, 1):
        part = corpus.filter(epoch=epoch)
        assert dict(part.select("root", "id").iter_rows()) == expected
    assert corpus["root"][:60].to_list() != corpus["root"][60:].to_list()  # shuffled anew
    first = corpus.row(0, named=True)
    size = len(first["id"])
    assert first["kind"] == ["NODE"] * size
    assert first["type"] == ["item"] * size
    assert first["relation"] == ["buys"] * size
    assert first["position"] == list(range(size))
    about = json.loads((tmp_path / "out" / "corpus.json").read_text())
    assert (about["rows"], about["seed"], about["stage"]["name"]) == (120, 3, "train")


def test_a_corpus_of_walks_names_every_token(run: Run, raw: Path, tmp_path: Path) -> None:
    """Equal to sampling by hand, and true: each step is an edge of the training graph."""
    corpus = pl.read_parquet(export_corpus(run, tmp_path / "out", raw=raw)[0])
    train = split_of(run.recipe.data, graph_of(run.recipe.data, raw)).train
    assert len(corpus) == train.num_edges("buys")
    assert corpus["time"].explode().null_count() > 0  # users, relations and ends have none
    assert set(corpus["kind"].explode()) == {"NODE", "RELATION", "SPECIAL"}
    sampler = run.recipe.stages[0].sampler
    nodes = [train.node_id("user", root) for root in corpus["root"]]
    edges = train.edges("buys")
    known = {(int(s), int(t)) for s, t in zip(edges.source, edges.target, strict=True)}
    for row in corpus.iter_rows(named=True):
        told = [id for kind, id in zip(row["kind"], row["id"], strict=True) if kind == "NODE"]
        assert told[0] == row["root"]
        if len(told) > 1:
            pair = train.node_id("user", told[0]), train.node_id("item", told[1])
            assert pair in known
    assert sampler.sample(train, pl.Series(nodes[:4]).to_torch(), Key(3)).nodes.shape[0] == 4


def test_a_corpus_has_the_roots_that_the_stage_has(
    run: Run, raw: Path, small: Any, tmp_path: Path
) -> None:
    recipe = small("sasrec", "stages.0.share=0.5", "stages.0.tokens=30", "stages.0.accumulate=2")
    half = Run(tmp_path, recipe, run.metrics)
    corpus = pl.read_parquet(export_corpus(half, tmp_path / "out", raw=raw, epochs=2))
    assert corpus.group_by("epoch").agg(pl.col("root").n_unique())["root"].to_list() == [30, 30]


def test_a_corpus_of_pairs(run: Run, raw: Path, small: Any, tmp_path: Path) -> None:
    """The roots of a pair are a list, and its tokens lead from one to the other."""
    recipe = small("chest")
    graph = graph_of(recipe.data, raw)
    data = {**run.metrics["data"], "fingerprint": graph.fingerprint}
    pairs = Run(tmp_path, recipe, {**run.metrics, "data": data})
    corpus = pl.read_parquet(export_corpus(pairs, tmp_path / "out", stage="pairs", raw=raw))
    train = split_of(recipe.data, graph).train
    assert len(corpus) == train.num_edges("rates")
    for row in corpus.head(20).iter_rows(named=True):
        user, item = row["root"]
        ends = [id for id, hop in zip(row["id"], row["hop"], strict=True) if hop == 0]
        assert ends == [user, item]


def test_corpora_that_cannot_be(run: Run, raw: Path, tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="did you mean 'train'"):
        export_corpus(run, tmp_path / "out", stage="trian", raw=raw)
    other = tmp_path / "raw"
    other.mkdir()
    (other / "Beauty.txt").write_text("1 1 2 3\n2 2 3 4\n")
    with pytest.raises(GraphRecError, match=r"the data of the run \(graph"):
        export_corpus(run, tmp_path / "out", raw=other)
    assert not (tmp_path / "out").exists()
    with pytest.raises(GraphRecError, match="a new folder"):
        export_corpus(run, other, raw=raw)


def test_an_index_ranks_as_the_model_does(run: Run, tmp_path: Path) -> None:
    usearch = pytest.importorskip("usearch.index")
    file, items, queries, _ = export_index(run, tmp_path / "ann")
    index, ids = usearch.Index.restore(str(file)), pl.read_parquet(items)["id"].to_list()
    assert len(index) == len(ids)
    user, vector = pl.read_parquet(queries).row(7)
    asked = np.array(vector, dtype=np.float32)
    given = from_pretrained(run).recommend([user], k=5)[0]
    found = index.search(asked, len(ids), exact=True).keys.tolist()
    best = [ids[key] for key in found if ids[key] not in given.history]
    assert best[:5] == [item.id for item in given.items]
    scores = {raw: float(asked @ index.get(key)) for key, raw in enumerate(ids)}
    assert [scores[item.id] for item in given.items] == pytest.approx(
        [item.score for item in given.items], abs=1e-5
    )


def test_an_index_needs_its_extra(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    out = tmp_path / "ann"
    assert main(["export", str(run.folder), "--to", "ann", "--out", str(out)]) == 2
    assert "try pip install 'graphrec-pt[ann]'" in capsys.readouterr().err
    assert not out.exists()


def test_the_command_line_of_exports(
    run: Run,
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["export", str(run.folder), "--to"]
    corpus = [*command, "corpus", "--stage", "train", "--shard", "40", "--raw", str(raw)]
    assert main([*corpus, "--out", str(tmp_path / "corpus")]) == 0
    assert "2 files in" in capsys.readouterr().out
    asked: dict[str, Any] = {}

    def push(model: Model, name: str, **options: Any) -> str:
        asked.update(options, name=name, width=model.width)
        return f"https://huggingface.co/{name}"

    monkeypatch.setattr(Model, "push_to_hub", push)
    assert main([*command, "hub", "--name", "me/shop", "--private"]) == 0
    assert asked == {"name": "me/shop", "private": True, "width": 16}
    assert "https://huggingface.co/me/shop" in capsys.readouterr().out
    for arguments, message in (
        (["hub"], "a name for the model, got none; try --name OWNER/NAME"),
        (["embeddings", "--stage", "train"], "no such option, got --stage; try --to corpus"),
        (["corpus", "--stage", "x"], "a stage of the recipe, got 'x'; try one of train, walk"),
        (["corpus", "--epochs", "0"], "should be greater than or equal to 1"),
    ):
        assert main([*command, *arguments]) == 2
        errors = capsys.readouterr().err
        assert len(errors.splitlines()) == 1
        assert message in errors
