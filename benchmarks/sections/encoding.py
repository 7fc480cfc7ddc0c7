"""What it costs to encode the texts of a training step: each reading, each text, or old vectors."""

import time
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.features.seeded import seeded
from graphrec_pt.features.text import TextFeature
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec

WORDS, WIDTH, LAYERS = 4_096, 128, 4
READ = 32 * 50
"""News that a step reads: histories of 50 of 32 readers."""
START = 2_000  # first step that is measured: SpeedyFeed then looks up 98 % of the texts


def news(count: int) -> Graph:
    """Return news with texts of about 24 words."""
    draw = np.random.default_rng(0)
    sizes = np.clip(draw.lognormal(np.log(24), 0.4, count), 4, 60).astype(int)
    texts = [" ".join(f"w{n}" for n in draw.integers(0, WORDS, size)) for size in sizes]
    clicks = pl.DataFrame({"user": np.arange(count) % 50, "item": np.arange(count)})
    tables = {"clicks": clicks, "items": pl.DataFrame({"id": np.arange(count), "title": texts})}
    ends = {"source": "user.user", "target": "item.item"}
    plan = Plan(
        nodes={
            "user": NodePlan(),
            "item": NodePlan(table="items", id="id", columns={"title": "text"}, title="title"),
        },
        edges={"clicks": EdgePlan(table="clicks", interaction=True, **ends)},
    )
    return build(plan, tables)


def feature_of(graph: Graph, **options: Any) -> TextFeature:
    """Return the text feature of the news, whose encoder trains."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = BertModel(config)
    named = {"name": "text", "encoder": encoder, "tokenizer": f"hashed:{WORDS}", "train": "all"}
    chosen = featurizer.build({**named, **options})
    feature = seeded(lambda: chosen.build(GraphSpec.of(graph), "item", WIDTH), 0)
    assert isinstance(feature, TextFeature)
    feature.attach_graph(graph)
    return feature


def read(count: int, step: int) -> Tensor:
    """Return the news that a step reads, of which a few are read often: int64 ``[READ]``."""
    draw = np.random.default_rng(step)
    return torch.from_numpy((draw.zipf(1.3, READ) - 1) % count)


def training(feature: TextFeature, count: int, steps: int, *, distinct: bool = True) -> float:
    """Return the median seconds of a step: forward and backward through the encoder."""
    feature.train()
    taken = []
    for number in range(steps + 3):  # the first three fill the cache
        nodes, begin = read(count, number), time.perf_counter()
        feature.begin_step(START + number)
        assert feature.encoder is not None
        vectors = feature.look(nodes) if distinct else feature._filled(feature.encoder, nodes)
        if vectors.requires_grad:
            torch.autograd.backward(vectors.square().mean())
        feature.finish_step()
        taken.append(time.perf_counter() - begin)
        feature.zero_grad()
    return median(taken[3:])


def encoding(count: int, steps: int) -> list[dict[str, Any]]:
    """Return the cost of each way, and how much faster than the first it is.

    Args:
        count: News.
        steps: Steps of each way.
    """
    graph = news(count)
    rows: list[dict[str, Any]] = []
    ways: dict[str, dict[str, Any]] = {
        "each reading": {},
        "each text once": {},
        "vectors of 20 steps": {"refresh": {"beta": 0.002, "age": 20}},
        "the same, half the layers": {
            "refresh": {"beta": 0.002, "age": 20},
            "layers": LAYERS // 2,
        },
    }
    for name, options in ways.items():
        feature = feature_of(graph, **options)
        seconds = training(feature, count, steps, distinct=name != "each reading")
        rows.append({"what": f"training step, {name}", "seconds": seconds})
    for row in rows:
        row["faster"] = rows[0]["seconds"] / row["seconds"]
    readers: list[dict[str, Any]] = []
    for name, layers in (("teacher", LAYERS), ("student with half the layers", LAYERS // 2)):
        feature = feature_of(graph, layers=layers).eval()
        every = torch.arange(count)
        times: list[float] = []
        for _ in range(3):
            begin = time.perf_counter()
            with torch.no_grad():
                feature.look(every)
            times.append(time.perf_counter() - begin)
        readers.append({"what": f"all texts, {name}", "seconds": median(times)})
    for row in readers:
        row["faster"] = readers[0]["seconds"] / row["seconds"]
    return rows + readers
