"""A language model beside plain transformers, on the same weights: training and generation.

Usage: python benchmarks/text.py [--quick] [--threads N] [--rounds 4] [--seconds 6]
                                 [--part NAME …] [--out FILE]

GPT-2 of width 128 with two layers and 4,000 words learns invented reviews after the descriptions
of their items. Plain transformers pad random batches of 32 and score every place; we pack batches
of as many tokens and score the answers. Both then write 32 tokens after 16 prompts, greedily and
with a cache. Everybody runs in turn, each in a process of its own; ratios are medians over rounds
of two rates from the same round. Tokens of prompts and answers count, padding does not.

The part `encoding` is ours alone: a text encoder that trains in the loop, on invented news of which
a few are read often. A step encodes each reading, each text once, or only what the cache of
SpeedyFeed does not hold; and a student has half the layers of its teacher.
"""

import argparse
import json
import multiprocessing
import os
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from sections.encoding import encoding
from sections.steps import Step
from sections.texts import (
    our_generation,
    our_training,
    peak,
    preparation,
    their_generation,
    their_training,
)
from sections.turns import Turn

OUT = Path(__file__).parent / "results" / "text.json"
TARGETS = {"training": 1.5, "generation": 1.0, "memory": 1.0, "share": 0.15}
CONTESTS: dict[str, tuple[Callable[[int], Step], Callable[[int], Step]]] = {
    "training": (our_training, their_training),
    "generation": (our_generation, their_generation),
}
PARTS = (*CONTESTS, "memory", "preparation", "encoding")


def contest(name: str, count: int, rounds: int, seconds: float, threads: int) -> dict[str, Any]:
    """Return the tokens per second of both, and the median ratio."""
    turns = [Turn(make, threads, count) for make in CONTESTS[name]]
    rates: list[list[float]] = [[], []]
    for number in range(rounds + 1):
        for turn, found in zip(turns, rates, strict=True):
            measured = turn.rate(seconds if number else 1.0)[1]
            if number:  # the first round warms up
                found.append(measured)
    for turn in turns:
        turn.close()
    ratios = [mine / other for mine, other in zip(*rates, strict=True)]
    return {
        "what": name,
        "ours_tokens_per_second": median(rates[0]),
        "transformers_tokens_per_second": median(rates[1]),
        "ours_is_faster_by": median(ratios),
        "ratios": ratios,
        "target": TARGETS[name],
    }


def memory(name: str, count: int, steps: int) -> dict[str, Any]:
    """Return the peak memory of both, each in a new process, and the ratio of theirs to ours."""
    context = multiprocessing.get_context("spawn")
    found = []
    for make in CONTESTS[name]:
        with context.Pool(1) as pool:
            found.append(pool.apply(peak, (make, count, steps)))
    return {
        "what": name,
        "ours_mb": found[0],
        "transformers_mb": found[1],
        "ours_is_smaller_by": found[1] / max(found[0], 1e-9),
        "target": TARGETS["memory"],
    }


def show(report: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(width=110)
    table = Table(title="tokens per second", title_justify="left")
    for column in ("what", "ours", "transformers", "ours is faster by", "target"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in report["contest"]:
        table.add_row(
            row["what"],
            f"{row['ours_tokens_per_second']:,.0f}",
            f"{row['transformers_tokens_per_second']:,.0f}",
            f"{row['ours_is_faster_by']:.2f}×",
            f"{row['target']:.1f}×",
        )
    console.print(table)
    table = Table(title="peak memory beside weights and data", title_justify="left")
    for column in ("what", "ours MB", "transformers MB", "ours is smaller by", "target"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in report["memory"]:
        table.add_row(
            row["what"],
            f"{row['ours_mb']:,.0f}",
            f"{row['transformers_mb']:,.0f}",
            f"{row['ours_is_smaller_by']:.2f}×",
            f"{row['target']:.1f}×",
        )
    console.print(table)
    if report.get("encoding"):
        table = Table(title="encoding texts", title_justify="left")
        for column in ("what", "ms", "faster by"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for row in report["encoding"]:
            table.add_row(row["what"], f"{1000 * row['seconds']:,.0f}", f"{row['faster']:.1f}×")
        console.print(table)
    made = report["preparation"]
    if made is None:
        return
    console.print(
        f"a batch is made in {made['preparation_ms']:.1f} ms and learned in "
        f"{made['step_ms']:.1f} ms: {made['share']:.0%}, target {TARGETS['share']:.0%}; "
        f"padding {made['padding']:.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="few reviews and steps")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each, each round")
    parser.add_argument("--part", nargs="*", choices=PARTS, help="measure these alone")
    parser.add_argument("--out", type=Path, help=f"JSON file; {OUT.name} for a full run")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    quick = arguments.quick
    count, steps = (600, 4) if quick else (4_000, 20)
    out = arguments.out.resolve() if arguments.out else None if quick else OUT.resolve()
    report: dict[str, Any] = {"contest": [], "memory": [], "preparation": None}
    if arguments.part and out and out.exists():  # the other parts stay
        report = json.loads(out.read_text())
    report |= {
        "machine": {
            "cpu": platform.machine(),
            "threads": arguments.threads,
            "load": os.getloadavg()[0],
        },
        "torch": torch.__version__,
        "reviews": count,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "targets": TARGETS,
    }
    given = count, arguments.rounds, arguments.seconds, arguments.threads
    for part in arguments.part or PARTS:
        if part in CONTESTS:
            report["contest"] = [each for each in report["contest"] if each["what"] != part]
            report["contest"].append(contest(part, *given))
        elif part == "memory":
            report["memory"] = [memory(name, count, steps) for name in CONTESTS]
        elif part == "encoding":
            report["encoding"] = encoding(400 if quick else 2_000, steps // 2)
        else:
            made = preparation(count, steps)
            made["share"] = made["preparation_ms"] / made["step_ms"]
            report["preparation"] = made
    show(report)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
