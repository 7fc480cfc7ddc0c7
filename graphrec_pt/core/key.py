"""The random key: every draw is a pure function of (seed, epoch, stream, item, draw).

Philox 4×32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11) maps a
128-bit counter and a 64-bit key to four 32-bit words. The counter is
``(item, block, stream, epoch)``: *item* says whose draw it is (a root node, an edge, a batch),
*block* = draw // 4 selects the block and ``draw % 4`` the word inside it. Nothing is stateful, so
the same draw is the same bits in any order, on any device, with any number of workers.
"""

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import numpy.typing as npt

from graphrec_pt.core.errors import GraphRecError

UInt32 = npt.NDArray[np.uint32]

PHILOX_M0, PHILOX_M1 = 0xD2511F53, 0xCD9E8D57  # multipliers of the two lanes
PHILOX_W0, PHILOX_W1 = 0x9E3779B9, 0xBB67AE85  # key increments (golden ratio, √3 − 1)
PHILOX_ROUNDS = 10
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Key:
    """Names a family of random draws; hand it to any sampler, corruption or split.

    Args:
        seed: Unsigned 64-bit; the Philox key.
        epoch: Unsigned 32-bit; counter word 3.
        stream: Unsigned 32-bit; counter word 2, best made with :meth:`named`.

    Raises:
        GraphRecError: When a field is out of its range.

    Example:
        >>> key = Key(0).named("negatives").at_epoch(3)
        >>> draw32(key, np.array([5, 6]), 0).tolist()  # items 5 and 6
        [89020648, 3165009976]
        >>> draw32(key, np.array([6]), 0).tolist()  # item 6 alone has the same draw
        [3165009976]
    """

    seed: int
    epoch: int = 0
    stream: int = 0

    def __post_init__(self) -> None:
        for name, bits in (("seed", 64), ("epoch", 32), ("stream", 32)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or not 0 <= value < 1 << bits:
                raise GraphRecError("Key", f"0 <= {name} < 2**{bits}, a whole number", repr(value))

    def named(self, purpose: str) -> "Key":
        """Return the key of an independent stream for `purpose` (streams nest)."""
        return replace(self, stream=crc32(purpose.encode(), self.stream))

    def at_epoch(self, epoch: int) -> "Key":
        """Return the same key in another epoch."""
        return replace(self, epoch=epoch)

    @property
    def words(self) -> tuple[int, int]:
        """The seed as the two 32-bit Philox key words, low word first."""
        return self.seed & _WORD, self.seed >> 32


def philox(key: tuple[int, int], counter: tuple[UInt32, UInt32, UInt32, UInt32]) -> UInt32:
    """Encrypt counters with ten Philox rounds.

    Args:
        key: Two 32-bit key words.
        counter: Four uint32 arrays that broadcast to one shape.

    Returns:
        uint32 of the broadcast shape + ``[4]``.
    """
    c0, c1, c2, c3 = (c.astype(np.uint64) for c in np.broadcast_arrays(*counter))
    k0, k1 = key
    word, shift = np.uint64(_WORD), np.uint64(32)
    for _ in range(PHILOX_ROUNDS):
        p0, p1 = c0 * np.uint64(PHILOX_M0), c2 * np.uint64(PHILOX_M1)
        c0, c1, c2, c3 = (
            (p1 >> shift) ^ c1 ^ np.uint64(k0),
            p1 & word,
            (p0 >> shift) ^ c3 ^ np.uint64(k1),
            p0 & word,
        )
        k0, k1 = (k0 + PHILOX_W0) & _WORD, (k1 + PHILOX_W1) & _WORD
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def draw32(key: Key, item: npt.ArrayLike, draw: npt.ArrayLike = 0) -> UInt32:
    """Return the 32 random bits of draw number `draw` of each item.

    Args:
        key: Seed, epoch and stream.
        item: Unsigned integers below 2**32, any shape.
        draw: Unsigned integers below 2**34, broadcast against `item`.

    Returns:
        uint32 of the broadcast shape.
    """
    items, draws = np.broadcast_arrays(np.asarray(item, np.uint64), np.asarray(draw, np.uint64))
    constant = np.ones_like(items, dtype=np.uint32)
    block = (draws >> np.uint64(2)).astype(np.uint32)
    counter = (
        items.astype(np.uint32),
        block,
        constant * np.uint32(key.stream),
        constant * np.uint32(key.epoch),
    )
    words = philox(key.words, counter)
    lane = (draws & np.uint64(3)).astype(np.int64)
    return np.take_along_axis(words, lane[..., None], axis=-1)[..., 0]


def permutation(key: Key, n: int) -> npt.NDArray[np.int64]:
    """Return a uniform random permutation of ``range(n)``: items sorted by 64 random bits each."""
    item = np.arange(n, dtype=np.uint64)
    bits = draw32(key, item, 0).astype(np.uint64) << np.uint64(32) | draw32(key, item, 1)
    return np.argsort(bits, kind="stable")
