"""Every strategy: what it trains changes, the rest stays to the bit, with either backbone."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec_pt import Features, Graph, GraphRecError, Key, Model, Stage, Trainer
from graphrec_pt.models.view import View
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.training.strategy import NodeEncoding, encoded_nodes, strategy

WIDTH = 16
TEMPLATE = {
    "sampler": {"name": "metapath", "relations": ["rates"]},
    "linearizer": {"name": "template", "pattern": "(user)-[rates]->(item)"},
    "objectives": [{"name": "masked_node", "masking": {"share": 1.0}}],
}


@dataclass(frozen=True)
class Row:
    """A strategy under test.

    Args:
        config: What a recipe would say.
        trains: Globs over the weights of the model and of the head, as ``head.*``, that change.
        count: Numbers that train in the graph transformer, worked out by hand; None for all.
        idle: Weights that this one step has no use for.
        stage: What the stage needs beside.
    """

    config: dict[str, Any]
    trains: tuple[str, ...]
    count: int | None = None
    idle: tuple[str, ...] = ()
    stage: dict[str, Any] = field(default_factory=dict)


HEAD = WIDTH * WIDTH + WIDTH + 2 * WIDTH  # dense and norm of a masked node's head
MAP = (WIDTH + 1) * WIDTH
BOTTLENECKS = 2 * (WIDTH * 4 + 4 + 4 * WIDTH + WIDTH)
TABLES = (14 + 7) * WIDTH  # relations and special tokens
FACTS = 12  # its relations that are no interactions
ROWS = [
    Row({"name": "pretrain"}, ("*",)),
    Row({"name": "finetune_whole"}, ("*",)),
    Row(
        {"name": "finetune_part", "adaptor": {"name": "bottleneck", "inner": 4}},
        ("*.adaptor.*", "head.*"),
        BOTTLENECKS + HEAD,
    ),
    Row(
        {"name": "finetune_part", "adaptor": None, "trains": ["model.embedding.*", "heads.*"]},
        ("embedding.special.*", "head.*"),
        TABLES + HEAD,
    ),
    Row({"name": "finetune_extra"}, ("head.*",), HEAD),
    Row({"name": "prompt_tune"}, ("prompt.*",), 8 * WIDTH),
    Row(
        {"name": "prompt_tune", "prompt": {"name": "prefix", "size": 3}},
        ("prompt.*",),
        3 * WIDTH + 2 * MAP,
    ),
    Row(
        {"name": "prompt_tune", "prompt": {"name": "personalised", "size": 2}},
        ("prompt.*",),
        WIDTH + MAP + 2 * MAP,
        ("prompt.nobody.weight",),
    ),
    Row(
        {"name": "prompt_tune", "prompt": {"name": "knowledge", "size": 2, "learned": 1}},
        ("prompt.*",),
        (FACTS + 1) * WIDTH**2 + WIDTH + WIDTH**2 + 3 * WIDTH + 2 * MAP,
    ),
    Row(
        {"name": "prompt_tune", "prompt": {"name": "gate", "types": ["item", "brand"]}},
        ("features.*.prompt.*",),
        2 * MAP,
    ),
    Row({"name": "tune_with_fixed_prompt"}, ("*",), stage=TEMPLATE),
    Row({"name": "prompt_free"}, (), 0, stage=TEMPLATE),
    Row({"name": "prompt_and_tune"}, ("*",)),
]


def ident(row: Row) -> str:
    more = row.config.get("prompt") or row.config.get("adaptor") or row.config.get("trains", "")
    return f"{row.config['name']} {more.get('name') if isinstance(more, dict) else more}".strip()


def weights(model: Model) -> dict[str, Tensor]:
    """Return copies of the weights of a model and of the one head that it was trained with."""
    named = model.state_dict().items()
    return {name.replace("heads.of_masked_node", "head"): w.clone() for name, w in named}


def stage_of(new_stage: Any, row: Row, **options: Any) -> Stage:
    given = {"steps": 1, "roots": "user", "strategy": row.config, **row.stage, **options}
    return new_stage(**given)


def test_every_strategy_has_a_row() -> None:
    ours = {n for n in strategy.names() if strategy.get(n).__module__.startswith("graphrec_pt.")}
    assert ours == {row.config["name"] for row in ROWS}
    assert len(ours) == 8


@pytest.mark.parametrize("row", ROWS, ids=ident)
def test_one_step_changes_what_trains_and_nothing_else(
    pretrained: Path, world: Graph, new_stage: Any, row: Row
) -> None:
    model = Model.from_pretrained(pretrained)
    before, stage = weights(model), stage_of(new_stage, row)
    rows = Trainer().fit(model, world, stage)
    after = weights(model)
    assert before.keys() <= after.keys()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    attached = after.keys() - before.keys()
    allowed = {n for n in after if any(fnmatchcase(n, pattern) for pattern in row.trains)}
    assert changed <= allowed
    assert attached <= allowed
    assert all(any(fnmatchcase(n, p) for n in changed | attached) for p in row.trains)
    still = Model.from_pretrained(pretrained)
    Trainer().fit(still, world, stage_of(new_stage, row, optimization={"lr": 1e-12}))
    same = {n for n in attached if torch.allclose(weights(still)[n], after[n], rtol=0, atol=1e-9)}
    assert same == set(row.idle)
    assert len(rows) == (0 if row.count == 0 else 1 + bool(stage.strategy.warmup_only))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


@pytest.mark.parametrize("row", ROWS, ids=ident)
def test_counts_of_what_trains(
    ours: Path, world: Graph, new_stage: Any, row: Row, caplog: Any
) -> None:
    model = Model.from_pretrained(ours)
    with caplog.at_level("INFO", logger="graphrec_pt.training.stage_run"):
        Trainer().fit(model, world, stage_of(new_stage, row))
    told = [record.getMessage() for record in caplog.records]
    assert f"strategy {row.config['name']}:" in told[-1]
    found = int(told[-1].splitlines()[-1].split()[1].replace(",", ""))
    every = sum(p.numel() for p in model.parameters())
    assert every == model.num_parameters + HEAD
    assert found == (every if row.count is None else row.count)


def test_the_table_of_a_part(ours: Path, world: Graph, new_stage: Any, caplog: Any) -> None:
    row = next(row for row in ROWS if row.config["name"] == "finetune_part")
    model = Model.from_pretrained(ours)
    with caplog.at_level("INFO", logger="graphrec_pt.training.stage_run"):
        Trainer().fit(model, world, stage_of(new_stage, row))
    lines = caplog.records[-1].getMessage().splitlines()[1:]
    parts = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert lines[0].split() == ["trains", "frozen"]
    assert parts["adaptor"] == [f"{BOTTLENECKS}", "0"]
    assert parts["heads"] == [f"{HEAD}", "0"]
    assert parts["model.embedding"] == ["0", f"{TABLES}"]
    assert set(parts) == {
        "model.features", "model.embedding", "model.backbone", "adaptor", "heads", "all",
    }  # fmt: skip


def test_prompt_free_takes_no_step_and_no_gradient(
    pretrained: Path, world: Graph, new_stage: Any
) -> None:
    model = Model.from_pretrained(pretrained)
    before, seen = weights(model), []

    def validate(now: Model) -> dict[str, float]:
        seen.append(torch.is_grad_enabled())
        return {"ndcg@10": 0.5}

    row = Row({"name": "prompt_free"}, (), stage=TEMPLATE)
    rows = Trainer().fit(model, world, stage_of(new_stage, row, epochs=3), validate=validate)
    assert seen == [False]
    assert [(row["step"], row["valid/ndcg@10"]) for row in rows] == [(0, 0.5)]
    assert all(parameter.grad is None for parameter in model.parameters())
    after = weights(model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_frozen_model_gets_no_gradient(ours: Path, world: Graph, new_stage: Any) -> None:
    model = Model.from_pretrained(ours)
    Trainer().fit(model, world, stage_of(new_stage, Row({"name": "prompt_tune"}, ())))
    given = {name for name, p in model.named_parameters() if p.grad is not None}
    assert given == {"prompt.vectors.weight"}


def test_a_stage_comes_back_from_its_config(new_stage: Any) -> None:
    for row in ROWS:
        stage = new_stage(strategy=row.config, **row.stage)
        assert Stage(**stage.model_dump(mode="json")) == stage


MCN = {"name": "mcn", "fanout": [4, 2], "size": 3, "weighted": False}
ENCODED = {"node_type": "item", "sampler": MCN, "linearizer": "neighbor_set", "norm": 2.0}
OF_ITEM = "features.of_type.of_item.parts.0.table.weight"


@pytest.fixture
def model(world: Graph) -> Model:
    features = Features(by_type={"item": [{"name": "id", "zero": True}, "number"], "*": ["id"]})
    shape = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": {"hop": 4}}
    return Model.of(world, features=features, backbone=shape)


def test_one_node_by_hand(model: Model, world: Graph) -> None:
    chosen = NodeEncoding(**ENCODED)
    found = encoded_nodes(model, world, chosen)
    assert found.shape == (80, 16)
    assert torch.allclose(found.norm(dim=1), torch.tensor(2.0))
    root = torch.tensor([world.nodes("item")[7]])
    key = Key(0).named("encoding")
    sample = sampler.build(MCN).sample(world, root, key)
    tokens = linearizer.build("neighbor_set").linearize(world, sample, key)
    with torch.no_grad():
        state = model.eval().encode(View(tokens)).hidden[0]  # the root stands first
    assert torch.allclose(found[7], 2 * state / state.norm(), atol=1e-6)


def test_a_stage_begins_with_them_and_a_twin_does_not(model: Model, world: Graph) -> None:
    table = model.get_parameter(OF_ITEM)
    assert not table.any()  # says nothing until it is filled
    frozen = ["model.features.*"]
    before = encoded_nodes(model, world, NodeEncoding(**ENCODED))
    strategy: Any = {"name": "finetune_whole", "init_embeddings_from": ENCODED, "frozen": frozen}
    strategy |= {"reinit": ["model.backbone.*"]}
    stage = Stage(
        sampler="history",
        linearizer="history",
        objectives=["next_item"],
        steps=1,
        strategy=strategy,
    )
    Trainer().fit(model, world, stage)
    assert torch.equal(table, before)  # of the backbone before its reset, frozen since
    assert Stage(**stage.model_dump(mode="json")) == stage


def test_types_without_a_table_are_told(world: Graph, new_model: Any) -> None:
    features = Features(by_type={"item": ["number"], "*": ["id"]})
    backbone = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": {"hop": 4}}
    model = Model.of(world, features=features, backbone=backbone)
    given: dict[str, Any] = {"sampler": "history", "linearizer": "history", "steps": 1}
    given |= {"objectives": ["next_item"]}
    for node_type, told in (("item", "an id feature to fill"), ("itm", "did you mean 'item'")):
        strategy = {
            "name": "finetune_whole",
            "init_embeddings_from": {**ENCODED, "node_type": node_type},
        }
        with pytest.raises(GraphRecError, match=told):
            Trainer().fit(model, world, Stage(strategy=strategy, **given))
