"""Arrays of random numbers from a key: the same on every machine and every version of numpy."""

import numpy as np
import numpy.typing as npt

from graphrec_pt.core.key import Key

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def uniform(n: int, key: Key) -> Floats:
    """Return numbers in [0, 1), 53 random bits each: float64 ``[n]``.

    They come from numpy's Philox 4×64 in C, which is much faster than
    :func:`graphrec_pt.core.key.draw32` and gives a different stream.
    """
    words = np.array([key.seed, key.stream << 32 | key.epoch], np.uint64)
    bits = np.random.Philox(key=words).random_raw(n) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def below(bound: int, n: int, key: Key) -> Ints:
    """Return integers in [0, bound): int64 ``[n]``."""
    return (uniform(n, key) * bound).astype(np.int64)


def shuffled(values: Ints, key: Key) -> Ints:
    """Return the values in random order."""
    return values[np.argsort(uniform(len(values), key), kind="stable")]
