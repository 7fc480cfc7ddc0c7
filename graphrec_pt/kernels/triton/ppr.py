"""Forward push: the rounds of the torch body, with one program per pushing node.

Only the scatter along edges is a kernel of its own; finding the nodes to push stays with torch,
and the dense residuals cost B · N memory, so roots are processed in groups.
"""

import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.ppr import push_all

BLOCK = 128


@triton.jit  # type: ignore[untyped-decorator]
def _give_edges(
    start: tl.tensor,
    end: tl.tensor,
    indices: tl.tensor,
    row: tl.tensor,
    share: tl.tensor,
    residual: tl.tensor,
    n: tl.tensor,
    size: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64)
    stop = tl.load(end + i)
    mass = tl.load(share + i)
    own = residual + tl.load(row + i) * n
    for first in range(tl.load(start + i), stop, size):
        e = first + tl.arange(0, size)
        target = tl.load(indices + e, mask=e < stop, other=0).to(tl.int64)
        # Integers: the order of additions does not matter.
        tl.atomic_add(own + target, tl.zeros_like(target) + mass, mask=e < stop)


def _give(csr: SegmentedCSR, residual: Tensor, row: Tensor, node: Tensor, share: Tensor) -> None:
    start, end = csr.bounds(node)
    _give_edges[(len(node),)](
        start,
        end,
        csr.indices.contiguous(),
        row,
        share,
        residual,
        residual.shape[1],
        BLOCK,
        enable_fp_fusion=False,
    )


def ppr(
    csr: SegmentedCSR, roots: Tensor, k: int, stop: int, least: int, exclude: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return top-k nodes and masses; see :func:`graphrec_pt.kernels.ppr.ppr`."""
    return push_all(csr, roots, k, stop, least, exclude, _give)
