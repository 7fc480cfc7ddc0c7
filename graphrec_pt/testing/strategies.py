"""What every strategy promises: a step changes what it names, and nothing else by a bit."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.testing.configs import check_config
from graphrec_pt.testing.promise import promise
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.strategy import Strategy, strategy
from graphrec_pt.training.trainer import Trainer

PATTERN = "(user)-[rates]->(MASK:item)"


def _stage(**options: object) -> Stage:
    given: dict[str, object] = {
        "sampler": {"name": "history", "window": 4},
        "linearizer": "history",
        "objectives": ["masked_node"],
        "roots": "user",
        "batch": 16,
        "steps": 1,
        "optimization": {"lr": 1e-2, "weight_decay": 0.1},
    }
    return Stage(**{**given, **options})


def _pretrained(graph: Graph) -> Model:
    structure = {"type": None, "position": 16, "hop": 4, "parent": 16}
    config = {"name": "graph_transformer", "width": 8, "layers": 1, "structure": structure}
    model = Model.of(graph, backbone=config)
    Trainer().fit(model, graph, _stage())
    return model


def check_strategy(
    config: str | Mapping[str, object] | Strategy, graph: Graph, pattern: str = PATTERN
) -> None:
    """Check that one step of training changes what a strategy trains, and nothing else.

    Args:
        config: Its name, its config or the strategy itself.
        graph: A graph with users who rate items, such as
            :func:`~graphrec_pt.testing.example_graph`.
        pattern: The hard prompt for a strategy that requires one.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> check_strategy("finetune_extra", example_graph())
    """
    chosen = strategy.build(config)
    check_config(strategy, chosen)
    model = _pretrained(graph)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    template = {"name": "template", "pattern": pattern}
    asked = {"linearizer": template} if chosen.requires_template else {}
    Trainer().fit(model, graph, _stage(strategy=chosen, name="adapt", **asked))
    changed = {
        name
        for name, p in model.named_parameters()
        if name not in before or not torch.equal(p, before[name])
    }
    for name in sorted(changed & set(before)):
        full = name if name.startswith("heads.") else f"model.{name}"
        trains = any(fnmatchcase(full, each) for each in chosen.trains)
        trains |= any(fnmatchcase(full, each) for each in (*chosen.reinit, *chosen.warmup_only))
        frozen = any(fnmatchcase(full, each) for each in chosen.frozen)
        promise(trains and not frozen, chosen, f"{full}, which it does not train, stays to the bit")
