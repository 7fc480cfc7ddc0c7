"""Kernels use as many threads as torch, and leave torch's count alone."""

import os
import subprocess
import sys
import textwrap

import pytest

CODE = """
    from threading import Thread
    import numba, torch
    from graphrec_pt.core.key import Key
    from graphrec_pt.kernels.csr import SegmentedCSR
    from graphrec_pt.kernels.numba.compile import thread_count, with_threads
    from graphrec_pt.kernels.walk import walk
    n = 100
    one = [torch.tensor(column) for column in ([0, n], [1], [0, n])]
    csr = SegmentedCSR(*one, torch.arange(0, 4 * n + 1, 4), (torch.arange(4 * n) % n).int())
    inside = with_threads(numba.get_num_threads)
    def counts():
        found = [torch.get_num_threads()]
        walk(csr, torch.arange(n), 4, Key(0))
        return [*found, torch.get_num_threads(), thread_count(), inside(), numba.get_num_threads()]
    each = [] if {thread_first} else [counts()]
    thread = Thread(target=lambda: each.append(counts()))
    thread.start(), thread.join()
    each.append(counts())
    torch.set_num_threads(1)
    each.append(counts())
    print(each)
"""


@pytest.mark.parametrize("thread_first", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_torch_decides_and_keeps_its_count(threads: int, thread_first: bool) -> None:
    code = textwrap.dedent(CODE).format(thread_first=thread_first)
    environment = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    usual = [threads, threads, threads, threads, 2]
    assert done.stdout.strip() == str([usual] * (2 if thread_first else 3) + [[1, 1, 1, 1, 2]])
