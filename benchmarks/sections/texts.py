"""A language model on invented reviews: ours packed, and plain transformers with padding."""

import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.generation import Generation
from graphrec_pt.objectives.language_model import LanguageModel
from graphrec_pt.predict.generator import generate
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.training.optimizer_loop import OptimizerLoop
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.stage_run import StageRun
from sections.steps import Done, Step, endless

WORDS, WIDTH, LAYERS, HEADS, POSITIONS = 4_000, 128, 2, 4, 256
BATCH, PROMPTS, NEW = 32, 16, 32
"""Texts of a training step; prompts of a generation, and the tokens that follow each."""
PAD, BOS, EOS = 0, 1, 2


def reviews(count: int) -> Graph:
    """Return reviews whose lengths are skewed, as those of people are: about 40 words, up to 120.

    The prompt is the description of the item, about 20 words.
    """
    draw = np.random.default_rng(0)
    users, items = max(count // 8, 2), max(count // 12, 2)

    def text(mean: float, most: int) -> str:
        size = int(np.clip(draw.lognormal(np.log(mean), 0.6), 2, most))
        return " ".join(f"w{n}" for n in draw.zipf(1.3, size) % WORDS)

    pairs = draw.integers(0, [users, items], (count, 2))
    tables = {
        "reviews": pl.DataFrame(
            {
                "user": pairs[:, 0],
                "item": pairs[:, 1],
                "id": np.arange(count),
                "text": [text(32, 120) for _ in range(count)],
                "time": np.arange(count),
            }
        ),
        "items": pl.DataFrame(
            {"id": np.arange(items), "about": [text(18, 60) for _ in range(items)]}
        ),
    }
    words: dict[str, Any] = {"text": "text"}
    about: dict[str, Any] = {"about": "text"}
    plan = Plan(
        nodes={
            "user": NodePlan(),
            "item": NodePlan(table="items", id="id", columns=about),
            "review": NodePlan(table="reviews", id="id", columns=words),
        },
        edges={
            "wrote": EdgePlan(
                table="reviews",
                source="user.user",
                target="item.item",
                time="time",
                event="review.id",
                interaction=True,
            )
        },
        time_unit="ordinal",
    )
    return build(plan, tables)


def model_of(graph: Graph) -> Model:
    """Return our model around GPT-2."""
    config = {
        "model_type": "gpt2",
        "n_embd": WIDTH,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_positions": POSITIONS,
        "vocab_size": WORDS,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    backbone = {
        "name": "hugging_face",
        "model": config,
        "words": True,
        "mode": "causal",
        "structure": {"position": POSITIONS},
    }
    return Model.of(graph, backbone=backbone)


def stage_of(graph: Graph) -> Stage:
    """Return the training: a description, and then the review."""
    pair = {"name": "k_hop", "fanout": [1], "relations": ["rev_wrote"]}
    stage = Stage(
        sampler={"name": "both_ends", "source": pair, "target": {**pair, "relations": ["wrote"]}},
        linearizer={
            "name": "verbalizer",
            "phrases": ["{item.about} :"],
            "tokenizer": f"hashed:{WORDS}",
        },
        objectives=[
            {
                "name": "language_model",
                "answer": {"of": "event", "column": "text", "longest": 120},
                "tokenizer": f"hashed:{WORDS}",
            }
        ],
        roots="wrote",
        batch=BATCH,
    )
    rows, _ = sequences(graph, stage, 512)
    mean = sum(map(len, rows)) / len(rows)
    return stage.model_copy(update={"tokens": int(mean * BATCH)})


def sequences(graph: Graph, stage: Stage, count: int) -> tuple[list[list[int]], list[int]]:
    """Return whole sequences as ids of one vocabulary, and the tokens of each prompt with BOS."""
    run = StageRun(model_of(graph), graph, stage, Options(), Accelerator(cpu=True))
    rows: list[list[int]] = []
    prompts: list[int] = []
    for batch in run.loader.epoch(0):
        view = batch.corrupted["language_model"].views[0]
        tokens, asked = view.tokens, view.readable
        assert asked is not None
        special = (tokens.kind == Kind.SPECIAL).tolist()
        ids = tokens.id.tolist()
        for low, high, size in zip(
            tokens.ptr[:-1].tolist(), tokens.ptr[1:].tolist(), asked.tolist(), strict=True
        ):
            rows.append([ids[n] if not special[n] else EOS for n in range(low, high)])
            rows[-1][size] = BOS
            prompts.append(size + 1)
        if len(rows) >= count:
            break
    return rows[:count], prompts[:count]


def our_training(count: int) -> Step:
    """Return our steps, sampling and linearizing in a thread as the trainer does."""
    graph = reviews(count)
    stage, model = stage_of(graph), model_of(graph)
    run = StageRun(model, graph, stage, Options(), Accelerator(cpu=True))
    fitting = OptimizerLoop(run.learner, stage, run.groups, 1_000_000, 0, run.accelerator)
    batches, done = endless(run.loader.epoch), iter(range(1_000_000))

    def step() -> Done:
        epoch, batch = next(batches)
        fitting.step(next(done), epoch, [batch])
        corrupted = batch.corrupted["language_model"]
        return Done(corrupted.count, len(corrupted.views[0].tokens.id))

    return step


def peer_of(graph: Graph) -> Any:
    """Return the language model of transformers with our first weights."""
    from transformers import GPT2LMHeadModel

    network: Any = model_of(graph).backbone
    peer = GPT2LMHeadModel(network.config)
    weights = {f"transformer.{name}": w for name, w in network.model.state_dict().items()}
    peer.load_state_dict(weights, strict=False)
    with torch.no_grad():
        peer.transformer.wte.weight.copy_(network.text_embedding.weight)
    return peer


def their_training(count: int) -> Step:
    """Return steps of plain transformers: random batches, padded, labels where an answer is."""
    graph = reviews(count)
    rows, prompts = sequences(graph, stage_of(graph), count)
    model = peer_of(graph).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def epoch(number: int) -> Any:
        draw = torch.Generator().manual_seed(number)
        order = torch.randperm(len(rows), generator=draw)
        yield from torch.split(order, BATCH)

    batches = endless(epoch)

    def step() -> Done:
        chosen = next(batches)[1].tolist()
        ids, mask = padded([rows[n] for n in chosen], left=False)
        labels = ids.masked_fill(mask == 0, -100)
        for place, n in enumerate(chosen):
            labels[place, : prompts[n]] = -100
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return Done(int((labels >= 0).sum()), int(mask.sum()))

    return step


def our_generation(count: int) -> Step:
    """Return our cached greedy generation after a batch of prompts."""
    graph = reviews(count)
    stage, model = stage_of(graph), model_of(graph).eval()
    run = StageRun(model, graph, stage, Options(), Accelerator(cpu=True))
    (term,) = run.learner.terms.values()
    objective = term.objective
    assert isinstance(objective, LanguageModel)
    corrupted = next(iter(run.loader.epoch(0))).corrupted["language_model"]
    tokens, asked = corrupted.views[0].tokens, corrupted.views[0].readable
    assert asked is not None
    kept = tokens.places() <= asked[tokens.sequence_of()]
    prompts = tokens.take(kept.nonzero().squeeze(1)).select(torch.arange(PROMPTS))
    wanted = Generation(longest=NEW, shortest=NEW)
    view = View(prompts, "causal")

    def step() -> Done:
        made = generate(model, view, wanted, Key(0), head=torch.nn.Identity())
        return Done(len(made.id), len(made.id))

    return step


def their_generation(count: int) -> Step:
    """Return ``generate`` of transformers after the same prompts, padded on the left."""
    graph = reviews(count)
    rows, sizes = sequences(graph, stage_of(graph), BATCH)
    ids, mask = padded([row[:n] for row, n in zip(rows, sizes, strict=True)][:PROMPTS], left=True)
    model = peer_of(graph).eval()

    def step() -> Done:
        with torch.no_grad():
            out = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=NEW,
                min_new_tokens=NEW,
                do_sample=False,
                pad_token_id=PAD,
                eos_token_id=EOS,
            )
        made = out.shape[0] * (out.shape[1] - ids.shape[1])
        return Done(made, made)

    return step


def padded(rows: list[list[int]], *, left: bool) -> tuple[Tensor, Tensor]:
    """Return ids and mask, int64 ``[B, L]`` both."""
    longest = max(map(len, rows))
    ids, mask = torch.full((len(rows), longest), PAD), torch.zeros(len(rows), longest).long()
    for place, row in enumerate(rows):
        part = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[place, part], mask[place, part] = torch.tensor(row), 1
    return ids, mask


def preparation(count: int, steps: int) -> dict[str, float]:
    """Return the time of making a batch and of the step on it, in ms, one after the other."""
    graph = reviews(count)
    stage, model = stage_of(graph), model_of(graph)
    run = StageRun(model, graph, stage, Options(threads=0), Accelerator(cpu=True))
    fitting = OptimizerLoop(run.learner, stage, run.groups, 1_000_000, 0, run.accelerator)
    batches, made, taken = endless(run.loader.epoch), [], []
    for number in range(steps + 2):
        begin = time.perf_counter()
        epoch, batch = next(batches)
        middle = time.perf_counter()
        fitting.step(number, epoch, [batch])
        if number >= 2:
            made.append(middle - begin)
            taken.append(time.perf_counter() - middle)
    length = batch.corrupted["language_model"].views[0].tokens.lengths()
    waste = 1 - float(length.sum()) / (len(length) * float(length.max()))
    return {
        "preparation_ms": 1e3 * float(np.median(made)),
        "step_ms": 1e3 * float(np.median(taken)),
        "padding": waste,
    }


def peak(make: Callable[[int], Step], count: int, steps: int) -> float:
    """Return the memory in MB that some steps need at most, beside what was there before them.

    The first step loads code and makes what is made once. Then free memory goes back to the
    system, and the count of the peak begins anew.
    """
    step = make(count)
    step()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = memory_mb("VmRSS")
    for _ in range(steps):
        step()
    return memory_mb("VmHWM") - before


def memory_mb(field: str) -> float:
    """Return a field of this process's memory, such as VmRSS, in MB."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise KeyError(field)
