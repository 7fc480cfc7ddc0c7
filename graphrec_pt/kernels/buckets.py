"""Length buckets: packed sequences laid out as a few dense batches with little padding."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.core.memo import Memo

TIGHTNESS = 0.85  # the shortest sequence of a bucket fills at least this much of a row
SHORT = 8  # sequences up to this length share one bucket: a call costs more than their padding

_buckets: Memo["Buckets"] = Memo()  # of ptr


@dataclass(frozen=True, eq=False, slots=True)
class Bucket:
    """Sequences of similar length, one a row.

    Args:
        sequence: int64 ``[b]``, which sequences.
        token: int64 ``[b, L]`` into the packed tokens; padding repeats the row's first token.
        real: bool ``[b, L]``, where there is no padding; None when there is none anywhere.
    """

    sequence: Tensor
    token: Tensor
    real: Tensor | None


@dataclass(frozen=True, eq=False, slots=True)
class Buckets:
    """All buckets of a packed batch.

    Args:
        each: The buckets, longest sequences first.
        token: int64 ``[C]``, the tokens of the padded rows of all buckets as one list.
        place: int64 ``[T]``, row of each token when the padded rows of all buckets are one list.
        start: Place of each bucket's first row.
    """

    each: tuple[Bucket, ...]
    token: Tensor
    place: Tensor
    start: tuple[int, ...]

    @property
    def padding(self) -> float:
        """Share of the dense cells that hold no token."""
        return 1 - len(self.place) / len(self.token) if len(self.token) else 0.0


def buckets(ptr: Tensor) -> Buckets:
    """Return the buckets of a batch, built once and kept while `ptr` lives.

    Args:
        ptr: int64 ``[B+1]``, where each sequence starts. Empty sequences are in no bucket.
    """
    return _buckets(ptr, None, lambda: _built(ptr))


def _built(ptr: Tensor) -> Buckets:
    host = ptr.cpu()
    length, order = host.diff().sort(descending=True, stable=True)
    place = torch.empty(int(host[-1]), dtype=torch.int64)
    found, start, low = [], 0, 0
    starts = []
    for high in _ends(length):
        sequence = order[low:high].sort().values  # neighbours in memory stay neighbours
        column = torch.arange(int(length[low]))
        begin, size = host[sequence].unsqueeze(1), host.diff()[sequence].unsqueeze(1)
        real = column < size  # [b, L]
        token = torch.where(real, begin + column, begin)
        place[token[real]] = start + real.flatten().nonzero().squeeze(1)
        starts.append(start)
        start, low = start + token.numel(), high
        mask = None if bool(real.all()) else real.to(ptr.device)
        found.append(Bucket(sequence.to(ptr.device), token.to(ptr.device), mask))
    cells = torch.cat([host[:0], *(bucket.token.flatten().cpu() for bucket in found)])
    return Buckets(tuple(found), cells.to(ptr.device), place.to(ptr.device), tuple(starts))


def _ends(length: Tensor) -> list[int]:
    """Return where each bucket ends among lengths that fall; a new one begins at a long step."""
    ends: list[int] = []
    longest, lengths = 0, length.tolist()
    for i, size in enumerate(lengths):
        if size == 0:
            return [*ends, i] if i else []
        if i and size < TIGHTNESS * longest and longest > SHORT:
            ends.append(i)
            longest = size
        longest = longest or size
    return [*ends, len(lengths)] if lengths else []
