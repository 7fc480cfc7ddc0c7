"""Product quantisation: vectors as short codes, one digit for each part of a vector."""

from typing import NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq
from scipy.linalg import orthogonal_procrustes

from graphrec_pt.core.errors import GraphRecError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
LARGEST = 1 << 14
"""Vectors that a quantiser is learnt from at most; of more a sample of this size is drawn."""
ROUNDS = 10  # of k-means


class Quantizer(NamedTuple):
    """A rotation and centroids that turn vectors into codes.

    Args:
        rotation: float32 ``[F, F]``, orthogonal, applied first.
        centroids: float32 ``[S, K, F/S]``.
    """

    rotation: Floats
    centroids: Floats


def product_quantizer(
    vectors: Floats, digits: int, values: int, rotations: int = 0, seed: int = 0
) -> Quantizer:
    """Return a quantiser of vectors: K centroids by k-means for each of S parts of a vector.

    Jégou et al., "Product quantization for nearest neighbor search", PAMI 2011. With rotations the
    vectors are rotated first to lower the error: principal axes are assigned so that the parts have
    similar variance, then R and the centroids are fitted in turns with ``R = argmin |X R − X̂|``
    (OPQ, Ge et al., "Optimized product quantization", CVPR 2013).

    Args:
        vectors: float32 ``[n, F]``.
        digits: S, a divisor of F.
        values: K. Where a part has fewer distinct values, the first centroid is repeated.
        rotations: Rounds of OPQ; 0 disables the rotation.
        seed: Seed of the first centroids, and of the subset drawn when there are many vectors.

    Raises:
        GraphRecError: For no vectors, and for a width that is no multiple of S.
    """
    count, width = vectors.shape
    if not count or width % digits:
        got = f"{count} of width {width}"
        raise GraphRecError("codes", f"vectors of a width that {digits} digits divide", got)
    draw = np.random.default_rng(seed)
    if count > LARGEST:
        vectors = vectors[draw.choice(count, LARGEST, replace=False)]
    rotation = _balanced(vectors, digits) if rotations else np.eye(width, dtype=np.float32)
    start = _parts(vectors @ rotation, digits)
    centroids = np.stack([_first(part, values, draw) for part in start])
    for turn in range(rotations + 1):
        turned = vectors @ rotation
        centroids = np.stack(
            [
                _clustered(part, before)
                for part, before in zip(_parts(turned, digits), centroids, strict=True)
            ]
        )
        if turn < rotations:
            quantizer = Quantizer(rotation, centroids)
            nearest = decoded(codes_of(vectors, quantizer), quantizer)
            rotation = np.asarray(orthogonal_procrustes(vectors, nearest)[0], np.float32)
    return Quantizer(rotation, centroids)


def codes_of(vectors: Floats, quantizer: Quantizer) -> Ints:
    """Return the nearest centroid of every part, the first of equals: int64 ``[n, S]``."""
    parts = _parts(vectors @ quantizer.rotation, len(quantizer.centroids))
    digits = [
        vq(part, near, check_finite=False)[0]
        for part, near in zip(parts, quantizer.centroids, strict=True)
    ]
    return np.stack(digits, axis=1).astype(np.int64)


def decoded(codes: Ints, quantizer: Quantizer) -> Floats:
    """Return the rotated vectors that codes stand for: float32 ``[n, F]``."""
    digit = np.arange(len(quantizer.centroids))
    return quantizer.centroids[digit, codes].reshape(len(codes), -1)


def _balanced(vectors: Floats, digits: int) -> Floats:
    """Return principal axes, strongest first, each assigned to the part with least variance."""
    variance, axes = np.linalg.eigh(np.cov(vectors.T, dtype=np.float64))
    size = len(variance) // digits
    logs = np.log(np.maximum(variance, variance.max() * 1e-9) / max(variance.max() * 1e-9, 1e-300))
    taken: list[list[int]] = [[] for _ in range(digits)]
    total = np.zeros(digits)
    for axis in np.argsort(-variance, kind="stable").tolist():
        open_ = [part for part in range(digits) if len(taken[part]) < size]
        part = min(open_, key=lambda number: (total[number], len(taken[number]), number))
        taken[part].append(axis)
        total[part] += logs[axis]
    rotation: Floats = axes[:, [axis for part in taken for axis in part]].astype(np.float32)
    return rotation


def _parts(vectors: Floats, digits: int) -> list[Floats]:
    return [np.ascontiguousarray(part) for part in np.split(vectors, digits, axis=1)]


def _first(part: Floats, values: int, draw: np.random.Generator) -> Floats:
    """Return K distinct vectors of a part; if there are fewer, the first is repeated."""
    different = np.unique(part, axis=0)
    chosen = different[draw.permutation(len(different))[:values]]
    again = np.repeat(chosen[:1], values - len(chosen), axis=0)
    return np.concatenate([chosen, again])


def _clustered(part: Floats, before: Floats) -> Floats:
    with catch_warnings():  # a centroid without vectors keeps its place
        simplefilter("ignore")
        found, _ = kmeans2(part, before, ROUNDS, minit="matrix", check_finite=False)
    return found.astype(np.float32)
