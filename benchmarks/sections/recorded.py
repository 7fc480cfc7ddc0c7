"""What is recorded of one run, from the command line and the files of its folder, and compared."""

import contextlib
import io
import json
import runpy
import sys
from collections.abc import Iterable
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

Found = dict[str, Any]
USERS = 10
"""Who are recommended items."""
ROWS = 4000
"""Rows of a table that are kept beside its digest, to tell where two tables part."""
FIRST = 4
"""Values of a tensor that are kept beside its digest."""
NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
"""Types of safetensors whose first values can be told."""
LEFT_OUT = {"seconds", "peak_memory_mb", "format", "graphrec_pt", "digest", "files"}
"""Entries of metrics.json that differ between two runs of the same: time, memory; versions; and
digests of files, one of which logs the speed. What the files hold is compared by itself."""
INDEX = "items.usearch"
"""The graph of neighbours in it depends on which of usearch's threads is first: not compared; the
vectors that it holds are."""


def recorded(job: Found) -> Found:
    """Run a recipe by the command line, in this process, and return all that it computed.

    Args:
        job: ``run`` is the recipe and its changes, ``given`` options, ``folder`` where it goes.
    """
    folder = Path(job["folder"])
    code, _, said = called("run", *job["run"], *job["given"], "--out", str(folder))
    if code:
        return {"failed": code, "said": said}
    tables = {
        path.relative_to(folder).as_posix(): table_of(path)
        for path in sorted([*folder.glob("*.parquet"), *folder.glob("seed-*/*.parquet")])
    }
    metrics = without(json.loads((folder / "metrics.json").read_text("utf-8")))
    given, why = recommended(folder)
    return {
        "weights": {
            path.relative_to(folder).as_posix(): tensors_of(path)
            for path in sorted(folder.rglob("*.safetensors"))
        },
        "metrics": metrics,
        "ranks": tables,
        "recommendations": given,
        "explanations": why,
        "exports": {to: exported(folder, to) for to in ("embeddings", "ann")},
    }


def called(*arguments: str) -> tuple[int, str, str]:
    """Call the command line; return its status, what it printed and the last line of its errors."""
    out, errors = io.StringIO(), io.StringIO()
    sys.argv = ["graphrec", *arguments]
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            runpy.run_module("graphrec_pt", run_name="__main__")
        except SystemExit as exit:
            code = exit.code
    return int(code or 0), out.getvalue(), (errors.getvalue().strip() or "-").splitlines()[-1]


def refused(code: int, said: str) -> Found:
    """Return what is told of a command that a run does not answer."""
    return {"exit": code, "said": said}


def tensors_of(path: Path) -> list[list[Any]]:
    """Return type, shape, digest, name and first values of the tensors of a file, in this order."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header.pop("__metadata__", None)
    found = []
    for name, about in header.items():
        low, high = (begin + place for place in about["data_offsets"])
        kind, shape, first = about["dtype"], about["shape"], None
        if kind in NUMBERS:
            few = min(FIRST, prod(shape))
            first = np.frombuffer(content[low:high], NUMBERS[kind], few).tolist()
        found.append([kind, shape, sha256(content[low:high]).hexdigest(), name, first])
    return sorted(found, key=lambda each: json.dumps(each[:4]))


def table_of(path: Path) -> Found:
    """Return the digest of a table whatever the order of its rows, and its first rows sorted."""
    table = pl.read_parquet(path)
    table = table.select(sorted(table.columns))
    rows = sorted(json.dumps(row, ensure_ascii=False, default=str) for row in table.rows())
    digest = sha256("\n".join(rows).encode()).hexdigest()
    columns = {name: str(kind) for name, kind in table.schema.items()}
    return {"columns": columns, "rows": len(rows), "digest": digest, "first": rows[:ROWS]}


def recommended(folder: Path) -> tuple[Any, Any]:
    """Return the items and scores that ten users of the test are given, and the paths to them."""
    tested = [
        pl.read_parquet(folder / name)
        for name in ("ranks.parquet", "predictions.parquet")
        if (folder / name).exists()
    ]
    users = sorted(set(tested[0].filter(split="test")["user"]))[:USERS]
    asked = [word for user in users for word in ("--user", user)]
    code, printed, said = called("recommend", str(folder), *asked, "--explain", "--json")
    if code:
        return refused(code, said), refused(code, said)
    told = json.loads(printed)
    items = {each["user"]: [[i["id"], i["score"]] for i in each["items"]] for each in told}
    paths = {each["user"]: {i["id"]: i["paths"] for i in each["items"]} for each in told}
    return items, paths


def exported(folder: Path, to: str) -> Found:
    """Return the digests of what an export writes."""
    out = folder / f"exported-{to}"
    code, _, said = called("export", str(folder), "--to", to, "--out", str(out))
    if code:
        return refused(code, said)
    found: Found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".parquet":
            found[name] = {**table_of(path), "first": table_of(path)["first"][:1]}
        elif path.name == INDEX:
            found[name] = vectors_of(path)
        elif path.is_file():
            found[name] = path.read_text("utf-8")
    return found


def vectors_of(path: Path) -> Found:
    """Return the digest of the vectors of an index, by key."""
    from usearch.index import Index

    index: Any = Index.restore(str(path))
    keys = np.sort(np.asarray(index.keys))
    vectors = np.stack([index.get(int(key)) for key in keys])
    return {"shape": vectors.shape, "digest": sha256(vectors.tobytes()).hexdigest()}


def without(value: Any) -> Any:
    """Return metrics without what differs between two runs of the same."""
    if isinstance(value, dict):
        return {name: without(each) for name, each in value.items() if name not in LEFT_OUT}
    return [without(each) for each in value] if isinstance(value, list) else value


def differences(before: Found | None, after: Found | None) -> list[str]:
    """Return what differs between two recordings of a run, each with the first other values."""
    if before is None or after is None:
        return ["only in the " + ("second" if before is None else "first")]
    if "failed" in before or "failed" in after:
        return [f"the run failed: {before.get('said')} → {after.get('said')}"]
    found = []
    for part in ("weights", "metrics", "ranks", "recommendations", "explanations", "exports"):
        old, new = before[part], after[part]
        told = other_weights(old, new) if part == "weights" else other_values(old, new)
        if told:
            more = f" and {len(told) - 1} more" if len(told) > 1 else ""
            found.append(f"{part.upper()} differ: {told[0]}{more}")
    if found and (other := other_values(before["options"], after["options"], "options")):
        found.append(f"(was not asked the same: {other[0]})")
    return found


def other_weights(before: Found, after: Found) -> list[str]:
    """Return the tensors that only one side has, whatever they are called there."""
    found = [f"{file} in one alone" for file in sorted(before.keys() ^ after.keys())]
    for file in before.keys() & after.keys():
        lost, come = list(before[file]), []
        for tensor in after[file]:
            same = next((each for each in lost if each[:3] == tensor[:3]), None)
            if same is None:
                come.append(tensor)
            else:
                lost.remove(same)
        for n in range(max(len(lost), len(come))):
            ends = [_told(side[n]) if n < len(side) else "nothing" for side in (lost, come)]
            found.append(f"{file}: {ends[0]} → {ends[1]}")
    return found


def _told(tensor: list[Any]) -> str:
    kind, shape, digest, name, first = tensor
    return f"{name} {kind}{shape} {digest[:8]} {first}"


def other_values(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the places at which two values differ, with both; NaN is equal to NaN."""
    if isinstance(before, dict) and isinstance(after, dict):
        if "exit" in before and "exit" in after:  # the words may change
            before, after = before["exit"], after["exit"]
        else:
            names = [*before, *(name for name in after if name not in before)]
            old, new = ([side.get(name, "nothing") for name in names] for side in (before, after))
            return _others(names, old, new, path)
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return _others(range(len(before)), before, after, path)
    if before == after or (before != before and after != after):
        return []
    return [f"{path} {str(before)[:200]} → {str(after)[:200]}"]


def _others(names: Iterable[Any], before: list[Any], after: list[Any], path: str) -> list[str]:
    every = zip(names, before, after, strict=True)
    return [told for name, old, new in every for told in other_values(old, new, f"{path}/{name}")]
