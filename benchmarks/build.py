"""From CSV and Parquet to a saved graph: time and peak memory beside pandas + scipy and RecBole.

Usage: python benchmarks/build.py [--interactions 10_000_000] [--rounds 3] [--out FILE.json]

Every contestant runs in a process of its own, one after the other, round by round, on the same
generated files (users with power-law activity, items with four attributes). Time is wall time
after the imports; memory is the peak of the process beyond what the imports take. Ratios are
medians over the rounds of pairs measured in the same round.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

ATTRIBUTES = {"brand": 5000, "category": 300, "colour": 40, "price_band": 12}
CONTESTANTS = ("ours csv", "ours parquet", "pandas csv", "pandas parquet", "recbole")


def generate(folder: Path, interactions: int) -> None:
    """Write interactions.csv/.parquet, items.csv/.parquet and RecBole's atomic files."""
    rng = np.random.default_rng(0)
    users, items = max(interactions // 50, 100), max(interactions // 200, 50)
    skew = 3  # a uniform number to this power: most mass on few ids, every id possible
    user = rng.permutation(users)[(rng.random(interactions) ** skew * users).astype(np.int64)]
    item = rng.permutation(items)[(rng.random(interactions) ** skew * items).astype(np.int64)]
    table = pl.DataFrame(
        {
            "user": user + 1,
            "item": item + 1,
            "rating": rng.integers(1, 6, interactions),
            "time": rng.integers(1_400_000_000, 1_500_000_000, interactions),
        }
    )
    table.write_csv(folder / "interactions.csv")
    table.write_parquet(folder / "interactions.parquet")
    attributes = pl.DataFrame(
        {"item": np.arange(items) + 1}
        | {name: rng.integers(0, count, items) for name, count in ATTRIBUTES.items()}
    )
    attributes.write_csv(folder / "items.csv")
    attributes.write_parquet(folder / "items.parquet")
    recbole = folder / "generated"
    recbole.mkdir(exist_ok=True)
    header = {"user": "user_id:token", "item": "item_id:token", "rating": "rating:float"}
    table.rename(header | {"time": "timestamp:float"}).write_csv(
        recbole / "generated.inter", separator="\t"
    )
    names = {"item": "item_id:token"} | {name: f"{name}:token" for name in ATTRIBUTES}
    attributes.rename(names).write_csv(recbole / "generated.item", separator="\t")


def build_ours(folder: Path, kind: str) -> Callable[[], int]:
    """Return the job: files in, saved graph out; it returns the bytes of the finished arrays."""
    from graphrec_pt.data.build import build_card
    from graphrec_pt.data.card import Card

    def edges(name: str) -> dict[str, str]:
        return {"table": "items", "source": "item.item", "target": f"{name}.{name}"}

    card = Card.checked(
        {
            "name": "generated",
            "title": "Generated",
            "licence": {"name": "none"},
            "tables": {
                "interactions": {
                    "file": f"interactions.{kind}",
                    "types": dict.fromkeys(("user", "item", "time"), "int") | {"rating": "float"},
                },
                "items": {
                    "file": f"items.{kind}",
                    "types": dict.fromkeys(("item", *ATTRIBUTES), "int"),
                },
            },
            "nodes": {name: {} for name in ("user", "item", *ATTRIBUTES)},
            "edges": {
                "rates": {
                    "table": "interactions",
                    "source": "user.user",
                    "target": "item.item",
                    "time": "time",
                    "weight": "rating",
                    "interaction": True,
                }
            }
            | {f"has_{name}": edges(name) for name in ATTRIBUTES},
        },
        "benchmark",
    )

    def run() -> int:
        STAGES.clear()
        build_card(card, folder, out=folder / "graph", progress=begin)
        begin("", 0, 0)
        return sum(path.stat().st_size for path in (folder / "graph").rglob("*") if path.is_file())

    return run


STAGES: list[tuple[str, float]] = []


def begin(stage: str, done: int, total: int) -> None:
    """Note when a stage of our build begins."""
    STAGES.append((stage, time.perf_counter()))


def stage_seconds() -> dict[str, float]:
    """Return the seconds of every stage of our last build that took a hundredth of one."""
    spans = {name: end - start for (name, start), (_, end) in pairwise(STAGES)}
    return {name: round(seconds, 2) for name, seconds in spans.items() if seconds >= 0.01}


def build_pandas(folder: Path, kind: str) -> Callable[[], int]:
    """Return the job as most people write it: factorize, sort both ways, scipy for the rest."""
    import pandas as pd
    import scipy.sparse as sp

    def run() -> int:
        read = pd.read_csv if kind == "csv" else pd.read_parquet
        rows = read(folder / f"interactions.{kind}")
        items = read(folder / f"items.{kind}")
        user, users = pd.factorize(rows["user"], sort=True)
        known = pd.Index(np.union1d(rows["item"].unique(), items["item"]))
        item = known.get_indexer(rows["item"])
        rows = rows.assign(user=user, item=item)
        shape = len(users), len(known)
        arrays: dict[str, Any] = {}
        matrices: dict[str, Any] = {}
        for near, far, count in (("user", "item", shape[0]), ("item", "user", shape[1])):
            ordered = rows.sort_values([near, "time"])  # histories in time order, both ways
            arrays[f"{near}_start"] = np.searchsorted(ordered[near], np.arange(count + 1))
            arrays[f"{near}_{far}"] = ordered[far].to_numpy(np.int32)
            arrays[f"{near}_time"] = ordered["time"].to_numpy()
            arrays[f"{near}_rating"] = ordered["rating"].to_numpy(np.float32)
            arrays[f"{near}_edge"] = ordered.index.to_numpy(np.int32)
        at = known.get_indexer(items["item"])
        for name in ATTRIBUTES:
            code, values = pd.factorize(items[name], sort=True)
            ones = np.ones(len(at), np.float32)
            has = sp.csr_matrix((ones, (at, code)), shape=(shape[1], len(values)))
            matrices |= {f"has_{name}": has, f"rev_{name}": has.T.tocsr()}
        out = folder / "pandas"
        out.mkdir(exist_ok=True)
        np.savez(out / "history.npz", **arrays)
        for name, made in matrices.items():
            sp.save_npz(out / f"{name}.npz", made, compressed=False)
        return sum(path.stat().st_size for path in out.iterdir())

    return run


def build_recbole(folder: Path, kind: str) -> Callable[[], int]:
    """Return the job: RecBole's dataset loading from its atomic files (a release of 2025)."""
    import types

    for name in ("ray", "ray.tune"):  # imported by RecBole, not needed to load data
        sys.modules.setdefault(name, types.ModuleType(name))
    for name, now in (("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)):
        setattr(np, name, now)  # names that numpy 2 removed and RecBole 1.2.1 still uses
    from recbole.config import Config
    from recbole.data import create_dataset

    settings = {
        "data_path": str(folder),
        "load_col": {
            "inter": ["user_id", "item_id", "rating", "timestamp"],
            "item": ["item_id", *ATTRIBUTES],
        },
    }
    sys.argv = sys.argv[:1]  # its configuration reads the command line

    def run() -> int:
        config = Config(model="BPR", dataset="generated", config_dict=settings)
        dataset = create_dataset(config)
        dataset.inter_matrix(form="csr")
        return int(dataset.inter_num)

    return run


JOBS = {"ours": build_ours, "pandas": build_pandas, "recbole": build_recbole}


def work(contestant: str, folder: Path) -> None:
    """Run one job in this process and print what it took."""
    who, _, kind = contestant.partition(" ")
    run = JOBS[who](folder, kind or "csv")
    if who == "ours":
        warm_up()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    size = run()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result: dict[str, Any] = {"seconds": seconds, "peak_mb": (peak - before) / 1024, "bytes": size}
    if who == "ours":
        result["reopen_ms"] = reopen(folder / "graph") * 1000
        result["stages"] = stage_seconds()
    sys.stdout.write("\n" + json.dumps(result) + "\n")


def warm_up() -> None:
    """Load the compiled sort from its disk cache, as any but the very first build does."""
    from graphrec_pt.kernels.fill import order

    for dtype in (np.int32, np.int64):
        order(np.arange(2, dtype=dtype))


def reopen(folder: Path) -> float:
    """Return the seconds that opening the saved graph takes, the median of five."""
    from graphrec_pt.graph.store import open_graph

    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        open_graph(folder)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def measure(contestant: str, folder: Path) -> dict[str, Any] | None:
    """Run one contestant in a process of its own; None when it cannot run here."""
    command = [sys.executable, __file__, "--worker", contestant, "--folder", str(folder)]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        Console().print(f"skipped {contestant}: {reason[:160]}")
        return None
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(interactions: int, rounds: int) -> dict[str, Any]:
    """Measure every contestant on one size."""
    folder = Path(mkdtemp(prefix="graphrec-build-"))
    try:
        generate(folder, interactions)
        runs: dict[str, list[dict[str, Any]]] = {}
        skipped: set[str] = set()
        for _ in range(rounds):
            for contestant in CONTESTANTS:
                if contestant not in skipped:
                    found = measure(contestant, folder)
                    if found is None:
                        skipped.add(contestant)
                    else:
                        runs.setdefault(contestant, []).append(found)
    finally:
        shutil.rmtree(folder)
    return {"interactions": interactions, "rounds": rounds, "runs": runs}


def show(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print the table and return its rows."""
    table = Table("interactions", "contestant", "seconds", "peak MB", "ours is faster by", "note")
    rows = []
    for result in results:
        runs = result["runs"]
        for contestant, found in runs.items():
            ours = runs["ours parquet" if "parquet" in contestant else "ours csv"]
            pairs = zip(found, ours, strict=False)
            row = {
                "interactions": result["interactions"],
                "contestant": contestant,
                "seconds": median(run["seconds"] for run in found),
                "peak_mb": median(run["peak_mb"] for run in found),
                "ratio": median(theirs["seconds"] / mine["seconds"] for theirs, mine in pairs),
            }
            note = ""
            if contestant.startswith("ours"):
                size = found[0]["bytes"] / 2**20
                row |= {"finished_mb": size, "peak_over_finished": row["peak_mb"] / size}
                row["reopen_ms"] = median(run["reopen_ms"] for run in found)
                row["stages"] = found[-1]["stages"]
                note = (
                    f"finished {size:,.0f} MB, peak {row['peak_over_finished']:.2f}×, "
                    f"reopens in {row['reopen_ms']:.1f} ms"
                )
            rows.append(row)
            table.add_row(
                f"{row['interactions']:,}",
                contestant,
                f"{row['seconds']:.2f}",
                f"{row['peak_mb']:,.0f}",
                "" if contestant.startswith("ours") else f"{row['ratio']:.1f}×",
                note,
            )
    Console().print(table)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--interactions", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.folder)
        return
    results = [compare(interactions, options.rounds) for interactions in options.interactions]
    rows = show(results)
    if options.out:
        options.out.write_text(json.dumps({"rows": rows, "cpus": os.cpu_count()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
