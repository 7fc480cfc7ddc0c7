"""Saves and checkpoints leave the weights of the base out, and ask for it when they are read."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.save import WEIGHTS
from graphrec_pt.training.checkpoint import load_checkpoint
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.trainer import Trainer

CONFIG: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Return the folder of a small language model."""
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG))
    model.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def built(graph: Graph, base: Path) -> Model:
    backbone = {"name": "hugging_face", "model": str(base), "words": True, "structure": {}}
    return Model.of(graph, backbone=backbone, text="trained:300", seed=1)


def stage(**options: Any) -> Stage:
    given: dict[str, Any] = {
        "sampler": {"name": "history", "window": 4},
        "linearizer": {"name": "text", "base": "history"},
        "objectives": ["masked_language"],
        "steps": 4,
        "batch": 4,
        "strategy": {"name": "finetune_part", "adaptor": {"name": "lora", "rank": 2}},
        "optimization": {"lr": 1e-2},
    }
    return Stage(**{**given, **options})


def weights(model: Model) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def left_out(weights: dict[str, Tensor]) -> bool:
    return not any(".base_layer." in name or name == "backbone.words.weight" for name in weights)


def test_only_what_trained_is_saved(graph: Graph, base: Path, tmp_path: Path) -> None:
    model = built(graph, base)
    Trainer(tmp_path / "run", seed=0).fit(model, graph, stage())
    saved = load_file(model.save_pretrained(tmp_path / "model") / WEIGHTS)
    assert left_out(saved)
    assert any(".lora_B." in name for name in saved)
    kept = load_checkpoint(tmp_path / "run" / "checkpoint").tensors
    assert not any(".base_layer." in name or "words" in name for name in kept)
    assert any(".lora_A." in name for name in kept)
    loaded = Model.from_pretrained(tmp_path / "model")
    assert equal(weights(loaded), weights(model))
    again = load_file(loaded.save_pretrained(tmp_path / "again") / WEIGHTS)
    assert again.keys() == saved.keys()


def test_what_trained_of_the_base_is_saved(graph: Graph, base: Path, tmp_path: Path) -> None:
    model = built(graph, base)
    trains = ("model.backbone.model.layers.1.*", "heads.*")
    strategy = {"name": "finetune_part", "adaptor": None, "trains": trains}
    Trainer(seed=0).fit(model, graph, stage(strategy=strategy, steps=1))
    saved = load_file(model.save_pretrained(tmp_path / "model") / WEIGHTS)
    assert any(name.startswith("backbone.model.layers.1.") for name in saved)
    assert not any(name.startswith("backbone.model.layers.0.") for name in saved)
    assert equal(weights(Model.from_pretrained(tmp_path / "model")), weights(model))


def test_a_missing_base_and_another_one(graph: Graph, base: Path, tmp_path: Path) -> None:
    model = built(graph, base)
    model.save_pretrained(tmp_path / "model")
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(GraphRecError, match=r"its base model in .*base, got no such folder"):
        Model.from_pretrained(tmp_path / "model")
    loaded = Model.from_pretrained(tmp_path / "model", base=moved)
    assert equal(weights(loaded), weights(model))
    loaded.save_pretrained(tmp_path / "again")
    assert equal(weights(Model.from_pretrained(tmp_path / "again")), weights(model))
    torch.manual_seed(1)
    other = transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG))
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(GraphRecError, match=r"its base model in .*with digest .*got digest"):
        Model.from_pretrained(tmp_path / "model", base=tmp_path / "other")


@pytest.mark.parametrize("first", ["lora", "whole"])
def test_resumed_to_the_bit(graph: Graph, base: Path, tmp_path: Path, first: str) -> None:
    """Also where an earlier stage changed weights of the base that the last one freezes."""
    before = stage(strategy="pretrain", steps=2, name="before")
    stages = [stage()] if first == "lora" else [before, stage()]

    def score(model: Model) -> dict[str, float]:
        return {"size": float(model.backbone.model.norm.weight.sum())}  # type: ignore[union-attr]

    given: dict[str, Any] = {"validate": score}
    whole = built(graph, base)
    Trainer(tmp_path / "whole", seed=0).fit(whole, graph, stages, **given)
    part, stop = built(graph, base), len(stages) * 2

    class Stopped(Exception):
        pass

    trainer = Trainer(tmp_path / "part", seed=0, checkpoint_every=1)
    saving = trainer._save

    def save(*inputs: Any) -> None:
        saving(*inputs)
        if inputs[3] + inputs[4].done == stop:
            raise Stopped

    trainer._save = save  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        trainer.fit(part, graph, stages, **given)
    resumed = built(graph, base)
    Trainer(tmp_path / "part", seed=0).fit(resumed, graph, stages, resume=True, **given)
    assert equal(weights(resumed), weights(whole))


def test_a_run_on_another_base_is_another_run(graph: Graph, base: Path, tmp_path: Path) -> None:
    Trainer(tmp_path / "run", seed=0).fit(built(graph, base), graph, stage(steps=1))
    torch.manual_seed(1)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG)).save_pretrained(base)
    with pytest.raises(GraphRecError, match=r"base: expected"):
        Trainer(tmp_path / "run", seed=0).fit(
            built(graph, base), graph, stage(steps=1), resume=True
        )
