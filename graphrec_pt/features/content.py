"""One learned vector per attribute and word, summed over the attributes and words of a node."""

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.features.featurizer import Feature, Vectors, featurizer
from graphrec_pt.graph.content import BUCKETS, content_features
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.torch.segments import ranges


@featurizer("content")
class Content:
    """``Σ_f x_f E[f]`` over attribute nodes, categories and words, rare ones counting more.

    The features x are those of :func:`~graphrec_pt.graph.content.content_features`; a node without
    any has the vector 0. Their numbers are hashes of their names, so that the learned vectors also
    serve unseen nodes and graphs.

    Args:
        buckets: Number of hash buckets.
    """

    buckets: int = Field(BUCKETS, ge=1)

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "ContentFeature":
        """Return the table of features."""
        return ContentFeature(node_type, self.buckets, width)


class ContentFeature(Feature):
    """A table ``[F, D]`` of the features that occur, and the features of every node.

    Args:
        node_type: Type of its nodes.
        buckets: F.
        width: D.
    """

    start: Tensor
    feature: Tensor
    share: Tensor

    def __init__(self, node_type: str, buckets: int, width: int) -> None:
        super().__init__()
        self.node_type, self.buckets = node_type, buckets
        self.table = nn.Embedding(buckets, width)
        self.register_buffer("start", torch.zeros(1, dtype=torch.int64), persistent=False)
        self.register_buffer("feature", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("share", torch.zeros(0), persistent=False)

    def attach_graph(self, graph: Graph) -> None:
        """Read the features of every node."""
        shares, device = content_features(graph, self.node_type, self.buckets), self.start.device
        self.start = torch.from_numpy(shares.indptr).long().to(device)
        self.feature = torch.from_numpy(shares.indices).long().to(device)
        self.share = torch.from_numpy(shares.data).float().to(device)

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return ``[n, D]``."""
        first, count = self.start[nodes], self.start[nodes + 1] - self.start[nodes]
        place, _ = ranges(first, count)
        return nn.functional.embedding_bag(
            self.feature[place],
            self.table.weight,
            count.cumsum(0) - count,
            mode="sum",
            per_sample_weights=self.share[place].to(self.table.weight.dtype),
        )
