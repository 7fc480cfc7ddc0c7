"""What the first call costs: compiling, and loading what an earlier process compiled."""

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

from sections.measure import Row, Settings

CALLS = {
    "uniform walk": "walk(csr, roots, 4, Key(0))",
    "walk with any option": "walk(csr, roots, 4, Key(0), restart=0.1)",
    "fan-out": "neighbors(csr, roots, 2, Key(0))",
}

SCRIPT = """
import time
import torch
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.neighbors import neighbors
from graphrec_pt.kernels.walk import walk
import graphrec_pt.kernels.numba.walk, graphrec_pt.kernels.numba.neighbors

t = torch.tensor
indices = t([1, 0], dtype=torch.int32)
csr = SegmentedCSR(t([0, 2]), t([1]), t([0, 2]), t([0, 1, 2]), indices)
roots = t([0, 1])
begin = time.perf_counter()
{call}
print(time.perf_counter() - begin)
"""


def rows(settings: Settings) -> list[Row]:
    """Measure the first call with an empty and with a filled cache on disk, in new processes."""
    found = []
    for op, call in CALLS.items():
        with TemporaryDirectory() as folder:
            environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
            cold, warm = (_seconds(SCRIPT.format(call=call), environment) for _ in range(2))
        found.append(Row(f"first call, {op}", "2 nodes", "s", warm, "empty cache", cold))
    return found


def _seconds(script: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)
