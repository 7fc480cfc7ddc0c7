"""k-core: drop nodes with too few edges until every node that is left has enough."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def k_core(
    source: npt.NDArray[np.integer],
    target: npt.NDArray[np.integer],
    counts: tuple[int, int],
    least: tuple[int, int],
) -> tuple[Mask, Mask]:
    """Return which source and target nodes survive (Seidman 1983, for two node types).

    Args:
        source: Integers ``[E]`` below ``counts[0]``.
        target: Integers ``[E]`` below ``counts[1]``.
        counts: Number of source and target nodes.
        least: Edges that a source and a target node must keep.

    Returns:
        Two bool arrays, ``[counts[0]]`` and ``[counts[1]]``.
    """
    keep_source, keep_target = np.ones(counts[0], bool), np.ones(counts[1], bool)
    while True:
        inside = keep_source[source] & keep_target[target]
        enough_source = np.bincount(source[inside], minlength=counts[0]) >= least[0]
        enough_target = np.bincount(target[inside], minlength=counts[1]) >= least[1]
        if (enough_source >= keep_source).all() and (enough_target >= keep_target).all():
            return keep_source, keep_target
        keep_source &= enough_source
        keep_target &= enough_target
