"""Images made here through tiny vision models of random weights, against plain calls."""

import dataclasses

import polars as pl
import pytest
import torch
from PIL import Image

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.graph.spec import GraphSpec

COLORS = [(255, 0, 0), (0, 0, 255), None, (250, 10, 0)]


@pytest.fixture(scope="module")
def pictured(graph, tmp_path_factory):
    """Give the shop with pictures in column ``note``, and the folder of the pictures."""
    folder = tmp_path_factory.mktemp("images")
    names = [None if color is None else f"{n}.png" for n, color in enumerate(COLORS)]
    for number, (name, color) in enumerate(zip(names, COLORS, strict=True)):
        if name is not None:
            Image.new("RGB", (20 + number, 30), color).save(folder / name)
    table = graph.tables["item"].with_columns(pl.Series("note", names))
    return dataclasses.replace(graph, tables={**graph.tables, "item": table}), folder


@pytest.fixture(scope="module")
def processor():
    from transformers import ViTImageProcessorPil

    return ViTImageProcessorPil(size={"height": 16, "width": 16})


def vision(family):
    from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        if family == "resnet":
            config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
            return ResNetModel(config).eval()
        config = ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            image_size=16,
            patch_size=8,
        )
        return ViTModel(config).eval()


@pytest.fixture
def config(pictured, processor):
    """Give a function from options to a config."""

    def make(family="vit", **options):
        base = {"name": "image", "encoder": vision(family), "processor": processor}
        return base | {"column": "note", "folder": pictured[1]} | options

    return make


def pixels(processor, folder, *names):
    return processor(images=[Image.open(folder / n) for n in names], return_tensors="pt")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("train", ["frozen", "all"])
def test_equals_a_plain_call(pictured, made, config, processor, pooling, train):
    graph, folder = pictured
    feature = made(graph, config(pooling=pooling, train=train, batch=2))
    states = vision("vit")(**pixels(processor, folder, "0.png", "1.png", "3.png")).last_hidden_state
    given = states.mean(1) if pooling == "mean" else states[:, 0]
    expected = feature.feature.map(given)
    torch.testing.assert_close(feature(3, 0, 1, 3), expected[[2, 0, 1, 2]], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(feature(2), feature.feature.missing.weight)


def test_maps_of_features_are_averaged(pictured, made, config, processor):
    graph, folder = pictured
    feature = made(graph, config("resnet"))
    states = vision("resnet")(**pixels(processor, folder, "0.png")).last_hidden_state
    assert states.ndim == 4
    expected = feature.feature.map(states.mean((2, 3)))
    torch.testing.assert_close(feature(0), expected, atol=1e-5, rtol=1e-4)


def test_like_images_are_like(pictured, made, config):
    given = made(pictured[0], config()).feature.given
    red, blue, reddish = given[0], given[1], given[3]
    assert (red - reddish).norm() < 0.5 * (red - blue).norm()


def test_what_trains(pictured, made, config):
    feature = made(pictured[0], config(train=1)).feature
    feature(torch.tensor([0, 1]), None).square().sum().backward()
    names = {n for n, p in feature.named_parameters() if p.grad is not None and p.grad.any()}
    assert any(".1." in n for n in names)
    assert not any(".0." in n for n in names)
    assert "map.weight" in names


def test_kept_on_disk_by_content(pictured, made, config, tmp_path):
    graph, folder = pictured
    first = made(graph, config(cache=tmp_path))
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    again = made(graph, config(cache=tmp_path))
    assert torch.equal(first.feature.given, again.feature.given)
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == [written]
    Image.new("RGB", (20, 30), (0, 255, 0)).save(folder / "1.png")
    changed = made(graph, config(cache=tmp_path))
    Image.new("RGB", (21, 30), COLORS[1]).save(folder / "1.png")
    assert len(list(tmp_path.iterdir())) == 2
    assert not torch.allclose(changed(1), first(1))


def test_from_a_folder(pictured, made, config, processor, tmp_path):
    vision("vit").save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    from_folder = made(pictured[0], config(encoder=str(tmp_path), processor=None))
    torch.testing.assert_close(from_folder(0, 1), made(pictured[0], config())(0, 1))


def test_vectors_made_elsewhere(graph, made):
    image, vector = made(graph, {"name": "image", "unit": True}), made(graph, "vector")
    assert image.feature.unit
    assert torch.equal(image.feature.map.weight, vector.feature.map.weight)
    built = featurizer.build({"name": "image", "column": "look"})
    assert featurizer.build(featurizer.config(built)) == built


def test_mistakes_are_named(pictured, made, config, tmp_path):
    graph, folder = pictured
    with pytest.raises(GraphRecError, match=r"3 that are not there, such as .*0\.png"):
        made(graph, config(folder=tmp_path))
    (folder / "3.png").write_text("no image")
    try:
        with pytest.raises(GraphRecError, match=r"an image in .*3\.png"):
            made(graph, config())
    finally:
        Image.new("RGB", (23, 30), COLORS[3]).save(folder / "3.png")
    spec = GraphSpec.of(graph)
    for options, said in [
        ({"column": None}, "the column of 'item' to read, got title, note"),
        ({"processor": None}, "the processor of an encoder given as object"),
        ({"encoder": 3}, "a Hugging Face model, or its folder or name, got int"),
        ({"column": "price"}, "'price' of kind number"),
    ]:
        with pytest.raises(GraphRecError, match=said):
            featurizer.build(config(**options)).build(spec, "item", 4)
