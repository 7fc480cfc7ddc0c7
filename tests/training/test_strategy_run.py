"""Strategies in a run: one pre-training adapted many ways, heads, phases, resumption, mistakes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphrec_pt import Graph, GraphRecError, Model, Stage, Tokens, Trainer, linearizer, strategy
from graphrec_pt.models.view import View
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.training.strategy import Strategy


def weights(model: Model) -> dict[str, Tensor]:
    """Return copies of the weights of a model and of the one head that it was trained with."""
    named = model.state_dict().items()
    return {name.replace("heads.of_masked_node", "head"): w.clone() for name, w in named}


def stage_of(new_stage: Any, strategy: Any, **options: Any) -> Stage:
    stage: Stage = new_stage(**{"steps": 1, "roots": "user", "strategy": strategy, **options})
    return stage


def test_strategies_one_after_another_from_one_pretraining(
    pretrained: Path, world: Graph, new_stage: Any, tmp_path: Path
) -> None:
    """A saved result is adapted again, by another strategy; what it learned comes along."""
    tuned = Model.from_pretrained(pretrained)
    Trainer().fit(tuned, world, stage_of(new_stage, "prompt_tune"))
    tuned.save_pretrained(tmp_path / "tuned")
    model = Model.from_pretrained(tmp_path / "tuned")
    before, first = weights(model), weights(tuned)
    assert before.keys() == first.keys()
    assert all(torch.equal(before[name], first[name]) for name in before)
    Trainer().fit(model, world, stage_of(new_stage, "finetune_extra"))
    after = weights(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("head.")}


def test_phases_of_prompt_and_tune(ours: Path, world: Graph, new_stage: Any) -> None:
    model, seen = Model.from_pretrained(ours), []
    start = weights(model)

    def validate(now: Model) -> dict[str, float]:
        seen.append(weights(now))
        return {"ndcg@10": float(len(seen))}

    stage = new_stage(strategy="prompt_and_tune", epochs=1, name="adapt")
    rows = Trainer().fit(model, world, stage, validate=validate)
    assert [row["stage"] for row in rows if "valid/ndcg@10" in row] == ["adapt, first", "adapt"]
    moved = {name for name in start if not torch.equal(start[name], seen[0][name])}
    assert moved == {name for name in start if name.startswith("head.")}
    prompts = "prompt.vectors.weight"
    assert not torch.equal(seen[0][prompts], seen[1][prompts])
    assert not torch.equal(start["backbone.norm.weight"], seen[1]["backbone.norm.weight"])


def test_heads_are_kept_or_new(ours: Path, world: Graph, new_stage: Any) -> None:
    frozen = ["*.norm.*"]
    for head, same in (("kept", True), ("new", False)):
        model = Model.from_pretrained(ours)
        before = weights(model)
        config = {"name": "finetune_part", "adaptor": None, "trains": frozen, "head": head}
        Trainer().fit(model, world, stage_of(new_stage, config))
        name = "head.transform.0.weight"
        assert torch.equal(before[name], weights(model)[name]) == same
    model = Model.from_pretrained(ours)
    stage = stage_of(new_stage, "prompt_tune", objectives=["masked_token"])
    with pytest.raises(
        GraphRecError, match=r"a head of 'masked_token' that was trained.*head: new"
    ):
        Trainer().fit(model, world, stage)


def test_heads_of_earlier_stages_are_kept_too(
    ours: Path, world: Graph, new_stage: Any, tmp_path: Path
) -> None:
    """Also where the stage between is interrupted and gone on with."""
    between = stage_of(new_stage, "pretrain", objectives=["masked_token"], name="b", steps=4)
    frozen = {"name": "prompt_free", "requires_template": False}
    stages = [between, stage_of(new_stage, frozen, name="c")]
    whole, killed = Model.from_pretrained(ours), Model.from_pretrained(ours)
    before = {name: weight.clone() for name, weight in killed.heads.state_dict().items()}
    assert {name.split(".")[0] for name in before} == {"of_masked_node"}
    Trainer().fit(whole, world, stages)

    class Stopped(Exception):
        pass

    def stop(model: Model) -> dict[str, float]:
        raise Stopped

    with pytest.raises(Stopped):
        Trainer(tmp_path, checkpoint_every=2).fit(killed, world, stages, validate={"b": stop})
    again = Model.from_pretrained(ours)
    again.heads = nn.ModuleDict()
    Trainer(tmp_path, checkpoint_every=2).fit(again, world, stages, resume=True)
    for model in (whole, again):
        assert set(model.heads) == {"of_masked_node", "of_masked_token"}
        after = model.heads.state_dict()
        assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_reset_starts_anew(ours: Path, world: Graph, new_stage: Any) -> None:
    model = Model.from_pretrained(ours)
    before = weights(model)
    config = {"name": "finetune_extra", "reinit": ["model.backbone.*"]}
    Trainer().fit(model, world, stage_of(new_stage, config))
    after = weights(model)
    for name in before:
        if name.startswith(("features.", "embedding.")):
            assert torch.equal(before[name], after[name]), name
    name = "backbone.layers.0.qkv.weight"
    assert not torch.equal(before[name], after[name])
    assert float(after[name].std()) == pytest.approx(0.02, rel=0.2)  # as drawn, not as trained


def test_what_was_frozen_before_stays_so(ours: Path, world: Graph, new_stage: Any) -> None:
    model = Model.from_pretrained(ours)
    model.backbone.norm.requires_grad_(False)
    before = model.backbone.norm.weight.clone()
    Trainer().fit(model, world, stage_of(new_stage, "finetune_whole"))
    assert torch.equal(before, model.backbone.norm.weight)
    assert not model.backbone.norm.weight.requires_grad


def test_rules_may_say_more(ours: Path, world: Graph, new_stage: Any) -> None:
    model = Model.from_pretrained(ours)
    before = weights(model)
    rules = [{"pattern": "*.norm.*", "freeze": True}]
    config = {"name": "finetune_whole", "frozen": ["model.features.*"]}
    optimization = {"lr": 1e-2, "rules": rules}
    Trainer().fit(model, world, stage_of(new_stage, config, optimization=optimization))
    after = weights(model)
    same = {name.split(".")[0] for name in before if torch.equal(before[name], after[name])}
    assert {"features"} <= same
    assert torch.equal(before["backbone.norm.weight"], after["backbone.norm.weight"])
    name = "backbone.layers.0.qkv.weight"
    assert not torch.equal(before[name], after[name])


def test_the_balance_of_a_mixture_trains_with_a_part(
    ours: Path, world: Graph, new_stage: Any, caplog: Any
) -> None:
    model = Model.from_pretrained(ours)
    stage = stage_of(new_stage, "prompt_tune", balance="uncertainty")
    with caplog.at_level("INFO", logger="graphrec_pt.training.stage_run"):
        Trainer().fit(model, world, stage)
    lines = [line.split() for line in caplog.records[-1].getMessage().splitlines()]
    assert ["log_variance", "1", "0"] in lines


def test_a_run_of_several_strategies_resumes_to_the_bit(
    ours: Path, world: Graph, new_stage: Any, tmp_path: Path
) -> None:
    stages = [
        new_stage(strategy="prompt_tune", epochs=1, name="prompt"),
        new_stage(strategy="finetune_part", epochs=1, name="part"),
    ]
    whole = Model.from_pretrained(ours)
    Trainer(deterministic=True).fit(whole, world, stages)

    class Killed(Exception):
        pass

    def die_in_the_second(now: Model) -> dict[str, float]:
        if now.config.adaptor is not None:
            raise Killed
        return {"ndcg@10": 1.0}

    broken = Model.from_pretrained(ours)
    options = {"deterministic": True, "checkpoint_every": 1}
    with pytest.raises(Killed):
        Trainer(tmp_path, **options).fit(broken, world, stages, validate=die_in_the_second)
    for start in (Model.from_pretrained(ours), broken):
        folder = tmp_path if start is broken else _copied(tmp_path)
        Trainer(folder, **options).fit(start, world, stages, resume=True)
        mine, other = weights(start), weights(whole)
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) for name in mine)


def _copied(folder: Path) -> Path:
    from shutil import copytree

    return Path(copytree(folder, folder.parent / f"{folder.name} copied"))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("promt_tune", "did you mean 'prompt_tune'"),
        ({"name": "prompt_tune", "prompt": "soft_token"}, "did you mean 'soft_tokens'"),
        ({"name": "finetune_part", "adaptor": {"name": "bottleneck", "iner": 2}}, "'inner'"),
        ({"name": "pretrain", "head": "old"}, "head"),
    ],
)
def test_mistakes_in_a_stage_are_told(new_stage: Any, config: Any, told: str) -> None:
    with pytest.raises(GraphRecError, match=told):
        new_stage(strategy=config)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"name": "finetune_part", "trains": ["model.backbon.*"]}, "model.backbone"),
        ({"name": "finetune_part", "reinit": ["backbone.*"]}, "a pattern that matches"),
        ({"name": "finetune_extra", "frozen": ["heads.*"]}, "something to train"),
        ("prompt_free", "a hard prompt, got 'subgraph'"),
        ({"name": "finetune_part", "adaptor": "lora"}, "the backbone hugging_face"),
    ],
)
def test_mistakes_that_the_model_shows_are_told(
    ours: Path, world: Graph, new_stage: Any, config: Any, told: str
) -> None:
    with pytest.raises(GraphRecError, match=told):
        Trainer().fit(Model.from_pretrained(ours), world, new_stage(strategy=config))


def test_a_strategy_of_ones_own(ours: Path, world: Graph, new_stage: Any) -> None:
    @strategy("only_norms")
    class OnlyNorms(Strategy):
        """The norms train."""

        trains: tuple[str, ...] = ("*.norm.*", "*.before_*")

    model = Model.from_pretrained(ours)
    before = weights(model)
    Trainer().fit(model, world, stage_of(new_stage, "only_norms"))
    after = weights(model)
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    norms = ("backbone.norm.", "backbone.layers.0.before_")
    assert {n for n in changed if n.startswith("backbone.")} == {
        n for n in before if n.startswith(norms)
    }
    assert not {n for n in changed if n.startswith(("features.", "embedding."))}


def test_a_prompt_of_who_asks_where_no_token_says_so(
    ours: Path, world: Graph, new_stage: Any
) -> None:
    """Histories of items alone: the prompt is of the root that each was sampled for."""
    model = Model.from_pretrained(ours)
    config = {"name": "prompt_tune", "prompt": "personalised", "trains": ["*.prompt.*", "heads.*"]}
    past = {"sampler": "history", "linearizer": "history", "objectives": ["next_item"]}
    stage = stage_of(new_stage, config, **past)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    Trainer().fit(model, world, stage)
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in before)
    users, items = world.nodes("user"), world.nodes("item")
    row = torch.arange(3)
    tokens = Tokens.of(items.start + row.repeat(2), Kind.NODE, torch.tensor([0, 3, 6]))
    tokens = replace(tokens, type=torch.full_like(tokens.id, 1), parent=tokens.position - 1)
    roots = torch.tensor([users[0], users[1]])
    states = model.encode(View(tokens, root=roots)).hidden
    assert not torch.isclose(states[:3], states[3:]).all(1).any()
    with pytest.raises(GraphRecError, match="a user in every sequence"):
        model.encode(View(tokens))


@pytest.mark.parametrize("name", ["sequence_sequence", "history_contrast", "pairwise"])
def test_a_prompt_of_who_asks_where_some_histories_are_left_out(
    ours: Path, world: Graph, new_stage: Any, name: str
) -> None:
    """A history of one event has no past; the others keep the roots they were sampled for."""
    model = Model.from_pretrained(ours)
    config = {"name": "prompt_tune", "prompt": "personalised", "trains": ["*.prompt.*", "heads.*"]}
    past = {"sampler": {"name": "history", "window": 1}, "linearizer": "history"}
    longer = {**past, "sampler": {"name": "history", "window": 5}}
    for given in (past, longer):
        Trainer().fit(model, world, stage_of(new_stage, config, objectives=[name], **given))


def test_the_text_of_a_template_is_a_hard_prompt(new_stage: Any) -> None:
    class Letters:
        def encode(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    template = {"name": "template", "pattern": "(user)-[rates]->(MASK:item)"}
    text = {"name": "text", "tokenizer": Letters(), "base": template}
    chosen = strategy.build("prompt_free")
    for config in (template, text):
        chosen.check(linearizer.build(config))
    for config in ("subgraph", {**text, "base": "path"}):
        with pytest.raises(GraphRecError, match="requires_template: false"):
            chosen.check(linearizer.build(config))


def test_lora_trains_alone(runs: Path, world: Graph, new_stage: Any) -> None:
    pytest.importorskip("peft")
    model = Model.from_pretrained(runs / "hugging_face")
    before = weights(model)
    config = {"name": "finetune_part", "adaptor": {"name": "lora", "rank": 2}}
    Trainer().fit(model, world, stage_of(new_stage, config, steps=2))
    after = {name.replace(".base_layer", ""): w for name, w in weights(model).items()}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("head.")}
    lora = {name: weight for name, weight in after.items() if ".lora_B." in name}
    assert lora
    assert all(bool(weight.any()) for weight in lora.values())  # 0 before they train


def test_losses_fall_with_a_prompt_alone(world: Graph, new_model: Any, new_stage: Any) -> None:
    model = new_model(world, dropout=0, structure={"position": 64})
    given = {"sampler": "history", "linearizer": "history", "objectives": ["next_item"]}
    Trainer().fit(model, world, new_stage(**given, steps=80))
    stage = new_stage(**given, steps=60, strategy="prompt_tune")
    losses = [row["loss/next_item"] for row in Trainer().fit(model, world, stage)]
    assert losses[-1] < 0.9 * losses[0]
