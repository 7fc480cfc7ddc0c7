import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.dispatch import body, chosen_body, forced_body

CPU = torch.empty(0)

CHECKED = """
import torch
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.walk import walk

def graph(end):
    t = torch.tensor
    segment, indices = t([0, 1, end]), t([1, 0], dtype=torch.int32)
    return SegmentedCSR(t([0, 2]), t([1]), t([0, 2]), segment, indices)

nodes, _ = walk(graph(2), torch.tensor([0, 1]), 3, Key(0))
assert nodes.tolist() == [[0, 1, 0, 1], [1, 0, 1, 0]]
try:
    walk(graph(1000), torch.tensor([1]), 3, Key(0))
except IndexError:
    print("caught")
"""


def test_the_device_chooses_unless_a_body_is_forced(monkeypatch):
    monkeypatch.delenv("GRAPHREC_KERNELS", raising=False)
    assert chosen_body(CPU) == "numba"
    monkeypatch.setenv("GRAPHREC_KERNELS", "torch")
    assert chosen_body(CPU) == "torch"
    with forced_body("triton"):
        assert chosen_body(CPU) == "triton"
    assert chosen_body(CPU) == "torch"
    assert body("walk", CPU).__module__ == "graphrec_pt.kernels.torch.walk"


def test_unknown_bodies_are_refused(monkeypatch):
    with pytest.raises(GraphRecError, match="did you mean 'numba'"), forced_body("nmba"):
        pass
    monkeypatch.setenv("GRAPHREC_KERNELS", "cuda")
    with pytest.raises(GraphRecError, match="GRAPHREC_KERNELS: expected a kernel body"):
        chosen_body(CPU)


def run_checked(*command):
    environment = {**os.environ, "GRAPHREC_KERNELS_DEBUG": "1"}
    command = [sys.executable, *command]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_debug_mode_catches_reads_out_of_bounds():
    done = run_checked("-c", CHECKED)
    assert done.stdout == "caught\n", done.stderr


@pytest.mark.slow
def test_kernels_read_nothing_out_of_bounds():
    """Run the conformance cases of the compiled bodies with every index checked."""
    cases = "numba and (agree or dead or without or hub)"
    done = run_checked("-m", "pytest", "-q", "-k", cases, str(Path(__file__).parent))
    assert done.returncode == 0, done.stdout[-3000:]


def test_threads_take_turns_where_numba_demands_it() -> None:
    """numba ends the process when two threads enter its ``workqueue`` layer at once."""
    code = """
        import threading, numba, torch
        from graphrec_pt.core.key import Key
        from graphrec_pt.kernels.csr import SegmentedCSR
        from graphrec_pt.kernels.walk import walk
        n = 1000
        one = [torch.tensor(column) for column in ([0, n], [1], [0, n])]
        csr = SegmentedCSR(*one, torch.arange(0, 4 * n + 1, 4), (torch.arange(4 * n) % n).int())
        def work():
            for _ in range(20):
                walk(csr, torch.arange(n), 20, Key(0), repeats=4)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(numba.threading_layer())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"NUMBA_THREADING_LAYER": "workqueue"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "workqueue"
