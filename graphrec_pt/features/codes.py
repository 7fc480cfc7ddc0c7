"""Discrete codes of nodes: product-quantised source vectors, with a learned vector per digit.

The quantiser is learnt once, on the first graph that is attached, and saved with the weights.
"""

from typing import NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.cluster.vq import kmeans2, vq
from scipy.linalg import orthogonal_procrustes
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.features.featurizer import Feature, FeaturizerField, Vectors, featurizer
from graphrec_pt.features.node_features import NodeFeatures
from graphrec_pt.features.pretrained import digest
from graphrec_pt.features.seeded import SPREAD
from graphrec_pt.features.vector import GivenFeature
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.philox import below, philox

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
        centres, _ = kmeans2(part, before, ROUNDS, minit="matrix", check_finite=False)
    return centres.astype(np.float32)


_learnt: dict[str, Quantizer] = {}  # the last one, by the digest of what it was learnt from


@featurizer("codes")
class CodeFeaturizer:
    """The mean of one learned vector for each digit of a code: ``1/S Σ_s E_s[c_s]``.

    VQ-Rec (Hou et al., WWW 2023): the code of a node is its quantised text vector, so the model
    reads texts through their codes alone, and the vectors of the digits can be learnt anew for
    another catalogue. The quantiser is learnt from the nodes of the first attached graph and
    belongs to the weights, so that codes mean the same on later graphs.

    Args:
        of: Config of a featurizer that does not train: the source of the vectors.
        digits: S, a divisor of the width of its vectors.
        values: K, of each digit.
        rotations: Turns of OPQ, see
            :func:`~graphrec_pt.features.codes.product_quantizer`.
    """

    of: FeaturizerField
    digits: int = Field(32, ge=1)
    values: int = Field(256, ge=2)
    rotations: int = Field(1, ge=0)

    def __post_init__(self) -> None:
        train = getattr(self.of, "train", "frozen")
        if train != "frozen":
            raise GraphRecError("codes", "a frozen encoder", f"train: {train}", "train: frozen")

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "CodesFeature":
        """Return the table of digits with its source feature."""
        source = self.of.build(spec, node_type, width)
        inputs = source.inputs if isinstance(source, GivenFeature) else width
        if inputs % self.digits:
            expected = f"digits that divide {inputs}"
            raise GraphRecError("codes", expected, self.digits, "digits: of the width of vectors")
        return CodesFeature(self, node_type, source, inputs, width)


class CodesFeature(Feature):
    """Codes ``[n, S]`` of nodes, and a table ``[S · K, D]``.

    Args:
        config: Its options.
        node_type: Type of its nodes.
        source: Feature whose vectors are quantised; its weights do not train.
        inputs: F, the width of these vectors.
        width: D.
    """

    codes: Tensor
    rotation: Tensor
    centroids: Tensor
    learnt: Tensor

    def __init__(
        self, config: CodeFeaturizer, node_type: str, source: Feature, inputs: int, width: int
    ) -> None:
        super().__init__()
        self.config, self.node_type = config, node_type
        self.source = source.requires_grad_(False)
        self.table = nn.Embedding(config.digits * config.values, width)
        part = inputs // config.digits
        self.register_buffer("rotation", torch.zeros(inputs, inputs))
        self.register_buffer("centroids", torch.zeros(config.digits, config.values, part))
        self.register_buffer("learnt", torch.zeros((), dtype=torch.bool))
        empty = torch.zeros(0, config.digits, dtype=torch.int64)
        self.register_buffer("codes", empty, persistent=False)

    def initialise(self, draw: torch.Generator) -> None:
        """Start without a quantiser; the mean of digits has the spread of other features."""
        self.learnt.fill_(False)
        self.table.weight.normal_(0, SPREAD * self.config.digits**0.5, generator=draw)

    def attach_graph(self, graph: Graph) -> None:
        """Attach the source, learn the quantiser once, and code every node."""
        self.source.attach_graph(graph)
        every = torch.arange(graph.num_nodes(self.node_type), device=self.table.weight.device)
        vectors = self._source_vectors(every).float().cpu().numpy()
        if not self.learnt:
            made = self._quantizer(vectors)
            self.rotation.copy_(torch.from_numpy(made.rotation))
            self.centroids.copy_(torch.from_numpy(made.centroids))
            self.learnt.fill_(True)
        kept = Quantizer(self.rotation.float().cpu().numpy(), self.centroids.float().cpu().numpy())
        self.codes = torch.from_numpy(codes_of(vectors, kept)).to(every.device)

    def _quantizer(self, vectors: Floats) -> Quantizer:
        """Return a quantiser of vectors; equal vectors give the cached one."""
        config = self.config
        sizes = config.digits, config.values, config.rotations
        key = digest(torch.from_numpy(vectors), repr(sizes))
        if key not in _learnt:
            _learnt.clear()  # one is enough for the seeds and the control of a run
            _learnt[key] = product_quantizer(vectors, *sizes)
        return _learnt[key]

    @torch.no_grad()
    def _source_vectors(self, nodes: Tensor) -> Tensor:
        """Return the vectors to quantise: given vectors unmapped, else those of the feature."""
        if isinstance(self.source, GivenFeature):
            given = self.source.look(nodes)
            return given.masked_fill(self.source.absent[nodes].unsqueeze(1), 0)
        made: Tensor = self.source(nodes, _nobody)
        return made

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return ``[n, D]``."""
        return self.of_codes(self.codes[nodes])

    def of_codes(self, codes: Tensor) -> Tensor:
        """Return the vectors of codes ``[n, S]``: ``[n, D]``."""
        first = torch.arange(self.config.digits, device=codes.device) * self.config.values
        digits: Tensor = self.table(codes + first)  # [n, S, D]
        return digits.mean(1)

    def made_up(self, nodes: Tensor, bits: Tensor, share: float) -> Tensor:
        """Return vectors of synthetic nodes: true nodes with some digits drawn anew.

        These are the semi-synthetic negatives of VQ-Rec, which uses a share of .75.

        Args:
            nodes: int64 ``[n]``, numbered inside the type.
            bits: int64 ``[n]``, words of 32 random bits.
            share: Share of the digits that are drawn anew, on average.

        Returns:
            ``[n, D]``.
        """
        digits = self.config.digits
        block = torch.arange(-(-digits // 2), device=bits.device)  # two words for each digit
        words = philox(Key(0).named("made up"), bits.unsqueeze(1), block)  # [n, S/2, 4]
        words = words.reshape(len(bits), 2 * len(block), 2)[:, :digits]  # [n, S, 2]
        anew = words[..., 0].double() / (1 << 32) < share
        drawn = below(words[..., 1], self.config.values)
        return self.of_codes(torch.where(anew, drawn, self.codes[nodes]))


def made_up_nodes(
    features: NodeFeatures, node_type: str, nodes: Tensor, bits: Tensor, share: float
) -> Tensor:
    """Return :meth:`CodesFeature.made_up` of nodes of a type, by global id: ``[n, D]``.

    Raises:
        GraphRecError: When codes are not the only feature of the nodes.
    """
    parts = list(features.get_submodule(f"of_type.of_{node_type}.parts").children())
    if len(parts) != 1 or not isinstance(parts[0], CodesFeature):
        got = ", ".join(type(part).__name__ for part in parts)
        raise GraphRecError("made-up nodes", f"codes as the only feature of {node_type}", got)
    first = sum(features.counts[: features.names.index(node_type)])
    return parts[0].made_up(nodes - first, bits, share)


def _nobody(nodes: Tensor) -> Tensor:
    raise GraphRecError("codes", "a feature that looks up no other node", "one that does")
