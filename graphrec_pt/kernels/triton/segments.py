"""What Triton kernels need of a segmented CSR: binary search for a block of values."""

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def lower_bound(
    ascending: tl.tensor, start: tl.tensor, end: tl.tensor, value: tl.tensor, steps: tl.tensor
) -> tl.tensor:
    """Return the first place in each ``[start, end)`` that is not below `value`, else `end`.

    Args:
        ascending: Pointer to values that ascend inside every range.
        start: Block of int64.
        end: Block of int64.
        value: Block of int64.
        steps: Bits of the longest range.
    """
    low, high = start, end
    for _ in range(steps):
        open_ = low < high
        middle = (low + high) >> 1
        found = tl.load(ascending + middle, mask=open_, other=0).to(tl.int64)
        low, high = (
            tl.where(open_ & (found < value), middle + 1, low),
            tl.where(open_ & (found >= value), middle, high),
        )
    return low
