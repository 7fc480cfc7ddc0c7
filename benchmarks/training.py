"""Training steps beside RecBole and padding, by size, and what they wait for.

Usage: python benchmarks/training.py [--graph DIR] [--quick] [--threads N] [--rounds 5]
                                     [--seconds 6] [--out FILE.json]

DIR is a graph with histories, as ``graphrec data build amazon-beauty --raw … --out DIR`` makes it;
without one, a generated shop of the same size takes its place. Everybody trains in turn, each in a
process of its own that sleeps till then, some seconds each round; ratios are medians over rounds of
two rates from the same round. A target is an item that is predicted: every place of a history for
us, every prefix for RecBole's SASRec, every masked item for BERT4Rec.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from sections.preparation_cost import STAGES, cost_of, shop, unmeasured
from sections.steps import model_of, packed, stage_of
from sections.turns import Turn, ours, rate, theirs

from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.store import open_graph, save_graph
from graphrec_pt.sampling.sampler import sampler

OUT = Path(__file__).parent / "results" / "training.json"
TARGETS = {"recbole SASRec": 10.0, "recbole BERT4Rec": 10.0, "padded": 2.0}
SHARE_TARGET = 0.15
NEXT = {"name": "next_item", "candidates": {"transform": False}}
MASKED = {"name": "masked_item", "share": 0.2, "candidates": {"transform": False}}


def contest(
    graph: Path, scratch: Path, rounds: int, seconds: float, threads: int
) -> list[dict[str, Any]]:
    """Return a row for everybody who trains on the histories of a stored graph."""
    steps = {
        "ours next item": Turn(ours, threads, graph, NEXT, "packed"),
        "padded": Turn(ours, threads, graph, NEXT, "padded"),
        "padded, scored at targets": Turn(ours, threads, graph, NEXT, "padded, scored at targets"),
        "recbole SASRec": Turn(theirs, threads, graph, "SASRec", scratch),
        "ours masked item": Turn(ours, threads, graph, MASKED, "packed"),
        "recbole BERT4Rec": Turn(theirs, threads, graph, "BERT4Rec", scratch),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            measured = step.rate(seconds if number else 1.0)
            if number:  # the first round warms up
                found[name].append(measured)
    for turn in steps.values():
        turn.close()
    rows = []
    for name, rates in found.items():
        mine = found["ours masked item" if "BERT4Rec" in name else "ours next item"]
        pairs = list(zip(mine, rates, strict=True))
        row: dict[str, Any] = {
            "contestant": name,
            "targets_per_second": median(targets for targets, _ in rates),
            "tokens_per_second": median(tokens for _, tokens in rates),
        }
        if not name.startswith("ours"):
            row["ours_is_faster_by"] = median(a[0] / b[0] for a, b in pairs)
            row["target"] = TARGETS.get(name)
        rows.append(row)
    return rows


def growth(seconds: float, quick: bool) -> list[dict[str, Any]]:
    """Return rows of tokens per second by width, length of the histories and catalogue."""
    cases = [("width", w, w, 30, 12_000) for w in (64, 128, 256)]
    cases += [("length", n, 64, n, 12_000) for n in (10, 30, 100, 300)]
    cases += [("catalogue", v, 64, 30, v) for v in (3_000, 12_000, 50_000)]
    rows = []
    for what, value, width, length, items in cases[:1] if quick else cases:
        users = 40_000 // length
        graph = synthetic_graph(users, items, users * length)
        stage = stage_of(NEXT, batch=max(4_000 // length, 8))
        stage = stage.model_copy(
            update={"sampler": sampler.build({"name": "history", "window": length})}
        )
        model = model_of(graph, width, structure={"position": length + 1})
        step = packed(graph, stage, model)
        rate(step, seconds / 4)
        targets, tokens = rate(step, seconds)
        rows.append(
            {
                "grows": what,
                "value": value,
                "targets_per_second": targets,
                "tokens_per_second": tokens,
            }
        )
    return rows


def show(report: dict[str, Any]) -> None:
    """Print the three tables."""
    console = Console(width=120)
    table = Table(title="training on histories", title_justify="left")
    for column in ("contestant", "targets/s", "tokens/s", "ours is faster by", "target"):
        table.add_column(column, justify="left" if column == "contestant" else "right")
    for row in report["contest"]:
        faster, target = row.get("ours_is_faster_by"), row.get("target")
        table.add_row(
            row["contestant"],
            f"{row['targets_per_second']:,.0f}",
            f"{row['tokens_per_second']:,.0f}",
            f"{faster:.1f}×" if faster else "",
            f"{target:.0f}×" if target else "",
        )
    console.print(table)
    table = Table(title=f"waiting for batches, target {SHARE_TARGET:.0%}", title_justify="left")
    for column in ("objective", "tokens", "preparation ms", "step ms", "share"):
        table.add_column(column, justify="left" if column == "objective" else "right")
    for row in report["preparation"]:
        times = f"{row['preparation_ms']:.1f}", f"{row['step_ms']:.1f}", f"{row['share']:.0%}"
        table.add_row(row["objective"], f"{row['tokens']:,.0f}", *times)
    console.print(table)
    table = Table(title="growth", title_justify="left")
    for column in ("grows", "to", "targets/s", "tokens/s"):
        table.add_column(column, justify="left" if column == "grows" else "right")
    for row in report["growth"]:
        rates = f"{row['targets_per_second']:,.0f}", f"{row['tokens_per_second']:,.0f}"
        table.add_row(row["grows"], f"{row['value']:,}", *rates)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--graph", type=Path, help="a graph with histories")
    parser.add_argument("--quick", action="store_true", help="small worlds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each, each round")
    parser.add_argument("--out", type=Path, help=f"JSON file; {OUT.name} for a full run")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    quick = arguments.quick
    out = arguments.out.resolve() if arguments.out else None if quick else OUT.resolve()
    sizes = (500, 300, 5_000) if quick else (22_363, 12_101, 198_502)
    whole = open_graph(arguments.graph) if arguments.graph else synthetic_graph(*sizes)
    name = arguments.graph.name if arguments.graph else "generated"
    with TemporaryDirectory(prefix="graphrec-training-") as scratch:
        folder = arguments.graph or save_graph(whole, Path(scratch) / "graph").folder
        assert folder is not None
        given = folder.resolve(), Path(scratch), arguments.rounds, arguments.seconds
        rows = contest(*given, arguments.threads)
    world = shop(quick)
    report = {
        "machine": {
            "cpu": platform.machine(),
            "threads": arguments.threads,
            "load": os.getloadavg()[0],
        },
        "torch": torch.__version__,
        "rounds": arguments.rounds,
        "data": {
            "name": name,
            "interactions": whole.num_edges(whole.schema.interaction().name),
        },
        "targets": {**TARGETS, "share": SHARE_TARGET},
        "contest": rows,
        "preparation": [cost_of(world, name, 3 if quick else 15) for name in STAGES],
        "preparation_unmeasured": unmeasured(),
        "growth": growth(arguments.seconds, quick),
    }
    show(report)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
