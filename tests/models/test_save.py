"""Models on disk: what comes back is what was saved, or an error; foreign configs run no code."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.node_features import Features
from graphrec_pt.models.model import Model
from graphrec_pt.models.model_config import ModelConfig
from graphrec_pt.models.save import FILES, PARTS
from graphrec_pt.models.transformer import GraphTransformer

RICH = {"item": ["id", "static_text", "categorical", "number"], "user": ["id", "number"]}
TABLES = ("user", "item", "brand")


@pytest.fixture
def saved(tmp_path, graph, model_of):
    """Give a folder with a model that reads columns, and the model."""
    model = model_of(graph, RICH)
    return model.save_pretrained(tmp_path / "model"), model


def same(a, b):
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def edit(folder, **changes):
    """Change the config of a saved model, its digest too."""
    path = folder / "config.json"
    record = json.loads(path.read_text()) | changes
    record.pop("digest", None)  # as in models saved before there were digests
    path.write_text(json.dumps(record))


def changed(folder, change):
    """Change the inner config of a saved model."""
    path = folder / "config.json"
    record = json.loads(path.read_text())
    change(record["model"])
    record.pop("digest", None)
    path.write_text(json.dumps(record))


def test_comes_back_and_runs_without_its_graph(saved, graph, view_of):
    folder, model = saved
    assert {path.name for path in folder.iterdir()} == set(FILES)
    again = Model.from_pretrained(folder)
    assert same(again, model)
    assert again.config == model.config
    assert not again.training
    view = view_of(graph, [0, 21, 25], [], [22])
    assert torch.equal(again.encode(view).hidden, model.encode(view).hidden)
    for name in TABLES:
        assert torch.equal(again.table(name), model.table(name))
    assert again.vocabulary.nodes.equals(model.vocabulary.nodes)
    assert same(again.attach_graph(graph), model)


def test_without_inputs_the_graph_is_asked_for(tmp_path, graph, model_of):
    model = model_of(graph, RICH)
    again = Model.from_pretrained(model.save_pretrained(tmp_path / "model", inputs=False))
    assert not (tmp_path / "model" / "inputs.safetensors").exists()
    with pytest.raises(GraphRecError, match=r"a graph to read, got none; try model\.attach_graph"):
        again.table("item")
    with pytest.raises(GraphRecError, match="expected a model with a graph"):
        again.save_pretrained(tmp_path / "other")
    again.attach_graph(graph)
    assert torch.equal(again.table("item"), model.table("item"))


def test_ids_alone_need_nothing(tmp_path, graph, model_of, view_of):
    model = model_of(graph)
    again = Model.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert not (tmp_path / "model" / "inputs.safetensors").exists()
    view = view_of(graph, [3, 2, 1])
    assert torch.equal(again.encode(view).hidden, model.encode(view).hidden)


def test_a_propagation_needs_its_graph(tmp_path, graph, model_of):
    model = model_of(graph, Features(propagation="lightgcn"))
    again = Model.from_pretrained(model.save_pretrained(tmp_path / "model"))
    with pytest.raises(GraphRecError, match="a graph to read"):
        again.table("item")
    assert torch.equal(again.attach_graph(graph).table("item"), model.table("item"))
    assert ".attach_graph(graph)" in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    "network",
    [
        {"structure": {"position": 9, "type": None, "relation": None, "gap": None, "kind": None}},
        {"structure": {"hop": 4, "slot": 7, "parent": 5}, "relations": 3, "rotary": True},
        {"structure": {}, "mode": "causal", "activation": "relu", "dropout": 0.25},
    ],
)
def test_every_size_and_option_comes_back(tmp_path, graph, network):
    model = Model.of(
        graph,
        backbone={"name": "graph_transformer", "width": 8, "layers": 1, **network},
        features=Features(by_type=RICH, compose="gate", id_dropout=0.5),
        text=11,
        prompts=3,
    )
    again = Model.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert again.config == model.config
    assert same(again, model)


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_a_hugging_face_backbone_comes_back(tmp_path, graph, view_of, family):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
    more = {"d_kv": 8, "d_ff": 24} if family == "t5" else {"intermediate_size": 24}
    network = {"name": "hugging_face", "model": {"model_type": family, **sizes, **more}, "width": 8}
    model = Model.of(graph, backbone=network).eval()
    again = Model.from_pretrained(model.save_pretrained(tmp_path / "model"))
    view = view_of(graph, [3, 2, 1], [4])
    assert torch.equal(again.encode(view).hidden, model.encode(view).hidden)


def test_the_scale_of_numbers_stays(world, saved):
    folder, model = saved
    scale = model.state_dict()["features.of_type.of_item.parts.3.mean"]

    def later(plan, tables):
        year = tables["items"]["year"] + 500
        return plan, tables | {"items": tables["items"].with_columns(year=year)}

    again = Model.from_pretrained(folder).attach_graph(world(0, later))
    assert torch.equal(again.state_dict()["features.of_type.of_item.parts.3.mean"], scale)


def test_ties_and_views_come_back(tmp_path, graph, model_of):
    model = model_of(graph)
    layer = model.backbone.layers[0]
    layer.before_feed = layer.before_attention
    model.embedding.special.weight.data = torch.randn(8, model.embedding.special.num_embeddings).T
    again = Model.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert same(again, model)


def test_saving_again_leaves_no_mix(saved, graph, model_of):
    folder, _ = saved
    (folder / "README.md").write_text("my own words")
    other = model_of(graph, seed=5)
    other.save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} == set(FILES) - {"inputs.safetensors"}
    assert same(Model.from_pretrained(folder), other)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_failed_save_leaves_the_old_model(saved, graph, model_of, monkeypatch):
    folder, model = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("graphrec_pt.models.save.save_file", full)
    with pytest.raises(GraphRecError, match="No space left"):
        model_of(graph, seed=5).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert same(Model.from_pretrained(folder), model)


@pytest.mark.parametrize("names", [["notes.txt"], ["config.json"], [*FILES, "notes.txt"]])
def test_other_files_are_never_replaced(tmp_path, graph, model_of, names):
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(GraphRecError, match="expected a new folder or a saved model, got"):
        model_of(graph).save_pretrained(tmp_path)
    assert all((tmp_path / name).read_text() == "mine" for name in names)


def test_a_file_in_the_way(tmp_path, graph, model_of):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(GraphRecError, match="got a file; try another folder"):
        model_of(graph).save_pretrained(tmp_path / "model")


@pytest.mark.parametrize("name", [name for name in FILES if name != "README.md"])
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "empty"])
def test_damage_is_found(saved, name, damage):
    folder, _ = saved
    path = folder / name
    content = path.read_bytes()
    at = len(content) // 2
    if damage == "missing":
        path.unlink()
    elif name == "config.json" and damage == "flipped":
        path.write_bytes(b"[" + content[1:])
    else:
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        path.write_bytes({"cut": content[:at], "flipped": flipped, "empty": b""}[damage])
    with pytest.raises(GraphRecError, match=name):
        Model.from_pretrained(folder)


def test_a_card_of_ones_own_is_welcome(saved):
    folder, model = saved
    (folder / "README.md").unlink()
    assert same(Model.from_pretrained(folder), model)


def test_a_mix_of_two_models_is_found(saved, graph, model_of, tmp_path):
    folder, _ = saved
    other = model_of(graph, RICH, seed=5).save_pretrained(tmp_path / "other")
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(
        GraphRecError, match=r"model\.safetensors: expected the file that was saved"
    ):
        Model.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3, "graphrec_pt": "9.9"}, "model format 2, got 3; try graphrec_pt 9.9, which"),
        ({"format": 1}, "model format 2, got 1; try training the model again, for format 1 had"),
        ({"format": None}, "expected model format 2"),
        ({"heads": None}, "'heads' in the config"),
        ({"usage": {"sampler": {}}}, "usage"),
        ({"class": "Other"}, "expected a Model, got Other"),
        ({"class": 3}, "'class' in the config"),
        ({"files": {}}, "expected the files"),
        ({"files": {"../../secret": "0"}}, "expected the files"),
        ({"model": []}, "'model' in the config"),
        ({"model": {"spe": 1}}, "did you mean 'spec'"),
    ],
)
def test_foreign_configs_are_told_apart(saved, changes, message):
    folder, _ = saved
    edit(folder, **changes)
    with pytest.raises(GraphRecError, match=message):
        Model.from_pretrained(folder)


def test_weights_must_be_those_of_the_config(saved):
    folder, _ = saved

    def resave(change):
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")
        from hashlib import sha256

        record = json.loads((folder / "config.json").read_text())
        digest = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        edit(folder, files=record["files"] | {"model.safetensors": digest})
        with pytest.raises(GraphRecError) as error:
            Model.from_pretrained(folder)
        return str(error.value)

    assert "got also extra" in resave(lambda weights: weights.update(extra=torch.zeros(1)))
    norm = "backbone.norm.weight"
    cut = resave(lambda w: (w.pop("extra"), w.update({norm: w[norm][:3].clone()})))
    assert f"got others for {norm}" in cut
    assert f"got nothing for {norm}" in resave(lambda weights: weights.pop(norm))


def test_a_config_from_elsewhere_runs_no_code(saved, tmp_path, monkeypatch):
    folder, model = saved
    (tmp_path / "planted.py").write_text(
        "from pathlib import Path\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n"
        "from graphrec_pt.models.transformer import GraphTransformer\n"
        "class Mine(GraphTransformer):\n    pass\n"
        "from graphrec_pt.features.identity import Identity\n"
        "class Own(Identity):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "planted", raising=False)

    def refused(change):
        changed(folder, change)
        with pytest.raises(GraphRecError, match=r"dotted path 'planted\.\w+'.*trust_code=True"):
            Model.from_pretrained(folder)
        assert not (tmp_path / "ran").exists()

    refused(lambda config: config["backbone"].update(name="planted.Mine"))
    changed(folder, lambda config: config["backbone"].update(name="graph_transformer"))
    refused(lambda config: config["features"].update(propagation={"name": "planted.Spread"}))
    changed(folder, lambda config: config["features"].update(propagation=None))
    own = {"name": "planted.Own"}
    refused(lambda config: config["features"]["by_type"]["item"].__setitem__(0, own))
    assert same(Model.from_pretrained(folder, trust_code=True), model)
    assert (tmp_path / "ran").exists()


def test_not_bound_is_not_saved(tmp_path, graph, model_of):
    config = ModelConfig(backbone=GraphTransformer(width=8))
    with pytest.raises(GraphRecError, match="expected a model with a graph, got none"):
        Model(config, model_of(graph).spec).save_pretrained(tmp_path / "model")


@pytest.mark.parametrize("name", ["nowhere", "./no/where", "/no/such/folder", ""])
def test_neither_folder_nor_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GraphRecError, match=r"from_pretrained: expected|config\.json"):
        Model.from_pretrained(name)


class Hub:
    """Stands in for the service: takes commits, and lays them out as its cache does."""

    def __init__(self, cache):
        self.cache, self.calls = cache, []

    def create_repo(self, name, **options):
        self.calls.append(options)
        self.name = name
        return self

    @property
    def repo_id(self):
        return self.name

    def __str__(self):
        return f"https://hub/{self.name}"

    def upload_folder(self, repo_id, folder_path, **options):
        self.calls.append(options)
        place = self.cache / f"models--{repo_id.replace('/', '--')}"
        commit = "0123456789" * 4
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text(commit)
        (place / "snapshots").mkdir()
        folder_path.rename(place / "snapshots" / commit)


def test_the_hub_and_back(tmp_path, graph, model_of, monkeypatch):
    import huggingface_hub

    hub, model = Hub(tmp_path), model_of(graph, RICH)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    address = model.push_to_hub("ann/shop", private=True, message="first")
    assert address == "https://hub/ann/shop"
    assert hub.calls[0] == {"private": True, "exist_ok": True}
    assert hub.calls[1] == {"commit_message": "first", "delete_patterns": list(PARTS)}
    fetch = huggingface_hub.snapshot_download

    def from_cache(name, **options):
        return fetch(name, **options, cache_dir=tmp_path, local_files_only=True)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", from_cache)
    again = Model.from_pretrained("ann/shop")
    assert same(again.attach_graph(graph), model)
    with pytest.raises(GraphRecError, match="a model 'ann/nothing' on the Hugging Face Hub"):
        Model.from_pretrained("ann/nothing")


def test_no_hub_in_reach(graph, model_of, monkeypatch, tmp_path):
    import huggingface_hub

    nobody = "http://127.0.0.1:9"  # the port that discards
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nobody)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    with pytest.raises(GraphRecError, match="push_to_hub: expected the right to write to 'ann/x'"):
        model_of(graph).push_to_hub("ann/x")
    with pytest.raises(GraphRecError, match="from_pretrained: expected a model 'ann/x' on the"):
        Model.from_pretrained("ann/x")


def test_the_card_tells_what_it_is(saved):
    folder, model = saved
    card = (folder / "README.md").read_text(encoding="utf-8")
    head, _, body = card.removeprefix("---\n").partition("---\n")
    assert "library_name: graphrec_pt" in head
    assert "| item | 12 | id, static_text, categorical, number |" in body
    size = sum(parameter.numel() for parameter in model.parameters())
    assert f"{size:,} weights" in body
    assert "rates (user → item)" in body
