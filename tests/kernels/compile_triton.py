"""Compiles every Triton kernel for CUDA, on any machine: what the interpreter lets pass fails here.

Run as a script it prints one JSON line per launch: case, kernel and error, empty if it compiled.
Launches compile and do not run; what comes after one gets as much of an output as it needs.
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))  # the package beside these tests

from graphrec_pt.core.key import Key
from graphrec_pt.kernels.adjacency import induce, member
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.kernels.negative import negative, popularity
from graphrec_pt.kernels.neighbors import neighbors
from graphrec_pt.kernels.paths import constrained_paths, edge_score, paths
from graphrec_pt.kernels.philox import philox
from graphrec_pt.kernels.ppr import ppr
from graphrec_pt.kernels.softmax_loss import softmax_loss
from graphrec_pt.kernels.sparse import sddmm, segment_softmax, spmm
from graphrec_pt.kernels.topk import topk
from graphrec_pt.kernels.walk import walk

Case = Callable[[], object]
HOPPER = ("cuda", 90, 32)
KEY = Key(1, stream=0)
ROOTS = torch.tensor([0, 1, 2])
WIDE = (
    "walk everything",
    "neighbors excluding",
    "paths excluding",
    "constrained_paths excluding",
    "negative",
    "member",
    "induce int64 nodes in",
    "ppr",
)
"""Cases that read ids of 64 bits too."""
FILLED = {"_induce": ("out", 1), "_search": ("out", -1)}  # what a result may not be garbage for


def graph(index: torch.dtype) -> SegmentedCSR:
    """Return a cycle through three users and three items, there and back."""
    return SegmentedCSR(
        offset=torch.tensor([0, 3, 6]),
        slots=torch.tensor([1, 1]),
        base=torch.tensor([0, 3, 6]),
        segment=torch.arange(0, 13, 2),
        indices=torch.tensor([3, 4, 4, 5, 3, 5, 0, 2, 0, 1, 1, 2], dtype=index),
        time=torch.arange(12),
        weight=torch.ones(12),
        edge=torch.tensor([0, 1, 2, 3, 4, 5, 0, 4, 1, 2, 3, 5], dtype=index),
    )


def cases() -> Iterator[tuple[str, Case]]:
    """Give the name and the launch of every variant that the public kernels can ask for."""
    yield from _graph_cases(graph(torch.int32))
    wide = dict(_graph_cases(graph(torch.int64)))
    yield from ((f"{name}, int64", wide[name]) for name in WIDE)
    for floats in (torch.float32, torch.float64):
        yield from ((f"{name}, {_name(floats)}", case) for name, case in _dense_cases(floats))
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        yield f"softmax_loss, {_name(kind)}", partial(_loss, kind, None)
    yield "softmax_loss under autocast", partial(_loss, torch.float32, torch.bfloat16)


def _graph_cases(csr: SegmentedCSR) -> Iterator[tuple[str, Case]]:
    yield "philox", partial(philox, KEY, ROOTS, 7)
    bans = torch.tensor([0, -1, 2])
    walks: dict[str, dict[str, Any]] = {
        "plain": {},
        "one hop": {"length": 1},
        "metapath": {"slots": torch.zeros(4, dtype=torch.int64)},
        "restarting": {"restart": 0.2},
        "weighted": {"weighted": True},
        "node2vec": {"p": 0.5, "q": 2.0},
        "timed": {"timed": True},
        "excluding": {"exclude": bans},
        "weighted node2vec": {"weighted": True, "p": 0.5, "repeats": 2},
        "everything": {
            "weighted": True, "p": 0.5, "timed": True, "after": torch.zeros_like(ROOTS),
            "exclude": bans, "restart": 0.1, "repeats": 3,
        },
    }  # fmt: skip
    for name, options in walks.items():
        yield f"walk {name}", partial(walk, csr, ROOTS, key=KEY, **{"length": 4, **options})
    for replace, weighted, bar in (
        (False, False, None),
        (False, False, bans),
        (True, False, bans),
        (False, True, bans),
        (True, True, None),
    ):
        name = " ".join(
            ["neighbors", *(["replace"] * replace), *(["weighted"] * weighted)]
            + (["excluding"] if bar is not None else [])
        )
        options = {"replace": replace, "weighted": weighted, "exclude": bar}
        yield name, partial(neighbors, csr, ROOTS, 1, KEY, **options)
    yield (
        "neighbors before",
        partial(
            neighbors, csr, ROOTS, 1, KEY, before=torch.full((3,), 90), slots=torch.tensor([0])
        ),
    )
    yield "ppr", partial(ppr, csr, ROOTS, 3, exclude=bans)
    score, items = edge_score(csr), ROOTS + 3
    for bar in (None, bans):
        tail = "" if bar is None else " excluding"
        yield (
            f"paths{tail}",
            partial(paths, csr, ROOTS, items, [0, 0, 0], 2, score=score, back=0, exclude=bar),
        )
        yield (
            f"constrained_paths{tail}",
            partial(constrained_paths, csr, ROOTS, 0, 2, KEY, exclude=bar, through=[0]),
        )
    yield "constrained_paths 5 hops", partial(constrained_paths, csr, ROOTS, 0, 1, KEY, hops=5)
    drawn = partial(negative, csr, ROOTS, 0, 4, KEY, low=3, high=6)
    yield "negative", drawn
    yield "negative by popularity", partial(drawn, cumulative=popularity(torch.ones(3)))
    yield "negative of all", partial(negative, csr, ROOTS, 0, 1, KEY, low=0, high=6)
    yield "member", partial(member, csr, ROOTS, 0, items)
    yield "member of any", partial(member, csr, ROOTS, -1, items)
    for nodes in (ROOTS, ROOTS.int()):
        name = f"induce {_name(nodes.dtype)} nodes in"
        yield name, partial(induce, csr, torch.cat([nodes, nodes + 3]), torch.tensor([0, 6]))
    dense, ends = torch.ones(6, 5), csr.segment
    yield "spmm", partial(spmm, ends, csr.indices, None, dense)
    yield "sddmm", partial(sddmm, ends, csr.indices, dense, dense)


def _dense_cases(floats: torch.dtype) -> Iterator[tuple[str, Case]]:
    csr = graph(torch.int64)
    for width in (1, 64):
        dense = torch.ones(6, width, dtype=floats)
        given = (csr.segment, csr.indices)
        yield f"spmm of {width}", partial(spmm, *given, dense[:1, 0].expand(12), dense)
        yield f"sddmm of {width}", partial(sddmm, *given, dense, dense)
    for heads in (1, 3):
        scores = torch.ones(12, heads, dtype=floats)
        yield f"segment_softmax of {heads}", partial(segment_softmax, csr.segment, scores)
    for k in (1, 10):
        scored = torch.ones(5, 16, dtype=floats)
        yield f"topk {k}", partial(topk, scored[:2], scored, k)
    wide = torch.ones(9000, 16, dtype=floats)
    yield "topk of a whole block", partial(topk, wide[:2], wide, 20)


def _loss(kind: torch.dtype, autocast: torch.dtype | None) -> None:
    for rows, items, needs in ((3, 40, True), (3, 5000, True), (3, 40, False)):
        hidden = torch.ones(rows, 8, dtype=kind, requires_grad=needs)
        table = torch.ones(items, 8, dtype=kind, requires_grad=needs)
        target = torch.zeros(rows, dtype=torch.int64)
        with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
            softmax_loss(hidden, table, target)


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


class _Driver:
    """Stands in for a CUDA driver: knows its target, and never launches."""

    launcher_cls = None

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget(*HOPPER)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return device

    def is_active(self) -> bool:
        return True

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")


def main(pattern: str = "") -> None:
    """Compile the cases whose name contains `pattern`."""
    from triton.runtime.driver import driver
    from triton.runtime.jit import JITFunction

    driver.set_active(_Driver())
    compiling, case = JITFunction.run, ""

    def run(self: Any, *args: Any, grid: object, warmup: bool, **options: Any) -> None:
        error = ""
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                compiling(self, *args, grid=grid, warmup=True, **options)
            except Exception as fault:  # whatever a compiler throws
                error = f"{type(fault).__name__}: {fault}\n{fault.__cause__ or ''}"
        error = error or "".join(f"{warning.message}\n" for warning in warned)
        print(json.dumps({"case": case, "kernel": self.__name__, "error": error}), flush=True)
        name, value = FILLED.get(self.__name__, ("", 0))
        if name:
            out: Tensor = args[self.arg_names.index(name)]
            out.fill_(value)

    JITFunction.run = run
    with forced_body("triton"):
        for case, launch in cases():
            if pattern in case:
                launch()


if __name__ == "__main__":
    main(*sys.argv[1:])
