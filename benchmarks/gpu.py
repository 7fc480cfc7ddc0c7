"""Training steps on a CUDA device: packed and fused beside the padded Hugging Face equivalent.

Usage: python benchmarks/gpu.py [--seconds 4] [--out FILE.json]

Both sides take whole steps (forward, full-catalogue cross-entropy, backward, AdamW) in bf16
autocast on the same random histories: ours packed, with FlexAttention and the Triton loss; the
peer is GPT-2 of ``transformers``, as wide, deep and headed, over padded batches with all logits.
Model FLOP utilisation counts the products that the mathematics needs (weights, attention between
tokens of one history, scores of the catalogue at targets) against a measured matrix product.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2Model

from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

OUT = Path(__file__).parent / "results" / "gpu.json"
LONGEST, TYPICAL, HISTORIES = 200, 30, 1024
CASES = [(64, 2, 12_000), (256, 4, 12_000), (512, 8, 12_000), (256, 4, 100_000)]
Step = Callable[[], Tensor]
Make = Callable[..., Step]


def lengths() -> Tensor:
    """Return the lengths of the histories, as skewed as those of shops: int64 ``[B]``."""
    draw = torch.Generator().manual_seed(0)
    return (TYPICAL * torch.randn(HISTORIES, generator=draw).exp()).long().clamp(5, LONGEST)


def ours(width: int, layers: int, items: int, device: str) -> Step:
    """Return a step of our graph transformer on packed histories."""
    graph = synthetic_graph(100, items, 1_000)
    sizes = {"width": width, "layers": layers, "heads": width // 32, "dropout": 0.0}
    backbone = {"name": "graph_transformer", "mode": "causal", "structure": {"position": LONGEST}}
    model = Model.of(graph, backbone={**backbone, **sizes}).to(device)
    head, size = ItemHead(width).to(device), lengths()
    first, draw = model.spec.ids("item").start, torch.Generator().manual_seed(1)
    ptr = torch.cat([size.new_zeros(1), size.cumsum(0)])
    item = torch.randint(items, (int(ptr[-1]),), generator=draw)
    kind = torch.full_like(item, int(Kind.NODE))
    owner = torch.arange(len(size)).repeat_interleave(size)
    position = torch.arange(len(item)) - ptr[owner]
    type_ = torch.full_like(item, graph.schema.node_index("item"))
    tokens = Tokens.of(item + first, kind, ptr, type=type_, position=position).to(device)
    target = item.roll(-1).index_fill(0, ptr[1:] - 1, -100).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)

    def step() -> Tensor:
        with torch.autocast(device, torch.bfloat16), model.cached_embeddings():
            hidden = model.encode(View(tokens, "causal")).hidden
            loss = head.loss(hidden, model.table("item"), target)
        return _stepped(loss, optimizer)

    return step


def padded(width: int, layers: int, items: int, device: str) -> Step:
    """Return a step of GPT-2 on the same histories, each padded to the longest."""
    config = GPT2Config(
        vocab_size=items,
        n_embd=width,
        n_layer=layers,
        n_head=width // 32,
        n_positions=LONGEST,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
    )
    network = GPT2Model(config).train()
    network.to(device)
    size, draw = lengths(), torch.Generator().manual_seed(1)
    item = torch.zeros(len(size), int(size.max()), dtype=torch.long)
    seen = torch.arange(item.shape[1]) < size.unsqueeze(1)
    item[seen] = torch.randint(items, (int(size.sum()),), generator=draw)
    target = item.roll(-1, 1).masked_fill(~seen.roll(-1, 1) | ~seen, -100)
    target[:, -1] = -100
    item, seen, target = item.to(device), seen.to(device), target.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)

    def step() -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            hidden = network(input_ids=item, attention_mask=seen.long()).last_hidden_state
            table: nn.Parameter = network.wte.weight
            loss = cross_entropy((hidden @ table.T).flatten(0, 1).float(), target.flatten())
        return _stepped(loss, optimizer)

    return step


def flops(width: int, layers: int, items: int) -> float:
    """Return the floating-point operations of one step, forward and backward."""
    size = lengths().double()
    weights = 12 * layers * width**2 * float(size.sum())
    attention = layers * width * float((size * (size + 1)).sum())  # causal: half of 2 L² D
    scores = items * width * float((size - 1).sum())
    return 6 * weights + 6 * attention + 6 * scores


def measured(step: Step, seconds: float) -> dict[str, float]:
    """Return seconds per step (median) and the peak of memory in MB."""
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    while sum(times) < seconds:
        begun = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated() / 1e6
    return {"seconds": sorted(times)[len(times) // 2], "peak_mb": peak}


def ceiling() -> float:
    """Return the rate of a large bf16 matrix product in FLOP/s."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def product() -> Tensor:
        return a @ b

    return 2 * 8192**3 / measured(product, 1.0)["seconds"]


def result(make: Make, case: dict[str, int], seconds: float, peak: float) -> dict[str, Any]:
    """Return what a contestant needs for a step, or that the device has too little memory."""
    gc.collect()  # networks hold themselves in cycles
    torch.cuda.empty_cache()
    try:
        found = measured(make(**case, device="cuda"), seconds)
    except torch.OutOfMemoryError:
        return {"error": "out of memory"}
    return {
        **found,
        "tokens_per_second": int(lengths().sum()) / found["seconds"],
        "flop_utilisation": flops(**case) / found["seconds"] / peak,
    }


def _stepped(loss: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each contestant")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("needs a CUDA device")
    peak, tokens = ceiling(), int(lengths().sum())
    rows: list[dict[str, Any]] = []
    for width, layers, items in CASES:
        case = {"width": width, "layers": layers, "items": items}
        pair = []
        for name, make in (("ours", ours), ("padded GPT-2", padded)):
            pair.append({**case, "contestant": name, **result(make, case, arguments.seconds, peak)})
            print(json.dumps(pair[-1]), flush=True)
        if all("seconds" in each for each in pair):
            pair[1]["ours_is_faster_by"] = pair[1]["seconds"] / pair[0]["seconds"]
            pair[1]["ours_takes_of_its_memory"] = pair[0]["peak_mb"] / pair[1]["peak_mb"]
        rows += pair
    report = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "matrix_product_tflops": peak / 1e12,
        "histories": HISTORIES,
        "tokens": tokens,
        "padded_tokens": HISTORIES * int(lengths().max()),
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
