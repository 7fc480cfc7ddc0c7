"""A run on a GPU does what it does on the CPU: losses, checkpoints, ranks."""

from pathlib import Path
from typing import Any

import pytest
import torch

from graphrec_pt import Key, Model, Split, Stage, Trainer, split
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.predict.predictor import Predictor

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
WINDOW, STEPS = 8, 6


@pytest.fixture(scope="module")
def shop() -> Split:
    return split(synthetic_graph(40, 30, 400, key=Key(5)))


def run(shop: Split, folder: Path, **options: Any) -> tuple[Model, Stage, list[dict[str, Any]]]:
    stage = Stage(
        sampler={"name": "history", "window": WINDOW},
        linearizer="history",
        objectives=["next_item", {"name": "masked_item", "weight": 0.5}],
        batch=20,
        steps=STEPS,
        optimization={"lr": 1e-2},
    )
    # Heads of 16 numbers: what FlexAttention takes.
    sizes = {"width": 32, "heads": 2, "layers": 2, "structure": {"position": WINDOW}}
    model = Model.of(shop.train, backbone={"name": "graph_transformer", "dropout": 0.0, **sizes})
    rows = Trainer(folder, log_every=1, **options).fit(
        model, shop.train, stage, resume=folder.exists()
    )
    return model, stage, rows


def losses(rows: list[dict[str, Any]]) -> list[float]:
    return [float(row["loss/next_item"]) for row in rows if "loss/next_item" in row]


@pytest.mark.parametrize(("precision", "tolerance"), [("no", 1e-3), ("bf16", 5e-2)])
def test_the_losses_of_the_cpu(
    shop: Split, tmp_path: Path, precision: str, tolerance: float
) -> None:
    _, _, expected = run(shop, tmp_path / "cpu", cpu=True)
    model, _, found = run(shop, tmp_path / "gpu", precision=precision, average=0.5)
    assert all(parameter.is_cuda for parameter in model.parameters())
    assert len(losses(found)) == STEPS
    assert losses(found) == pytest.approx(losses(expected), rel=tolerance)


def test_a_stopped_run_goes_on(shop: Split, tmp_path: Path) -> None:
    whole, _, _ = run(shop, tmp_path / "whole", checkpoint_every=2, keep=9)
    folder = tmp_path / "whole" / "checkpoint"
    for each in sorted(folder.iterdir()):
        if each.name.endswith(str(STEPS)):
            for file in each.iterdir():
                file.unlink()
            each.rmdir()
    again, _, rows = run(shop, tmp_path / "whole", checkpoint_every=2, keep=9)
    assert 0 < len(losses(rows)) < STEPS
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, atol=1e-5, rtol=1e-4)


def test_ranks_of_the_cpu(shop: Split, tmp_path: Path) -> None:
    model, stage, _ = run(shop, tmp_path / "gpu")
    users = torch.tensor(list(shop.graph.nodes("user")))
    tables = []
    for device in ("cuda", "cpu"):
        model.to(device)
        scorer = Predictor(model, shop.history("test"), stage=stage).scorer(users)
        assert scorer.queries.device.type == device
        tables.append(rank_targets(scorer, shop, "test").table["rank"].to_list())
    assert tables[0] == pytest.approx(tables[1], abs=1)  # scores may tie up to rounding
    saved = Model.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert all(not parameter.is_cuda for parameter in saved.parameters())
