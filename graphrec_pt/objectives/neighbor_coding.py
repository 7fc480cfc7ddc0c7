"""Neighbour coding: the code of a root predicts neighbours that were left out of its sequence."""

from collections.abc import Mapping, Sequence
from math import pi

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.adjacency import ANY, member
from graphrec_pt.kernels.philox import philox
from graphrec_pt.kernels.walk import walk
from graphrec_pt.models.heads import Coding
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.catalogue import shared_nodes
from graphrec_pt.objectives.edge_masking import same_nodes
from graphrec_pt.objectives.masking import Masking, choose, first_occurrence, with_text
from graphrec_pt.objectives.objective import Examples, Objective, TrainingExamples, objective
from graphrec_pt.objectives.pooling import pooled
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.objectives.sequence_rng import SequenceRNG, unit
from graphrec_pt.sampling.tree_batch import first_of
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("neighbor_coding")
class NeighborCoding(Objective):
    """Neighbour-predictive coding of SAC (Zheng et al., arXiv 2205.09489), re-derived.

    Of the neighbours of every hop a share M is taken out of the sequence, and the code c of the
    root, read off what is left, must rank them above negatives of their type:
    ``L = −1/|M| Σ_{m ∈ M} log e^{c·e_m/τ} / (e^{c·e_m/τ} + Σ_n e^{c·e_n/τ})``, a lower bound of the
    information that c has of them. With a bottleneck ``c = μ + σ ⊙ ε`` and
    ``β KL(N(μ, σ²) ‖ N(0, I))`` is added, which bounds what c keeps of the surroundings; ε is 0 in
    evaluation. The multi-hop attention of the paper is that of the backbone, with hop embeddings.

    Args:
        share: Share of the nodes of every hop that are taken out; one of a hop stays.
        negatives: Nodes of the type, drawn uniformly and shared by the step.
        hard: Walks from each root whose last two nodes are further negatives, where they are of
            the type and neither in the sequence nor adjacent to the root.
        hops: Length of those walks; more than the sequence reaches.
        bottleneck: β; 0 leaves the bottleneck out.
        temperature: τ.
        cosine: Whether codes and nodes are put on the unit sphere.
    """

    share: float = Field(0.4, gt=0, lt=1)
    negatives: int = Field(64, ge=1)
    hard: int = Field(0, ge=0, le=1024)
    hops: int = Field(4, ge=1)
    bottleneck: float = Field(0.0, ge=0)
    temperature: float = Field(1.0, gt=0)
    cosine: bool = False

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the sequences without the removed neighbours, and the removed neighbours."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("neighbor_coding")
        first = first_occurrence(tokens)
        loose = (tokens.kind == Kind.NODE) & ~same_nodes(first, tokens.hop == 0)
        chosen = torch.zeros_like(loose)
        policy = Masking(share=self.share, spare=1)
        for hop in torch.unique(tokens.hop[loose]).tolist():
            of_hop = draws.named(f"hop {hop}")
            chosen |= choose(tokens, loose & (tokens.hop == hop), of_hop, policy)
        taken = same_nodes(first, chosen)
        token = (taken & first_of(torch.where(taken, first, -1))).nonzero().squeeze(1)
        row, types = tokens.sequence_of()[token], tokens.type[token]
        left = tokens.take((~with_text(tokens, taken)).nonzero().squeeze(1))
        targets = {
            "row": row,
            "node": tokens.id[token],
            "type": types,
            "noise": draws.of_sequences()[:, 0, 0],
            **self._shared(graph, types, draws),
        }
        if self.hard:
            targets["hard"] = self._far(graph, examples, draws.key)[row]
        return TrainingExamples((View(left),), targets, len(token))

    def head(self, spec: GraphSpec, width: int) -> Coding:
        """Return the network from a hidden state to a code."""
        return Coding(width, self.bottleneck > 0, self.cosine, self.temperature)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: Coding
    ) -> Tensor:
        """Return the mean over the nodes taken out."""
        at = corrupted.targets
        noise = _normal(at["noise"], model.width) if model.training and self.bottleneck else None
        code, spent = head(pooled(encoded[0], "roots"), noise)  # [B, D], [B]
        row = at["row"]
        total: Tensor = self.bottleneck * spent.index_select(0, row).sum()
        for kind in range(len(model.spec.nodes)):
            mine = (at["type"] == kind).nonzero().squeeze(1)
            if len(mine):
                codes = code.index_select(0, row[mine])
                total = total + self._type_loss(codes, mine, kind, at, model)
        return total / max(len(row), 1)

    def _type_loss(
        self, code: Tensor, mine: Tensor, kind: int, at: Mapping[str, Tensor], model: Model
    ) -> Tensor:
        """Return the sum of the terms of one node type."""
        node, shared = at["node"][mine], at[f"negatives.{kind}"]
        code = self._side(code)
        true = (code * self._side(model.nodes(node))).sum(1, keepdim=True)  # [n, 1]
        false = code @ self._side(model.nodes(shared)).T  # [n, N]
        refused = shared == node.unsqueeze(1)
        if self.hard:
            hard = at["hard"][mine]  # [n, H]
            low = model.spec.ids(model.spec.node_names[kind])
            wrong = (hard < low.start) | (hard >= low.stop) | (hard == node.unsqueeze(1))
            far = self._side(model.nodes(hard.clamp(min=0).flatten())).view(*hard.shape, -1)
            false = torch.cat([false, torch.einsum("nd,nhd->nh", code, far)], dim=1)
            refused = torch.cat([refused, wrong], dim=1)
        false = false.masked_fill(refused, float("-inf"))
        scores = torch.cat([true, false], dim=1) / self.temperature
        loss: Tensor = cross_entropy(scores, torch.zeros_like(node), reduction="sum")
        return loss

    def _side(self, vectors: Tensor) -> Tensor:
        return normalize(vectors, dim=-1) if self.cosine else vectors

    def _shared(self, graph: Graph, types: Tensor, draws: SequenceRNG) -> dict[str, Tensor]:
        """Return shared negatives for every node type, by name: int64 ``[N]``."""
        return {
            f"negatives.{kind}": shared_nodes(draws, kind, self.negatives, graph)
            for kind in torch.unique(types).tolist()
        }

    def _far(self, graph: Graph, examples: Examples, key: Key) -> Tensor:
        """Return the ends of walks from each root: ``[B, H]``, −1 for no negative."""
        tokens = examples.tokens
        root = _first_root(tokens)
        some = (root >= 0).nonzero().squeeze(1)
        exclude = None if examples.exclude is None else examples.exclude[examples.owner[some]]
        nodes, _ = walk(
            graph.csr,
            root[some],
            self.hops,
            key.named("far"),
            repeats=self.hard,
            exclude=exclude,
        )
        ends = nodes[:, -2:].reshape(len(some), 2 * self.hard)
        row = some.unsqueeze(1).expand_as(ends)
        here = ((tokens.sequence_of() << 32) | tokens.id)[tokens.kind == Kind.NODE]
        wrong = (ends < 0) | torch.isin((row << 32) | ends.clamp(min=0), here)
        start = root[some].unsqueeze(1).expand_as(ends)
        near = member(graph.csr, start.flatten(), ANY, ends.clamp(min=0).flatten())
        ends = ends.masked_fill(wrong | near.view_as(ends), -1)
        return torch.full((len(tokens), ends.shape[1]), -1).index_copy(0, some, ends)

    def readout(self) -> QueryReadout:
        """Return the code of the root."""
        return QueryReadout("roots")


def _normal(bits: Tensor, width: int) -> Tensor:
    """Return standard normal numbers named by 32 bits (Box and Muller, 1958): ``[B, width]``."""
    pairs = (width + 1) // 2
    block = torch.arange((2 * pairs + 3) // 4, device=bits.device)
    words = philox(Key(0).named("noise"), bits.unsqueeze(1).expand(-1, len(block)), block)
    even, odd = unit(words.flatten(1))[:, : 2 * pairs].chunk(2, dim=1)
    radius = (-2 * torch.log1p(-even)).sqrt()
    angle = 2 * pi * odd
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :width]


def _first_root(tokens: Tokens) -> Tensor:
    """Return the first root of every sequence, −1 for none: int64 ``[B]``."""
    root = (tokens.hop == 0) & (tokens.kind == Kind.NODE)
    at = (first_of(torch.where(root, tokens.sequence_of(), -1)) & root).nonzero().squeeze(1)
    roots = torch.full((len(tokens),), -1)
    return roots.index_copy(0, tokens.sequence_of()[at], tokens.id[at])
