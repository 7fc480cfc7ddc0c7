"""Serving: everybody's recommendations on a large catalogue, and the HTTP service under load.

Usage: python benchmarks/serving.py [--part batch|http|kill|all] [--users 10000] [--items 1000000]
    [--clients 100] [--seconds 60] [--run RUN] [--out benchmarks/results/serving.json]

``batch``: an untrained SASRec of width 64 recommends ten items to every user of an invented shop,
into a Parquet file. CPU seconds are those of the whole process during that call, peak memory is the
highest resident size of the process, graph and model included. ``http``: clients ask a service on
the loopback address without a pause, each for a random user; beside it stands the top ten of numpy
(``argpartition``) on the same vectors, in one thread without any HTTP. ``kill``: a service of two
processes; one is killed with SIGKILL while clients ask. A request is lost where its connection
ends without an answer; that can happen only to those that the killed process had taken.
Both use a finished run (``--run``), or train one on an invented shop.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Any

import httpx
import numpy as np
import polars as pl
import torch

from graphrec_pt.data.build import build
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import open_run
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.serve.batch import recommend_file
from graphrec_pt.serve.export import product_sides
from graphrec_pt.serve.recommender import Recommender
from graphrec_pt.training.stage import usage_of

CARD = """
name: load
tables: {sales: {file: sales.parquet}, items: {file: items.parquet}}
nodes: {user: {}, item: {table: items, id: item}}
edges:
  buys: {table: sales, source: user.user, target: item.item, time: time, interaction: true}
"""


def tables(users: int, items: int, events: int = 20) -> dict[str, pl.DataFrame]:
    """Return the tables of a shop with popular and rare items."""
    draw = np.random.default_rng(0)
    user = np.repeat(np.arange(users), events)
    item = (items * draw.random(len(user)) ** 3).astype(np.int64)
    sales = pl.DataFrame({"user": user, "item": item, "time": np.arange(len(user))})
    return {"sales": sales, "items": pl.DataFrame({"item": np.arange(items)})}


def batch(users: int, items: int) -> dict[str, Any]:
    """Recommend to everybody and return what it cost."""
    plan = {
        "nodes": {"user": {}, "item": {"table": "items", "id": "item"}},
        "edges": {
            "buys": {
                "table": "sales",
                "source": "user.user",
                "target": "item.item",
                "time": "time",
                "interaction": True,
            }
        },
    }
    graph = build(plan, tables(users, items))
    recipe = load_recipe("sasrec")
    model = Model(recipe.model, GraphSpec.of(graph), 0).attach_graph(graph).eval()
    stage = recipe.stages[-1]
    model.usage = usage_of(stage, "buys")
    recommender = Recommender(Predictor(model, graph, stage=stage, relation="buys"))
    raw = graph.tables["user"]["id"][0]
    recommender.recommend([raw], 10)  # kernels are compiled
    with TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        recommend_file(recommender, Path(folder) / "all.parquet", k=10)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rows = pl.scan_parquet(Path(folder) / "all.parquet").select(pl.len()).collect().item()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    made = {"users": users, "items": items, "width": model.width, "rows": rows}
    return {**made, "cpu_seconds": cpu, "wall_seconds": wall, "peak_mb": peak}


@contextmanager
def _shop_run(users: int = 5000, items: int = 10000) -> Iterator[Path]:
    """Train a SASRec on an invented shop."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name, table in tables(users, items).items():
            table.write_parquet(folder / f"{name}.parquet")
        (folder / "load.yaml").write_text(CARD)
        changes = [
            f"data.card={folder / 'load.yaml'}",
            "stages.0.epochs=1",
            "evaluate.baselines=[popularity]",
            "options.cpu=true",
        ]
        run_recipe(load_recipe("sasrec", changes), folder / "run", raw=folder)
        yield folder / "run"


@contextmanager
def _served(run: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve a run on a free port; yield its address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "graphrec_pt", "serve", str(run), "--every", "0"]
    server = subprocess.Popen([*command, "--port", str(port), *options], stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.terminate()
        server.wait()


def http(folder: Path, clients: int, seconds: float) -> dict[str, Any]:
    """Return requests per second and waiting times under load, beside numpy's top ten."""
    run = open_run(folder)
    users = list(run.history.tables[run.history.schema.relation(run.relation).source]["id"])
    with _served(folder) as (address, server):
        asyncio.run(_load(address, users, clients, 3.0))  # warm
        before = _resident(server.pid)
        times, errors, took = asyncio.run(_load(address, users, clients, seconds))
        after = _resident(server.pid)
    ms = np.array(times) * 1000
    return {
        "users": len(users),
        "items": run.history.num_nodes(run.history.schema.relation(run.relation).target),
        "clients": clients,
        "seconds": took,
        "requests": len(times),
        "errors": errors,
        "requests_per_second": len(times) / took,
        "p50_ms": float(np.quantile(ms, 0.5)),
        "p99_ms": float(np.quantile(ms, 0.99)),
        "resident_mb_before": before,
        "resident_mb_after": after,
        "numpy_top_k_per_second": _numpy(run),
    }


def kill(folder: Path, clients: int = 8) -> dict[str, Any]:
    """Kill one of two processes of a service under load; return what its clients saw."""
    run = open_run(folder)
    users = list(run.history.tables[run.history.schema.relation(run.relation).source]["id"])
    with _served(folder, "--workers", "2") as (address, server):
        workers = _workers(server.pid)
        while len(workers) < 2:
            time.sleep(0.2)
            workers = _workers(server.pid)
        asyncio.run(_load(address, users, clients, 2.0))  # both processes are ready
        Timer(2.0, os.kill, (workers[0], SIGKILL)).start()
        times, errors, took = asyncio.run(_load(address, users, clients, 6.0))
        begin = time.monotonic()
        while len(alive := _workers(server.pid)) < 2 and time.monotonic() - begin < 60:
            time.sleep(0.2)
        later, errors_later, _ = asyncio.run(_load(address, users, clients, 2.0))
    return {
        "clients": clients,
        "seconds": took,
        "requests": len(times),
        "lost": errors,
        "processes_afterwards": len(alive),
        "started_again": len({*alive} - {*workers}),
        "requests_afterwards": len(later),
        "lost_afterwards": errors_later,
    }


def _workers(parent: int) -> list[int]:
    """Return the ids of the processes that answer for a service."""
    found = []
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            found.append(int(child))
    return found


async def _load(
    address: str, users: list[str], clients: int, seconds: float
) -> tuple[list[float], int, float]:
    """Return waiting times, how many requests failed or were lost, and the seconds it took."""
    times: list[float] = []
    errors = 0
    draw = np.random.default_rng(1)
    begin = time.perf_counter()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def ask(client: httpx.AsyncClient) -> None:
        nonlocal errors
        while time.perf_counter() - begin < seconds:
            at = time.perf_counter()
            query = {"user": users[draw.integers(len(users))], "k": "10"}
            try:
                answer = await client.get("/recommend", params=query)
            except httpx.TransportError:
                errors += 1
                continue
            times.append(time.perf_counter() - at)
            errors += answer.status_code != 200

    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:
        await asyncio.gather(*(ask(client) for _ in range(clients)))
    return times, errors, time.perf_counter() - begin


def _numpy(run: Any) -> float:
    """Return how many top tens of inner products numpy finds in a second, one user at a time."""
    from graphrec_pt.recipe.refit import serving_of

    sides = product_sides(serving_of(run).predictor)
    assert sides is not None
    queries, items = sides[0].numpy(), sides[1].numpy()
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < 3:
        scores = items @ queries[count % len(queries)]
        best = np.argpartition(-scores, 10)[:10]
        best[np.argsort(-scores[best])]
        count += 1
    return count / (time.perf_counter() - begin)


def _wait(address: str) -> None:
    for _ in range(600):
        try:
            httpx.get(f"{address}/health", timeout=1)
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("the service did not start")


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["batch", "http", "kill", "all"], default="all")
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--run", type=Path, help="a finished run, for http and kill")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = json.loads(given.out.read_text()) if given.out and given.out.exists() else {}
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }
    found["machine"] = {**machine, "load": os.getloadavg()[0]}
    if given.part in ("batch", "all"):
        found["batch"] = batch(given.users, given.items)
    if given.part != "batch":
        with nullcontext(given.run) if given.run else _shop_run() as run:
            if given.part in ("http", "all"):
                found["http"] = http(run, given.clients, given.seconds)
            if given.part in ("kill", "all"):
                found["kill"] = kill(run)
    text = json.dumps(found, indent=1) + "\n"
    sys.stdout.write(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
