"""Full ranking of a catalogue beside RecBole's: time, peak memory, and the same metrics.

Usage: python benchmarks/evaluation.py [--quick] [--threads N] [--rounds 5] [--out FILE.json]

The same user and item vectors, the same generated histories, the last item of each held out. Time
is from vectors to metrics, seen items left out, after both libraries have prepared their data. All
run in turn in one process; ratios are medians over rounds of two times from the same round. RecBole
runs as it comes for such a model (an evaluation batch of 4,096 scores, which is one user), with the
batch that its sequential models have (4,096 users), and with one chosen to suit it (64 users).
The rows of SASRec begin at the histories: two networks of the same size (two layers, two heads, 50
events at most), untrained, so that their metrics mean nothing, each ranked as its library does it.
Peak memory is that of a fresh process for each, less what was resident before the evaluation.
"""

import argparse
import json
import logging
import os
import platform
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.table import Table

from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, split
from graphrec_pt.models.model import Model
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.scorer import Factorised
from graphrec_pt.recipe.files import load_recipe

OUT = Path(__file__).parent / "results" / "evaluation.json"
USERS, ITEMS, WIDTH, EVENTS = 22_363, 12_101, 64, 9
QUICK = 500, 300
METRICS = {"hit": "hr", "recall": "recall", "precision": "precision", "mrr": "mrr", "ndcg": "ndcg"}
TARGET = 5.0
NAMES = [f"{name}@10" for name in METRICS.values()]
Metrics = dict[str, float]
Job = Callable[[], Metrics]


def interactions(users: int, items: int) -> pl.DataFrame:
    """Return different items for each user, popular ones more often, in a random order."""
    draw = np.random.default_rng(0)
    wide = (draw.random((users, 4 * EVENTS)) ** 2 * items).astype(np.int64)
    rows = []
    for user, drawn in enumerate(wide):
        _, first = np.unique(drawn, return_index=True)
        rows += [(user, item, at) for at, item in enumerate(drawn[np.sort(first)][:EVENTS])]
    schema = {"user": pl.Int64, "item": pl.Int64, "time": pl.Int64}
    unseen = [(user % users, user, -1) for user in set(range(items)) - {row[1] for row in rows}]
    return pl.DataFrame(unseen + rows, schema=schema, orient="row").sort("user", "time")


def vectors(users: int, items: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a vector for each raw user and item number."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(users, WIDTH, generator=draw), torch.randn(items, WIDTH, generator=draw)


def ours(table: pl.DataFrame, users: int, items: int) -> Job:
    """Return the job: from vectors to metrics."""
    cut = _split(table)
    of_user, of_item = vectors(users, items)
    mine = cut.graph.nodes("user")
    scorer = Factorised(
        torch.arange(mine.start, mine.stop),
        of_user[_numbers(cut.graph, "user")],
        of_item[_numbers(cut.graph, "item")],
    )
    return lambda: evaluate(rank_targets(scorer, cut), NAMES)


def _split(table: pl.DataFrame) -> Split:
    edge = EdgePlan(
        table="rows",
        source="user.user",
        target="item.item",
        time="time",
        inverse="bought_by",
        interaction=True,
    )
    plan = Plan(
        nodes={"user": NodePlan(), "item": NodePlan()}, edges={"buys": edge}, time_unit="ordinal"
    )
    cut = split(build(plan, {"rows": table}), "leave_one_out")
    cut.history("test")
    return cut


def our_sasrec(table: pl.DataFrame, users: int, items: int) -> Job:
    """Return the job: from histories to metrics, by an untrained SASRec."""
    cut, stage = _split(table), load_recipe("sasrec").stages[0]
    model = Model.of(cut.train, **dict(load_recipe("sasrec").model)).eval()
    asked = torch.unique(cut.test.source)

    def run() -> Metrics:
        scorer = Predictor(model, cut.history("test"), stage=stage).scorer(asked)
        return evaluate(rank_targets(scorer, cut), NAMES)

    return run


def _numbers(graph: Graph, kind: str) -> torch.Tensor:
    return torch.from_numpy(graph.tables[kind]["id"].cast(pl.Int64).to_numpy().copy())


def recbole(table: pl.DataFrame, users: int, items: int, *, batch: int | None = None) -> Job:
    """Return the job: `Trainer.evaluate` of its matrix factorisation on the same vectors."""
    given = {} if batch is None else {"eval_batch_size": batch * (items + 1)}
    run, model, dataset = _recbole("BPR", table, given)
    of_user, of_item = vectors(users, items)
    for field, weights, values in (
        ("user_id", model.user_embedding.weight, of_user),
        ("item_id", model.item_embedding.weight, of_item),
    ):
        raw = dataset.field2id_token[field][1:].astype(np.int64)  # the first is its padding
        weights.data[1:] = values[torch.from_numpy(raw)]
    return run


def recbole_sasrec(table: pl.DataFrame, users: int, items: int) -> Job:
    """Return the job: `Trainer.evaluate` of its SASRec, as it comes and untrained."""
    return _recbole("SASRec", table, {"train_neg_sample_args": None, "loss_type": "CE"})[0]


def _recbole(name: str, table: pl.DataFrame, given: dict[str, Any]) -> tuple[Job, Any, Any]:
    """Return the evaluation of a model of RecBole, the model and its data set."""
    for module in ("ray", "ray.tune"):  # imported by RecBole, not needed here
        sys.modules.setdefault(module, types.ModuleType(module))
    for old, now in (("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)):
        setattr(np, old, now)  # names that numpy 2 removed and RecBole 1.2.1 still uses
    warnings.simplefilter("ignore")
    logging.disable()
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer

    Path("generated").mkdir(exist_ok=True)
    header = {"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float"}
    table.rename(header).write_csv("generated/generated.inter", separator="\t")
    settings: dict[str, Any] = {
        "data_path": ".",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "embedding_size": WIDTH,
        "topk": [10],
        "metrics": ["Hit", "Recall", "Precision", "MRR", "NDCG"],
        "metric_decimal_place": 12,
        "eval_args": {
            "split": {"LS": "valid_and_test"},
            "order": "TO",
            "group_by": "user",
            "mode": "full",
        },
        **given,
    }
    sys.argv = sys.argv[:1]  # its configuration reads the command line
    threads = torch.get_num_threads()
    config = Config(model=name, dataset="generated", config_dict=settings)
    dataset = create_dataset(config)
    train, _, test = data_preparation(config, dataset)
    model = get_model(name)(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
    torch.set_num_threads(threads)

    def run() -> Metrics:
        trainer.eval_collector.data_struct._data_dict.clear()
        found = trainer.evaluate(test, load_best_model=False)
        return {f"{ours}@10": float(found[f"{name}@10"]) for name, ours in METRICS.items()}

    return run, model, dataset


CONTESTANTS: dict[str, Callable[[pl.DataFrame, int, int], Job]] = {
    "ours": ours,
    "recbole": recbole,
    "recbole 64 users": partial(recbole, batch=64),
    "recbole 4096 users": partial(recbole, batch=4096),
    "ours SASRec": our_sasrec,
    "recbole SASRec": recbole_sasrec,
}


def job(name: str, users: int, items: int) -> Job:
    """Return what a contestant does."""
    return CONTESTANTS[name](interactions(users, items), users, items)


def measure(users: int, items: int, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Run everybody in turn; return a row each."""
    jobs = {name: job(name, users, items) for name in CONTESTANTS}
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    work: dict[str, list[float]] = {name: [] for name in jobs}
    found: dict[str, Metrics] = {}
    for number in range(rounds + 1):
        for name, run in jobs.items():
            begin, used = time.perf_counter(), time.process_time()
            found[name] = run()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - begin)
                work[name].append(time.process_time() - used)
    rows = []
    for name in jobs:
        mine = "ours SASRec" if name.endswith("SASRec") else "ours"
        apart = {m: abs(found[name][m] - found["ours"][m]) for m in found["ours"]}
        rows.append(
            {
                "contestant": name,
                "users": users,
                "items": items,
                "width": WIDTH,
                "seconds": median(seconds[name]),
                "ours_is_faster_by": _ratio(seconds[name], seconds[mine]),
                "ours_works_less_by": _ratio(work[name], work[mine]),
                "peak_mb": _measured_peak(name, users, items, threads) / 2**20,
                "metrics": found[name],
                "largest_difference": max(apart.values()) if mine == "ours" else None,
            }
        )
    return rows


def _ratio(theirs: list[float], mine: list[float]) -> float:
    return median(a / b for a, b in zip(theirs, mine, strict=True))


def _measured_peak(name: str, users: int, items: int, threads: int) -> int:
    command = [sys.executable, str(Path(__file__).resolve()), "--threads", str(threads)]
    command += ["--peak", name, str(users), str(items)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.strip().splitlines()[-1])


def _peak(name: str, users: int, items: int) -> int:
    """Return the bytes that an evaluation adds to what is resident."""
    run = job(name, users, items)
    job(name, *QUICK)()  # libraries make their own buffers once
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the start
    run()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"full ranking of {rows[0]['users']:,} users × {rows[0]['items']:,} items")
    for column in ("contestant", "seconds", "ours is faster by", "cpu time", "peak MB", "NDCG@10"):
        table.add_column(column, justify="left" if column == "contestant" else "right")
    for row in rows:
        table.add_row(
            row["contestant"],
            f"{row['seconds']:.2f}",
            f"{row['ours_is_faster_by']:.1f}×",
            f"{row['ours_works_less_by']:.1f}×",
            f"{row['peak_mb']:,.0f}",
            f"{row['metrics']['ndcg@10']:.8f}",
        )
    table.caption = f"target: {TARGET:.0f}×"
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a small catalogue")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help=f"JSON file; {OUT.name} for a full run")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    out = arguments.out.resolve() if arguments.out else None if arguments.quick else OUT.resolve()
    with TemporaryDirectory(prefix="graphrec-evaluation-") as folder:
        os.chdir(folder)  # RecBole writes where it runs
        if arguments.peak:
            name, *sizes = arguments.peak
            sys.stdout.write(f"\n{_peak(name, *map(int, sizes))}\n")
            return
        sizes = QUICK if arguments.quick else (USERS, ITEMS)
        rows = measure(*sizes, arguments.rounds, arguments.threads)
    Console(width=120).print(_table(rows))
    if out:
        report = {
            "machine": {
                "cpu": platform.machine(),
                "threads": arguments.threads,
                "load": os.getloadavg()[0],
            },
            "torch": torch.__version__,
            "rounds": arguments.rounds,
            "target": TARGET,
            "rows": rows,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
