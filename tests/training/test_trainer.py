"""The trainer: losses fall, steps do not depend on how they are cut, mistakes are told."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from graphrec_pt import Graph, GraphRecError, Key, Model, Trainer
from graphrec_pt.training.optimizer_loop import MultiTaskModule
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage_run import StageRun
from graphrec_pt.training.tracking import read_metrics


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_losses_fall(world: Graph, new_model: Any, new_stage: Any) -> None:
    model = new_model(world)
    objective = {"name": "masked_node", "types": ["item", "brand"]}
    rows = Trainer(log_every=30).fit(model, world, new_stage(objectives=[objective], epochs=80))
    losses = [row["loss/masked_node"] for row in rows]
    assert losses[-1] < 0.8 * losses[0]
    assert rows[-1]["step"] == 240
    assert not model.training


def test_a_run_repeats_to_the_bit_and_leaves_the_random_state_alone(
    world: Graph, new_model: Any, new_stage: Any
) -> None:
    before = torch.random.get_rng_state()
    found = []
    for _ in range(2):
        model = new_model(world, dropout=0.3)
        Trainer(deterministic=True).fit(model, world, new_stage())
        found.append(weights(model))
    assert equal(*found)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_another_seed_is_another_run(world: Graph, new_model: Any, new_stage: Any) -> None:
    found = []
    for seed in (0, 1):
        model = new_model(world)
        Trainer(seed=seed).fit(model, world, new_stage())
        found.append(weights(model))
    assert not equal(*found)


def test_accumulation_is_one_big_batch(world: Graph, new_model: Any, new_stage: Any) -> None:
    found = []
    for batch, accumulate in ((40, 1), (20, 2), (10, 4)):
        model = new_model(world, dropout=0)
        stage = new_stage(batch=batch, accumulate=accumulate, steps=4)
        rows = Trainer(log_every=1).fit(model, world, stage)
        found.append(([row["loss/masked_node"] for row in rows], weights(model)))
    for losses, tensors in found[1:]:
        assert losses == pytest.approx(found[0][0], rel=1e-5)
        for name, tensor in tensors.items():
            torch.testing.assert_close(tensor, found[0][1][name], atol=2e-4, rtol=1e-3)


def test_micro_batches_without_terms_do_no_harm(
    world: Graph, new_model: Any, new_stage: Any
) -> None:
    objective = {"name": "masked_node", "types": ["region"]}  # not in every small batch
    stage = new_stage(objectives=[objective], batch=1, accumulate=3, steps=6)
    rows = Trainer(log_every=1).fit(new_model(world), world, stage)
    assert len(rows) == 6


def test_workers_make_no_difference(world: Graph, new_model: Any, new_stage: Any) -> None:
    found = []
    for options in ({"threads": 0}, {"threads": 2}):
        model = new_model(world)
        Trainer(**options).fit(model, world, new_stage())
        found.append(weights(model))
    assert equal(*found)


def test_stages_follow_one_another(world: Graph, new_model: Any, new_stage: Any) -> None:
    stages = [new_stage(name="first", steps=3), new_stage(name="second", steps=2)]
    rows = Trainer(log_every=1).fit(new_model(world), world, stages)
    assert [(row["stage"], row["step"]) for row in rows] == [
        ("first", 1), ("first", 2), ("first", 3), ("second", 4), ("second", 5),
    ]  # fmt: skip


def test_frozen_parameters_stay_to_the_bit(world: Graph, new_model: Any, new_stage: Any) -> None:
    model = new_model(world)
    before = weights(model)
    rules = [{"pattern": "model.backbone.*", "freeze": True}]
    Trainer().fit(model, world, new_stage(optimization={"lr": 1e-2, "rules": rules}))
    after = weights(model)
    for name, tensor in before.items():
        changed = not torch.equal(tensor, after[name])
        assert not (changed and name.startswith("backbone.")), name
    assert not torch.equal(before["embedding.special.weight"], after["embedding.special.weight"])
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_uncertainty_weights_are_learned(world: Graph, new_model: Any, new_stage: Any) -> None:
    stage = new_stage(balance="uncertainty", steps=5)
    learner = MultiTaskModule(new_model(world), stage.objectives, stage.balance)
    assert learner.log_variance is not None
    with torch.no_grad():
        learner.log_variance.fill_(1.0)
        run = StageRun(new_model(world), world, stage, Options(), Accelerator(cpu=True))
        corrupted = next(iter(run.loader)).corrupted
        (losses,) = learner.eval()(corrupted)[0].values()
    # e^{-1} L + 1, by hand
    assert float(losses.balanced) == pytest.approx(0.36787944 * float(losses.plain) + 1)
    Trainer().fit(new_model(world), world, stage)


def test_what_no_term_asks_for_is_left_alone(world: Graph, new_model: Any, new_stage: Any) -> None:
    model = new_model(world)
    before = weights(model)
    stage = new_stage(sampler="history", linearizer="history", steps=5)
    Trainer().fit(model, world, stage.model_copy(update={"roots": "user"}))
    after = weights(model)
    name = "features.of_type.of_{}.parts.0.table.weight".format
    assert torch.equal(before[name("brand")], after[name("brand")])
    assert not torch.equal(before[name("item")], after[name("item")])


def test_a_schedule_of_an_objective(world: Graph, new_model: Any, new_stage: Any) -> None:
    def turn(which: int) -> dict[str, Any]:
        return {
            "name": "masked_node",
            "label": f"turn {which}",
            "schedule": {"name": "alternate", "which": which},
        }

    stage = new_stage(objectives=[turn(0), turn(1)], steps=4)
    rows = Trainer(log_every=1).fit(new_model(world), world, stage)
    told = [sorted(name for name in row if name.startswith("loss/")) for row in rows]
    assert told == [["loss/turn 0"], ["loss/turn 1"]] * 2


def test_the_best_validation_is_kept_and_patience_ends(
    world: Graph, new_model: Any, new_stage: Any
) -> None:
    model, seen = new_model(world), []

    def validate(now: Model) -> dict[str, float]:
        assert not now.training
        seen.append(weights(now))
        return {"ndcg@10": [0.1, 0.3, 0.2, 0.25, 0.9][len(seen) - 1]}

    rows = Trainer().fit(model, world, new_stage(epochs=5, patience=2), validate=validate)
    assert len(seen) == 4
    assert equal(weights(model), seen[1])
    assert [row["valid/ndcg@10"] for row in rows if "valid/ndcg@10" in row] == [0.1, 0.3, 0.2, 0.25]


def test_averaged_weights_end_a_stage(world: Graph, new_model: Any, new_stage: Any) -> None:
    plain, averaged = new_model(world), new_model(world)
    Trainer().fit(plain, world, new_stage())
    Trainer(average=0.9).fit(averaged, world, new_stage())
    assert not equal(weights(plain), weights(averaged))


@pytest.mark.parametrize("precision", ["bf16", "no"])
def test_precision(world: Graph, new_model: Any, new_stage: Any, precision: str) -> None:
    rows = Trainer(precision=precision).fit(new_model(world), world, new_stage())
    assert rows[-1]["loss/masked_node"] < 6


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled_parts_learn_the_same(world: Graph, new_model: Any, new_stage: Any) -> None:
    found = []
    for compiled in (False, True):
        stage = new_stage(steps=4)
        run = Trainer(log_every=1, compile=compiled)
        rows = run.fit(new_model(world, dropout=0), world, stage)
        found.append([row["loss/masked_node"] for row in rows])
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_the_log_is_in_the_folder(
    world: Graph, new_model: Any, new_stage: Any, tmp_path: Path
) -> None:
    rows = Trainer(tmp_path, log_every=2).fit(new_model(world), world, new_stage())
    assert [line["step"] for line in read_metrics(tmp_path)] == [row["step"] for row in rows]


def test_length_bucketed_steps(world: Graph, new_model: Any, new_stage: Any) -> None:
    stage = new_stage(tokens=200)
    rows = Trainer().fit(new_model(world), world, stage)
    assert rows[-1]["waste"] < 0.1


def test_a_loss_that_is_not_finite_is_named(world: Graph, new_model: Any, new_stage: Any) -> None:
    model = new_model(world)
    with torch.no_grad():
        model.embedding.special.weight.fill_(float("nan"))
    with pytest.raises(GraphRecError, match=r"objective 'masked_node': expected a finite loss"):
        Trainer().fit(model, world, new_stage())


def test_a_folder_with_a_run_is_not_overwritten(
    world: Graph, new_model: Any, new_stage: Any, tmp_path: Path
) -> None:
    Trainer(tmp_path).fit(new_model(world), world, new_stage())
    files = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(GraphRecError, match="resume=True"):
        Trainer(tmp_path).fit(new_model(world), world, new_stage())
    stage = new_stage(optimization={"lr": 2e-2})
    with pytest.raises(GraphRecError, match=r"optimization.lr: expected 0.01 as in the checkpoint"):
        Trainer(tmp_path).fit(new_model(world), world, stage, resume=True)
    other = new_model(_other_graph())
    with pytest.raises(GraphRecError, match="the data that the checkpoint was made from"):
        Trainer(tmp_path).fit(other, _other_graph(), new_stage(), resume=True)
    assert files == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_a_truncated_checkpoint_is_told(
    world: Graph, new_model: Any, new_stage: Any, tmp_path: Path
) -> None:
    Trainer(tmp_path).fit(new_model(world), world, new_stage())
    last = max((tmp_path / "checkpoint").glob("step-*")) / "model.safetensors"
    last = last if last.exists() else last.with_name("tensors.safetensors")
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(GraphRecError, match="the tensors that were saved"):
        Trainer(tmp_path).fit(new_model(world), world, new_stage(), resume=True)


def test_stages_that_do_not_fit_are_told_all_at_once(
    world: Graph, new_model: Any, new_stage: Any
) -> None:
    stage = new_stage(
        objectives=[
            {"name": "masked_node", "types": ["itm"]},
            {"name": "masked_node", "types": ["usr"], "label": "second"},
        ],
        roots="nothing",
    )
    with pytest.raises(GraphRecError) as caught:
        Trainer().fit(new_model(world), world, stage)
    assert str(caught.value).splitlines() == [
        "stage 'pretrain' masked_node: expected a node type, got 'itm'; did you mean 'item'?",
        "stage 'pretrain' second: expected a node type, got 'usr'; did you mean 'user'?",
        "stage 'pretrain' roots: expected a node type or a relation, got 'nothing'; try one of "
        + ", ".join(sorted((*world.schema.node_names, *world.schema.relation_names))),
    ]


def test_what_sampler_and_linearizer_cannot_give_is_told_before_a_folder_is_made(
    world: Graph, new_model: Any, new_stage: Any, tmp_path: Path
) -> None:
    walk = {"name": "metapath", "relations": ["rates", "sold_by"]}
    for stage, message in (
        (new_stage(objectives=["path_autoregression"]), "tokens with RELATION.*'subgraph'"),
        (new_stage(sampler=walk, linearizer="path"), "at hop 2 of the metapath, got 'sold_by'"),
    ):
        with pytest.raises(GraphRecError, match=message):
            Trainer(tmp_path / "run").fit(new_model(world), world, stage)
    with pytest.raises(GraphRecError, match="a GPU for fp16"):
        Trainer(precision="fp16", cpu=True).fit(new_model(world), world, new_stage())
    assert not (tmp_path / "run").exists()


def _other_graph() -> Graph:
    from graphrec_pt.data.synthetic import synthetic_graph

    return synthetic_graph(120, 80, 1500, key=Key(4))
