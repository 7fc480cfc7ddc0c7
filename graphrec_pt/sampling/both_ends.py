"""Samples around both ends of a pair, packed as one sequence.

It costs one sample of each end. Training targets can leak through event nodes (a review is an
edge of its user and of its item), so the events of the pair itself are removed.
"""

from dataclasses import fields
from typing import Annotated, ClassVar

import polars as pl
import torch
from pydantic import AfterValidator
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import (
    RootKind,
    Sampler,
    SamplerField,
    check_exclude,
    check_roots,
    kind_of_roots,
    sampler,
)

_pairs: Memo[Tensor] = Memo()


def _of_nodes(chosen: Sampler) -> Sampler:
    if kind_of_roots(chosen) != "nodes":
        raise GraphRecError("both_ends", "a sampler of nodes", kind_of_roots(chosen))
    return chosen


OfNodes = Annotated[SamplerField, AfterValidator(_of_nodes)]


@sampler("both_ends")
class BothEnds:
    """Two samples of nodes as one sample of pairs: reviews of a user beside those of an item.

    Rating predictors read such pairs (DeepCoNN, Zheng et al., WSDM 2017; U-BERT, Qiu et al., AAAI
    2021). A sequence holds source, target, the sample around the source (slot 1) and the sample
    around the target (slot 2). The sampler removes event nodes of the pair itself, such as the
    review of the rating to be predicted, and every node reached through them.

    Args:
        source: Config of the sampler around the first of a pair.
        target: Config of the sampler around the second.
    """

    takes: ClassVar[RootKind] = "pairs"

    source: OfNodes
    target: OfNodes

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return one subgraph per pair of roots: int64 ``[B, 2]``."""
        if not isinstance(roots, Tensor) or roots.ndim != 2 or roots.shape[1] != 2:
            got = list(roots.shape) if isinstance(roots, Tensor) else type(roots).__name__
            raise GraphRecError("both_ends", "pairs of roots, int64 [B, 2]", got)
        roots = check_roots("both_ends", graph, roots.reshape(-1)).view(-1, 2)
        exclude = check_exclude("both_ends", graph, len(roots), exclude)
        sides = [
            self._around(graph, chosen, own, roots, key.named(name), exclude)
            for chosen, own, name in (
                (self.source, roots[:, 0], "source"),
                (self.target, roots[:, 1], "target"),
            )
        ]
        return _beside(*sides)

    def _around(
        self,
        graph: Graph,
        chosen: Sampler,
        own: Tensor,
        roots: Tensor,
        key: Key,
        exclude: Tensor | None,
    ) -> Subgraphs:
        """Return the sample of one end, without the events that the two ends share."""
        sample = chosen.sample(graph, own.contiguous(), key, exclude)
        if not isinstance(sample, Subgraphs):
            got = type(sample).__name__
            raise GraphRecError("both_ends", "a sampler that returns Subgraphs", got)
        pairs, row = pairs_of_events(graph), sample.row()
        gone = (pairs[sample.node] == roots[row]).all(1)
        parent = torch.where(sample.parent < 0, -1, sample.parent + sample.ptr[row])
        for _ in range(int(sample.hop.max()) if len(sample.hop) else 0):
            gone = gone | (gone[parent.clamp(min=0)] & (parent >= 0))
        return sample if not bool(gone.any()) else _taken(sample, (~gone).nonzero().squeeze(1))


def pairs_of_events(graph: Graph) -> Tensor:
    """Return source and target of the interaction that each node stands for: int64 ``[N, 2]``.

    −1 for nodes that are not events.
    """

    def made() -> Tensor:
        pairs = torch.full((graph.num_nodes(), 2), -1, dtype=torch.int64)
        for relation in graph.schema.interactions:
            if relation.event is None:
                continue
            edges = graph.edges(relation.name)
            column: pl.Series = graph.edge_tables[relation.name]["event"]
            event = column.fill_null(-1).to_torch().long()
            event = event[edges.edge - graph.edge_offset[relation.name]]
            some = event >= 0
            node = event[some] + graph.nodes(relation.event).start
            pairs[node] = torch.stack([edges.source[some], edges.target[some]], dim=1)
        return pairs.to(graph.csr.indices.device)

    return _pairs(graph, None, made)


def _taken(sample: Subgraphs, tokens: Tensor) -> Subgraphs:
    """Return the chosen tokens and the parent of each, tokens ascending."""
    row = sample.row()
    number = torch.full_like(sample.node, -1)
    number[tokens] = torch.arange(len(tokens), device=tokens.device)
    count = torch.bincount(row[tokens], minlength=len(sample))
    ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
    parent = torch.where(sample.parent < 0, -1, sample.parent + sample.ptr[row])
    parent = torch.where(parent < 0, -1, number[parent.clamp(min=0)] - ptr[row])
    columns = {name: getattr(sample, name)[tokens] for name in _COLUMNS}
    return Subgraphs(**{**columns, "parent": parent[tokens]}, ptr=ptr)


_COLUMNS = tuple(f.name for f in fields(Subgraphs) if f.name not in ("ptr", "edges"))


def _beside(left: Subgraphs, right: Subgraphs) -> Subgraphs:
    """Return sequences of both roots, then the rest of the left, then the rest of the right."""
    sizes = [left.ptr.diff(), right.ptr.diff()]
    ptr = torch.cat([left.ptr[:1], (sizes[0] + sizes[1]).cumsum(0)])
    parts = []
    for number, (side, other) in enumerate(((left, right), (right, left))):
        row, place = side.row(), ranges(torch.zeros_like(side.ptr[1:]), side.ptr.diff())[0]
        rest = 1 if number == 0 else other.ptr.diff()[row]
        new = torch.where(place == 0, number, place + rest)  # place inside the pair's sequence
        parent = torch.where(
            side.parent < 0, -1, torch.where(side.parent == 0, number, side.parent + rest)
        )
        slot = torch.where(place == 0, 0, number + 1)
        columns = {name: getattr(side, name) for name in _COLUMNS}
        parts.append({**columns, "parent": parent, "slot": slot, "at": ptr[row] + new})
    order = torch.argsort(torch.cat([part["at"] for part in parts]))
    merged = {name: torch.cat([part[name] for part in parts])[order] for name in _COLUMNS}
    return Subgraphs(**merged, ptr=ptr)
