"""Open thousands of damaged and forged files and objects, and count what happens.

Usage: python benchmarks/fuzz.py --target graphs|models|runs|recipes|raw|objects [--count 2000]
       [--seed 0] [--out FILE.json] [--show]

Every case damages a copy of something good (see benchmarks/sections/mutations.py) and asks a
question that reads all of it. Fine is a refusal in one line each (GraphRecError), or the answer of
the undamaged thing; where digests were forged along, any answer. Everything else is a finding:
another answer, another exception, a crash, a case of more than a minute, a GiB of memory.

Cases run in a process of their own, which is started anew when it dies.
"""

import argparse
import json
import random
import resource
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SECONDS, MEMORY = 60.0, 1 << 20  # for a case; KiB
FINE = ("refused", "equal", "answered")


def answer(target: Any, place: Path) -> tuple[str, str]:
    """Return what a target makes of a damaged thing, and the answer or error."""
    from graphrec_pt.core.errors import GraphRecError

    try:
        return "answered", json.dumps(target.ask(place), default=str, sort_keys=True)
    except GraphRecError as error:
        lines = str(error).splitlines()
        long = any(len(line) > 3000 for line in lines) or len(lines) > 60
        return ("too long" if long or "\x1b" in str(error) else "refused"), str(error)
    except Exception as error:  # whatever it is, it is a finding
        place_of = error.__traceback__
        while place_of and place_of.tb_next:
            place_of = place_of.tb_next
        where = (
            place_of and f"{Path(place_of.tb_frame.f_code.co_filename).name}:{place_of.tb_lineno}"
        )
        return f"{type(error).__name__}", f"{where}: {str(error)[:300]}"


def cases(
    target: Any, base: Path, seed: int, numbers: Iterable[int]
) -> Iterator[tuple[int, str, str, str]]:
    """Yield number, damage, result and error of each case; before it runs, without a result."""
    good = answer(target, base / "one") if (base / "one").exists() else ("answered", "")
    if good[0] != "answered":
        raise SystemExit(f"the undamaged one: {good}")
    for case in numbers:
        draw = random.Random(f"{seed}-{case}")
        place = base / "case"
        shutil.rmtree(place, ignore_errors=True)
        did, forged = target.damage(base, place, draw)
        yield case, did, "", ""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result, told = answer(target, place)
        if result == "answered" and not forged:
            result = "equal" if told == good[1] else "another answer"
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory > MEMORY:
            result = "memory"
        yield case, did, result, "" if result in FINE else told


def work(name: str, base: Path, seed: int, start: int, count: int) -> None:
    """Run cases in this process, a line of JSON for each."""
    from sections.hostile import TARGETS

    for case, did, result, told in cases(TARGETS[name](), base, seed, range(start, count)):
        record = {"case": case, "result": result, "told": told} if result else {}
        print(json.dumps(record or {"case": case, "did": did}), flush=True)


def supervise(name: str, base: Path, seed: int, count: int, show: bool) -> dict[str, Any]:
    """Run all cases, whatever happens to the process, and count the results."""
    counts: Counter[str] = Counter()
    findings: list[dict[str, Any]] = []
    case = 0
    while case < count:
        command = [sys.executable, __file__, "--target", name, "--seed", str(seed)]
        command += ["--work", str(base), str(case), str(count)]
        errors = (base / "stderr").open("wb")
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert child.stdout is not None
        did, begun, result, warm = "start", time.monotonic(), None, False
        while True:
            wait = (SECONDS if warm else 300) - (time.monotonic() - begun)  # the first one imports
            ready = select.select([child.stdout], [], [], max(wait, 0))[0]
            line = child.stdout.readline() if ready else ""
            if not line:
                result = "hang" if not ready else f"crash {child.wait()}"
                break
            record = json.loads(line)
            if "did" in record:
                did, begun, case = record["did"], time.monotonic(), record["case"]
                continue
            counts[record["result"]] += 1
            warm = True
            if record["result"] not in FINE:
                findings.append({**record, "did": did})
                if show:
                    print(findings[-1], flush=True)
            case = record["case"] + 1
            if case == count:
                break
        child.kill()
        child.wait()
        errors.close()
        if case < count:
            counts[result or "crash"] += 1
            said = (base / "stderr").read_text(errors="replace")[-300:]
            findings.append({"case": case, "result": result, "did": did, "told": said})
            if did == "start":
                raise SystemExit(f"no case ran: {said}")
            if show:
                print(findings[-1], flush=True)
            case += 1
    return {"count": count, "seed": seed, "results": dict(counts), "findings": findings[:20]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", action="store_true", help="print findings as they come")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        base, start, count = given.work
        work(given.target, Path(base), given.seed, int(start), int(count))
        return
    from sections.hostile import TARGETS

    begun = time.monotonic()
    with TemporaryDirectory() as scratch:
        base = Path(scratch)
        TARGETS[given.target]().prepare(base)
        found = supervise(given.target, base, given.seed, given.count, given.show)
    found["seconds"] = round(time.monotonic() - begun, 1)
    print(json.dumps(found, indent=1))
    if given.out:
        before = json.loads(given.out.read_text()) if given.out.exists() else {}
        given.out.write_text(json.dumps({**before, given.target: found}, indent=1) + "\n")
    raise SystemExit(any(result not in FINE for result in found["results"]))


if __name__ == "__main__":
    main()
