"""Co-occurrence scores, one history after another: running sums over items with a score."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.kernels.cooccurrence import Matrices
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.segments import lower_bound


@inlined
def _strongest(items: Any, strength: Any, count: int, most: int) -> Any:
    """Move the strongest items to the front, the lower ids among equals; return how many."""
    least = np.partition(strength[:count], count - most)[count - most]
    kept, level = 0, 0
    level_ids = np.empty(count, np.int64)
    for k in range(count):
        if strength[k] > least:
            items[kept] = items[k]
            kept += 1
        elif strength[k] == least:
            level_ids[level] = items[k]
            level += 1
    level_ids[:level].sort()
    for k in range(most - kept):
        items[kept + k] = level_ids[k]
    return most


@kernel()
def _sums(
    own: bool,
    most: int,
    floor: np.float32,
    item: Any,
    ptr: Any,
    place: Any,
    target: Any,
    mptr: Any,
    indices: Any,
    values: Any,
    left: Any,
    right: Any,
    near: Any,
    far: Any,
    which: Any,
    decays: Any,
) -> Any:
    """Return counts ``[P]``, items ``[N]`` and values ``[N, C]``."""
    size, width, window = mptr.shape[1] - 1, which.shape[0], near.shape[1] // 2
    # By this factor the sums decay until the next place that is scored.
    total, fade = np.zeros((size, width), np.float32), np.empty(width, np.float32)
    touched, marked = np.empty(size, np.int64), np.zeros(size, np.bool_)
    seen, strength = np.zeros(size, np.bool_), np.empty(size, np.float32)
    open_ = np.empty(size, np.int64)
    counts = np.zeros(place.shape[0], np.int64)
    room, used = 1 << 12, 0
    items, sums = np.empty(room, np.int64), np.empty((room, width), np.float32)
    query = 0
    for b in range(ptr.shape[0] - 1):
        first, last = ptr[b], ptr[b + 1]
        n, scored_until = 0, -1
        for t in range(first, last):
            if query == place.shape[0] or place[query] >= last:
                break
            x = item[t]
            seen[x] = True
            if scored_until == t - 1:
                for c in range(width):
                    fade[c] = decays[c] ** np.float32(place[query] - scored_until)
                for k in range(n):
                    for c in range(width):
                        total[touched[k], c] *= fade[c]
            for c in range(width):
                fade[c] = decays[c] ** np.float32(place[query] - t)
            for c in range(width):
                m = which[c]
                for e in range(mptr[m, x], mptr[m, x + 1]):
                    j = indices[e]
                    if not marked[j]:
                        marked[j] = True
                        touched[n] = j
                        n += 1
                    total[j, c] += fade[c] * values[e]
            if own:
                for p in range(first, last):
                    if item[p] != x:
                        continue
                    for q in range(first, last):
                        if q == p:
                            continue
                        y = item[q]
                        for m in range(mptr.shape[0]):
                            weight = far[m]
                            if abs(q - p) <= window:
                                weight = near[m, q - p + window]
                            if weight == 0:
                                continue
                            e = lower_bound(indices, mptr[m, x], mptr[m, x + 1], y)
                            if e == mptr[m, x + 1] or indices[e] != y:
                                continue
                            share = weight * left[m, x] * right[m, y]
                            for c in range(width):
                                if which[c] == m:
                                    total[y, c] -= fade[c] * share
            while query < place.shape[0] and place[query] == t:
                count = 0
                for k in range(n):
                    j = touched[k]
                    if seen[j] and j != target[query]:
                        continue
                    highest, summed = np.float32(0), np.float32(0)
                    for c in range(width):
                        highest = max(highest, total[j, c])
                        summed += max(total[j, c], np.float32(0))
                    if highest > floor:
                        open_[count], strength[count] = j, summed
                        count += 1
                if count > most:
                    count = _strongest(open_, strength, count, most)
                kept = np.sort(open_[:count])
                while used + kept.shape[0] > room:
                    room *= 2
                    more, wider = np.empty(room, np.int64), np.empty((room, width), np.float32)
                    more[:used], wider[:used] = items[:used], sums[:used]
                    items, sums = more, wider
                for j in kept:
                    items[used] = j
                    for c in range(width):
                        sums[used, c] = max(total[j, c], np.float32(0))
                    used += 1
                counts[query] = kept.shape[0]
                query, scored_until = query + 1, t
        for k in range(n):
            marked[touched[k]] = False
            total[touched[k]] = 0
        for t in range(first, last):
            seen[item[t]] = False
    return counts, items[:used].copy(), sums[:used].copy()


def cooccurrence(
    item: Tensor,
    ptr: Tensor,
    place: Tensor,
    target: Tensor,
    matrices: Matrices,
    which: Tensor,
    decays: Tensor,
    own: bool,
    most: int,
    floor: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ptr, item and value; see :func:`graphrec_pt.kernels.cooccurrence.cooccurrence`."""
    arrays = [x.numpy() for x in (item, ptr, place, target, *matrices, which, decays)]
    count, sums, value = _sums(own, most, np.float32(floor), *arrays)
    ends = torch.from_numpy(np.concatenate([[0], np.cumsum(count)]))
    return ends, torch.from_numpy(sums), torch.from_numpy(value)
