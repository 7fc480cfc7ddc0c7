"""Training steps that can be taken one by one: ours packed, ours padded, RecBole's."""

import sys
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.objective import TrainingExamples
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.optimizer_loop import OptimizerLoop
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.stage_run import StageRun

LENGTH, BATCH = 50, 256


class Done(NamedTuple):
    """What a step got through.

    Args:
        targets: Items that were predicted.
        tokens: Tokens that were read, without padding.
    """

    targets: int
    tokens: int


Step = Callable[[], Done]


def stage_of(objective: Any, batch: int = BATCH, **options: Any) -> Stage:
    """Return next-item or masked-item training on histories."""
    return Stage(
        sampler={"name": "history", "window": LENGTH},
        linearizer="history",
        objectives=[objective],
        batch=batch,
        **options,
    )


def model_of(graph: Graph, width: int = 64, **options: Any) -> Model:
    """Return two layers with two heads, as SASRec's and BERT4Rec's defaults in RecBole."""
    structure = {"position": LENGTH + 1}
    sizes = {"width": width, "layers": 2, "heads": 2, "inner": 4 * width, "dropout": 0.5}
    backbone = {"name": "graph_transformer", "structure": structure, **sizes, **options}
    return Model.of(graph, backbone=backbone)


def packed(graph: Graph, stage: Stage, model: Model) -> Step:
    """Return our training as the trainer does it, sampling in a thread of its own."""
    run = StageRun(model, graph, stage, Options(), Accelerator(cpu=True))
    fitting = OptimizerLoop(run.learner, stage, run.groups, 1_000_000, 0, run.accelerator)
    batches, done = endless(run.loader.epoch), iter(range(1_000_000))

    def step() -> Done:
        epoch, batch = next(batches)
        fitting.step(next(done), epoch, [batch])
        return Done(sum(each.count for each in batch.corrupted.values()), batch.tokens)

    return step


def padded(graph: Graph, stage: Stage, model: Model, *, every_place: bool) -> Step:
    """Return the same model and batches with every sequence padded to the longest.

    Args:
        graph: What is trained on.
        stage: Next-item training.
        model: Trained in place.
        every_place: Score the catalogue at every place, padding too, and let the cross-entropy
            leave out what has no target, as implementations of ``[B, L]`` do; else where there
            is a target alone, with our own loss.
    """
    run = StageRun(model, graph, stage, Options(), Accelerator(cpu=True))
    (label,) = run.learner.terms
    head = run.learner.heads[f"of_{label}"]
    optimizer = torch.optim.AdamW(run.learner.parameters(), 1e-3)
    batches = endless(run.loader.epoch)
    run.learner.train()

    def step() -> Done:
        _, batch = next(batches)
        dense = _padded(batch.corrupted[label])
        with model.cached_embeddings():
            hidden = model.encode(dense.views[0]).hidden
            if every_place:
                table = model.table("item")
                target = torch.full((len(hidden),), -100)
                first = model.spec.ids("item").start
                target[dense.targets["token"]] = dense.targets["node"] - first
                left, right = head.sides(hidden, table)  # type: ignore[operator]
                loss = cross_entropy(left @ right.T, target)
            else:
                objective = run.learner.terms[label].objective
                loss = objective.loss([model.encode(dense.views[0])], dense, model, head)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(run.learner.parameters(), 1.0)
        optimizer.step()
        return Done(dense.count, batch.tokens)

    return step


def recbole(graph: Graph, name: str, folder: Path) -> Step:
    """Return training of a model of RecBole 1.2.1 on the same histories.

    It makes a sample of every prefix; a batch has 2,048 of them by default.
    """
    for missing in ("ray", "ray.tune"):  # imported by RecBole, not needed to train
        sys.modules.setdefault(missing, types.ModuleType(missing))
    for old, now in (("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)):
        setattr(np, old, now)  # names that numpy 2 removed and RecBole 1.2.1 still uses
    warnings.simplefilter("ignore")  # of pandas 3, at every column that RecBole fills
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer

    _write_atomic(graph, folder / "histories")
    settings: dict[str, Any] = {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": LENGTH,
        "hidden_size": 64,
        "inner_size": 256,
        "n_layers": 2,
        "n_heads": 2,
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }
    sys.argv = sys.argv[:1]  # its configuration reads the command line
    threads = torch.get_num_threads()
    config = Config(model=name, dataset="histories", config_dict=settings)
    train, _, _ = data_preparation(config, create_dataset(config))
    model = get_model(name)(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
    torch.set_num_threads(threads)
    batches = endless(lambda _: iter(train))
    model.train()

    def step() -> Done:
        _, interaction = next(batches)
        trainer.optimizer.zero_grad()
        loss = model.calculate_loss(interaction)
        loss.backward()
        trainer.optimizer.step()
        length = interaction["item_length"]
        targets = len(length)
        if name == "BERT4Rec":
            targets = int((interaction["MASK_INDEX"] > 0).sum())
        return Done(targets, int(length.sum()))

    return step


def endless(epoch: Callable[[int], Iterator[Any]]) -> Iterator[tuple[int, Any]]:
    """Yield (epoch, batch) of one epoch after another."""
    number = 0
    while True:
        for batch in epoch(number):
            yield number, batch
        number += 1


def _padded(corrupted: TrainingExamples) -> TrainingExamples:
    """Return the one view with every sequence as long as the longest."""
    (view,) = corrupted.views
    tokens = view.tokens
    longest = int(tokens.lengths().max())
    place = tokens.sequence_of() * longest + tokens.places()  # [T]
    size = len(tokens) * longest
    id = torch.full((size,), int(Special.PAD)).index_copy(0, place, tokens.id)
    kind = torch.full((size,), int(Kind.SPECIAL)).index_copy(0, place, tokens.kind)
    ptr = torch.arange(len(tokens) + 1) * longest
    dense = Tokens.of(id, kind, ptr)
    targets = {**corrupted.targets, "token": place[corrupted.targets["token"]]}
    return replace(corrupted, views=(replace(view, tokens=dense),), targets=targets)


def _write_atomic(graph: Graph, folder: Path) -> None:
    """Write interactions as RecBole reads them; time is the place in the history."""
    folder.mkdir(exist_ok=True)
    edges = graph.edges(graph.schema.interaction().name)
    columns: dict[str, Tensor] = {
        "user_id:token": edges.source,
        "item_id:token": edges.target,
        "timestamp:float": torch.arange(len(edges.source)),
    }
    frame = pl.DataFrame({name: column.numpy() for name, column in columns.items()})
    frame.write_csv(folder / "histories.inter", separator="\t")
