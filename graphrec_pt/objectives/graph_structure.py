"""Graph structure reconstruction: sequences of neighbours become similar, others dissimilar."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.edge_masking import structured_negatives
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.pairs import bce
from graphrec_pt.objectives.pooling import Pool, pooled
from graphrec_pt.objectives.sequence_rng import one_of
from graphrec_pt.sampling.edges import relations_of


@objective("graph_structure")
class GraphStructure(Objective):
    """Graph structure reconstruction (GSR) of PMGT (Liu et al., ACM MM 2021).

    ``L = −[log σ(s(t, n)) + Σ_k log σ(−s(t, n_k'))] / (1 + K)``, ``s(a, b) = cos(h_a, h_b) / τ``:
    n is a neighbour of root t drawn among its edges, each n' a node of the type of n that t has
    no such edge to. The sequences of t, n and n' are sampled and linearized by one procedure, in
    one go. The released code of PMGT has τ = 1 and K = 1, and trains the norms of the vectors as
    further logits; only cosines are logits here.

    Args:
        relation: Leads from roots to neighbours; by default the edges of all relations count.
        negatives: K.
        temperature: τ.
        pool: Pooling of hidden states to the vector of a sequence.
        hide: Whether the sequences of t and n are sampled without the edge between them, also where
            a relation from a type to itself stores it once for each direction; with it, each
            stands in the other's context, and that is all there is to learn.
    """

    relation: str | None = None
    negatives: int = Field(1, ge=1)
    temperature: float = Field(0.1, gt=0)
    pool: Pool = "roots"
    hide: bool = True

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots."""
        return RequiredFields(
            fields=frozenset({"type", "hop"} if self.pool == "roots" else {"type"})
        )

    def check(self, spec: GraphSpec) -> None:
        """Raise when the graph does not have the relation."""
        if self.relation is not None:
            spec.relation_index(self.relation)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the sequences of roots, of a neighbour and of K others each.

        Raises:
            GraphRecError: For roots that are pairs or sets, and linearizers that make more than
                one sequence of a root.
        """
        graph, roots = examples.graph, examples.roots
        if not isinstance(roots, Tensor) or roots.ndim != 1:
            raise GraphRecError("graph_structure", "roots that are nodes", "pairs or sets")
        draws = examples.draws.named("graph_structure")
        if len(examples.owner) != len(roots):
            got = f"{len(examples.owner)} of {len(roots)} roots"
            raise GraphRecError("graph_structure", "one sequence for each root", got, "join: true")
        words = draws.of_sequences()[:, 0]  # [R, 4]
        position = self._edge(graph, roots, words[:, 0], examples.exclude)
        others = self._others(graph, roots, position, words[:, 1], draws.key)  # [R, K]
        kept = ((position >= 0) & (others >= 0).all(1)).nonzero().squeeze(1)
        roots, position, others = roots[kept], position[kept], others[kept]
        neighbor = graph.csr.indices[position].long()
        hidden = back = torch.full_like(roots, -1)
        if self.hide and graph.csr.edge is not None:
            hidden = graph.csr.edge[position].long()
            back = _edge_back(graph, position, roots, neighbor)
        parts = torch.cat([roots, neighbor, others.flatten()])
        exclude = torch.cat([hidden, back, torch.full_like(others.flatten(), -1)])
        tokens, _ = examples.resample(parts, exclude)
        numbers = torch.arange(len(parts))
        n = len(kept)
        views = tuple(
            View(tokens.select(rows))
            for rows in (numbers[:n], numbers[n : 2 * n], numbers[2 * n :])
        )
        return TrainingExamples(views, {}, n)

    def head(self, spec: GraphSpec, width: int) -> nn.Identity:
        """Return an empty module: cosines have no weights."""
        return nn.Identity()

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: nn.Identity,
    ) -> Tensor:
        """Return the mean over the roots."""
        root, neighbor, others = (pooled(each, self.pool) for each in encoded)
        others = others.view(len(root), self.negatives, -1)  # [n, K, D]
        true = cosine_similarity(root, neighbor, dim=-1)
        false = cosine_similarity(root.unsqueeze(1), others, dim=-1)  # [n, K]
        return bce(true / self.temperature, false / self.temperature)

    def _edge(self, graph: Graph, roots: Tensor, words: Tensor, exclude: Tensor | None) -> Tensor:
        """Return where an edge of each root is stored: int64 ``[R]``, −1 for none."""
        csr = graph.csr
        first = csr.first_segment(roots)
        if self.relation is None:
            low, high = csr.bounds(roots)
        else:
            relation = graph.schema.relation(self.relation)
            slot = graph.schema.slot(self.relation)
            leaves = csr.node_type(roots) == graph.schema.node_index(relation.source)
            segment = torch.where(leaves, first + slot, 0)
            low = csr.segment[segment].long()
            high = torch.where(leaves, csr.segment[segment + 1].long(), low)
        size = high - low
        step = one_of(words, size.clamp(min=1))
        position = low + step
        if exclude is not None and csr.edge is not None:  # take the next edge instead
            stored = csr.edge[position.clamp(max=max(len(csr.edge) - 1, 0))]
            refused = (exclude >= 0) & (size > 0) & (stored == exclude)
            position = torch.where(refused, low + (step + 1) % size.clamp(min=1), position)
            size = torch.where(refused & (size == 1), 0, size)
        return torch.where(size > 0, position, -1)

    def _others(
        self, graph: Graph, roots: Tensor, position: Tensor, words: Tensor, key: Key
    ) -> Tensor:
        """Return K nodes per root, of the neighbour's type and not linked to it: ``[R, K]``."""
        relation = relations_of(graph, position, roots)
        return structured_negatives(
            graph, roots, relation, self.negatives, key.named("others"), words
        )


def _edge_back(graph: Graph, position: Tensor, roots: Tensor, neighbor: Tensor) -> Tensor:
    """Return the edge from a neighbour to its root: int64 ``[n]``.

    That of the inverse, which is the same edge; else the one of the same relation the other way
    round; else, where there is neither, the edge from the root.
    """
    csr, relations = graph.csr, graph.schema.relations
    assert csr.edge is not None
    edges = csr.edge[position].long()
    kind = relations_of(graph, position, roots)
    for index in torch.unique(kind).tolist():
        relation = relations[index]
        if relation.inverse is not None or relation.source != relation.target:
            continue
        rows = (kind == index).nonzero().squeeze(1)
        segment = csr.first_segment(neighbor[rows]) + graph.schema.slot(relation.name)
        low, high = csr.segment[segment].long(), csr.segment[segment + 1].long()
        place, owner = ranges(low, high - low)
        at = (csr.indices[place] == roots[rows][owner]).nonzero().squeeze(1)
        edges[rows[owner[at]]] = csr.edge[place[at]].long()
    return edges
