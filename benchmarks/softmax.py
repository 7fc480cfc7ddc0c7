"""The full-catalogue cross-entropy beside materialised logits: time and peak memory.

Usage: python benchmarks/softmax.py [--quick] [--threads N] [--rounds 5] [--out FILE.json]

One step is loss, gradient of the hidden states and of the table. Both ways run in turn in one
process; ratios are medians over rounds of two times from the same round. Peak memory is that of a
fresh process for each way, less what was resident before the step.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphrec_pt.kernels.softmax_loss import softmax_loss

OUT = Path(__file__).parent / "results" / "softmax.json"
CASES = [(4096, 12_101, 64), (2048, 100_000, 64), (2048, 100_000, 128)]  # T, V, D
QUICK = [(256, 2_000, 64)]
MEMORY_TARGET, TIME_TARGET = 0.1, 1.3
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
WAYS: dict[str, Loss] = {
    "ours": softmax_loss,
    "materialised": lambda hidden, table, target: cross_entropy(hidden @ table.T, target),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one small case")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help=f"JSON file; {OUT.name} for a full run")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        way, *sizes = arguments.peak
        sys.stdout.write(str(_peak(way, *map(int, sizes))))
        return
    rows = [
        _row(case, arguments.rounds, arguments.threads)
        for case in (QUICK if arguments.quick else CASES)
    ]
    Console(width=140).print(_table(rows))
    out = arguments.out or (None if arguments.quick else OUT)
    if out:
        report = {
            "machine": {"cpu": platform.machine(), "threads": arguments.threads},
            "torch": torch.__version__,
            "rounds": arguments.rounds,
            "targets": {"memory": MEMORY_TARGET, "time": TIME_TARGET},
            "rows": rows,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n")


def _inputs(tokens: int, items: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, width, generator=draw).requires_grad_()
    table = (0.1 * torch.randn(items, width, generator=draw)).requires_grad_()
    return hidden, table, torch.randint(items, (tokens,), generator=draw)


def _step(loss: Loss, hidden: Tensor, table: Tensor, target: Tensor) -> None:
    torch.autograd.grad(loss(hidden, table, target), (hidden, table))


def _row(case: tuple[int, int, int], rounds: int, threads: int) -> dict[str, float | int]:
    inputs = _inputs(*case)
    wall: dict[str, list[float]] = {name: [] for name in WAYS}
    work: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, loss in WAYS.items():
            begin, used = time.perf_counter(), time.process_time()
            _step(loss, *inputs)
            if number:  # the first round warms up
                wall[name].append(time.perf_counter() - begin)
                work[name].append(time.process_time() - used)
    peak = {name: _measured_peak(name, case, threads) for name in WAYS}
    tokens, items, width = case

    def ratio(found: dict[str, list[float]]) -> float:
        pairs = zip(found["ours"], found["materialised"], strict=True)
        return median(ours / theirs for ours, theirs in pairs)

    return {
        "tokens": tokens,
        "items": items,
        "width": width,
        "ours_s": median(wall["ours"]),
        "materialised_s": median(wall["materialised"]),
        "time_ratio": ratio(wall),
        "cpu_time_ratio": ratio(work),
        "ours_peak_mb": peak["ours"] / 2**20,
        "materialised_peak_mb": peak["materialised"] / 2**20,
        "memory_ratio": peak["ours"] / peak["materialised"],
    }


def _measured_peak(way: str, case: tuple[int, int, int], threads: int) -> int:
    command = [sys.executable, __file__, "--threads", str(threads), "--peak", way]
    done = subprocess.run([*command, *map(str, case)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def _peak(way: str, tokens: int, items: int, width: int) -> int:
    """Return the bytes that a step adds to what is resident."""
    inputs = _inputs(tokens, items, width)
    _step(WAYS[way], *_inputs(2, 2, width))  # libraries make their own buffers once
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the start
    _step(WAYS[way], *inputs)
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def _table(rows: list[dict[str, float | int]]) -> Table:
    table = Table(title="full-catalogue cross-entropy, ours / materialised logits")
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int) else f"{v:.3f}" for v in row.values()))
    table.caption = f"targets: memory <= {MEMORY_TARGET}, time <= {TIME_TARGET}"
    return table


if __name__ == "__main__":
    main()
