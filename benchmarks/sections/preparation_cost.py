"""What sampler, linearizer and corruption cost of a training step, for every objective."""

import time
from dataclasses import replace
from statistics import median
from typing import Any

import polars as pl
import torch
from accelerate import Accelerator

from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Schema
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.objective import objective
from graphrec_pt.training.optimizer_loop import OptimizerLoop
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.stage_run import StageRun
from sections.steps import endless

HISTORY: dict[str, Any] = {
    "sampler": {"name": "history", "window": 50},
    "linearizer": "history",
}
SUBGRAPH: dict[str, Any] = {
    "sampler": {"name": "k_hop", "fanout": [10, 2]},
    "linearizer": "subgraph",
}
METAPATHS = [["rates", "rated_by", "rates"], ["rates", "has_brand", "rev_has_brand"]]
PAIRS: dict[str, Any] = {
    "sampler": {"name": "path_subgraph", "metapaths": METAPATHS},
    "linearizer": "subgraph",
}
PATHS: dict[str, Any] = {
    "sampler": {"name": "user_item_paths", "hops": 3},
    "linearizer": "path",
}
ITEMS: dict[str, Any] = {
    "sampler": {"name": "mcn", "relations": ["rated_by", "rates"]},
    "linearizer": "neighbor_set",
    "roots": "item",
}
BRAND = {"relation": "has_brand"}
STAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "associated_attribute": (HISTORY, BRAND),
    "classify": (
        HISTORY | {"linearizer": {"name": "history", "root": True}},
        {"node_type": "user", "column": "region"},
    ),
    "graph_structure": (ITEMS, {}),
    "history_contrast": (HISTORY, {}),
    "link": (PAIRS, {}),
    "masked_attribute": (HISTORY, BRAND),
    "masked_edge": (SUBGRAPH, {}),
    "masked_feature": (SUBGRAPH, {"columns": {"item": ["look"]}}),
    "masked_item": (HISTORY, {}),
    "masked_item_prediction": (HISTORY, {}),
    "masked_node": (SUBGRAPH, {}),
    "masked_token": (HISTORY, {}),
    "metapath_type": (PAIRS, {"metapaths": METAPATHS}),
    "neighbor_coding": (SUBGRAPH, {}),
    "next_behaviors": (HISTORY, {}),
    "next_item": (HISTORY, {}),
    "next_sentence": (HISTORY, {}),
    "pairwise": (HISTORY, {}),
    "path_autoregression": (PATHS, {}),
    "permuted": (HISTORY, {}),
    "pointwise": (HISTORY, {}),
    "pseudo_masked": (HISTORY, {}),
    "rearranged": (HISTORY, {}),
    "replaced_token": (HISTORY, {}),
    "segment_prediction": (HISTORY, {}),
    "sentence_order": (HISTORY, {}),
    "sequence_item": (HISTORY, {}),
    "sequence_sequence": (HISTORY, {}),
    "subgraph_contrast": (SUBGRAPH, {}),
}


def shop(quick: bool) -> Graph:
    """Return a shop of Beauty's size whose items have vectors."""
    sizes = (500, 300, 5_000) if quick else (22_000, 12_000, 200_000)
    graph = synthetic_graph(*sizes)
    items = graph.tables["item"]
    look = torch.randn(len(items), 16, generator=torch.Generator().manual_seed(0))
    column = pl.Series("look", look.tolist(), dtype=pl.Array(pl.Float32, 16))
    nodes = tuple(
        node.model_copy(update={"columns": {**node.columns, "look": "vector"}})
        if node.name == "item"
        else node
        for node in graph.schema.nodes
    )
    schema = Schema(nodes=nodes, relations=graph.schema.relations)
    tables = {**graph.tables, "item": items.with_columns(column)}
    return replace(graph, schema=schema, tables=tables)


def cost_of(graph: Graph, name: str, rounds: int, batch: int = 128) -> dict[str, Any]:
    """Return median milliseconds of preparing a batch and of the step on it."""
    where, options = STAGES[name]
    stage = Stage(**where, objectives=[{"name": name, **options}], batch=batch)
    structure = {"type": None, "position": 512, "hop": 8}
    backbone = {"name": "graph_transformer", "width": 64, "layers": 2, "heads": 2}
    model = Model.of(graph, backbone={**backbone, "structure": structure})
    run = StageRun(model, graph, stage, Options(threads=0), Accelerator(cpu=True))
    fitting = OptimizerLoop(run.learner, stage, run.groups, 10_000, 0, run.accelerator)
    batches = endless(run.loader.epoch)
    prepared, stepped, tokens = [], [], []
    for number in range(rounds + 2):
        begin = time.perf_counter()
        epoch, made = next(batches)
        middle = time.perf_counter()
        fitting.step(number, epoch, [made])
        if number > 1:  # the first two compile and fill caches
            prepared.append(1e3 * (middle - begin))
            stepped.append(1e3 * (time.perf_counter() - middle))
            tokens.append(made.tokens)
    share = median(p / (p + s) for p, s in zip(prepared, stepped, strict=True))
    return {
        "objective": name,
        "tokens": median(tokens),
        "preparation_ms": median(prepared),
        "step_ms": median(stepped),
        "share": share,
    }


def unmeasured() -> list[str]:
    """Return the objectives that the table above does not set up."""
    return sorted(set(objective.names()) - STAGES.keys())
