"""What is exported ranks as the model does, and untrained vectors are left out."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from graphrec_pt import GraphRecError, from_pretrained, open_run, run_recipe
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import Run
from graphrec_pt.serve.encoder import export_encoder
from graphrec_pt.serve.export import export_embeddings, export_vectors
from graphrec_pt.serve.index import export_index, search


@pytest.fixture(scope="module")
def flagship(shop_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    changes = [
        f"data.card={shop_files / 'corner.yaml'}",
        "model.backbone.width=16",
        "model.backbone.layers=1",
        "stages.0.steps=2",
        "stages.1.steps=6",
        "evaluate.baselines=[popularity]",
        "evaluate.scratch=false",
        "options.cpu=true",
    ]
    out = tmp_path_factory.mktemp("runs") / "flagship"
    run_recipe(load_recipe("flagship", changes), out, raw=shop_files)
    return open_run(out)


def test_exported_products_rank_as_recommend_does(shop_run: Run, tmp_path: Path) -> None:
    export_embeddings(shop_run, tmp_path / "out")
    users, items = (
        pl.read_parquet(tmp_path / "out" / f"{k}-00000.parquet") for k in ("user", "item")
    )
    recommender = from_pretrained(shop_run)
    recommender.seen = "keep"
    for user in ("u1", "u5"):
        query = users.filter(id=user)["vector"].to_numpy()[0]
        score = items["vector"].to_numpy() @ query
        if "bias" in items.columns:
            score = score + items["bias"].to_numpy()
        best = [items["id"][int(at)] for at in np.argsort(-score)[:5]]
        given = recommender.recommend([user], 5)[0].items
        assert [item.id for item in given] == best
        assert [item.score for item in given] == pytest.approx(np.sort(score)[::-1][:5], rel=1e-4)


def test_types_that_were_never_trained_are_left_out(shop_run: Run, tmp_path: Path) -> None:
    files = export_embeddings(shop_run, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "embeddings.json").read_text())
    assert about["left_out"] == ["brand"]  # SASRec reads items alone
    assert about["roles"] == {"item": "item", "user": "query"}
    assert not any("brand" in file.name for file in files)


def test_the_index_of_the_flagship_has_the_terms(flagship: Run, tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    files = export_index(flagship, tmp_path / "ann")
    assert "terms.parquet" in {file.name for file in files}
    recommender = from_pretrained(flagship)
    recommender.seen = "keep"
    for user in ("u1", "u8", "u30"):
        given = recommender.recommend([user], 10)[0].items
        found = search(tmp_path / "ann", user, 10)
        assert [item for item, _ in found] == [item.id for item in given]
        assert [score for _, score in found] == pytest.approx(
            [item.score for item in given], rel=1e-4
        )
    with pytest.raises(GraphRecError, match="a user of the index"):
        search(tmp_path / "ann", "nobody")


def test_vectors_for_other_models(flagship: Run, tmp_path: Path) -> None:
    export_vectors(flagship, tmp_path / "out")
    vectors = load_file(tmp_path / "out" / "vectors.safetensors")
    assert set(vectors) == {"item"}
    ids = pl.read_parquet(tmp_path / "out" / "item.parquet")["id"]
    model = from_pretrained(flagship).predictor.model
    assert len(ids) == len(vectors["item"]) == 30
    assert np.array_equal(vectors["item"], model.table("item").detach().numpy())


def test_a_backbone_that_is_no_encoder_is_told(shop_run: Run, tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="a hugging_face backbone with words: true"):
        export_encoder(shop_run, tmp_path / "out")
