"""Contrast of subgraphs: two corrupted copies of one subgraph find each other."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import FeatureHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.contrast import nt_xent
from graphrec_pt.objectives.draws import Draws, unit
from graphrec_pt.objectives.edge_masking import links, same_nodes, without_edges
from graphrec_pt.objectives.event_masking import with_text
from graphrec_pt.objectives.masking import Masking, first_occurrence, hide
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.pooling import Pool, pooled
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("subgraph_contrast")
class SubgraphContrast(Objective):
    """Subgraph contrastive learning (SCL) of CHEST (Wang et al., TOIS 2023), re-derived.

    Two copies of every sequence lose nodes, have nodes replaced by others of their type, and lose
    edges; NT-Xent (:func:`~graphrec_pt.objectives.contrast.nt_xent`) over projections of their
    pooled states tells the copy from those of the rest of the batch. Sequences of the same root or
    roots are no negatives of one another. Roots stay as they are.

    Args:
        drop: Share of the nodes that are left out, wherever they stand, with their text.
        substitute: Share of the nodes replaced by another node of their type.
        edges: Share of the edges that are hidden.
        pool: Where the vector of a sequence is read off.
        temperature: τ.
    """

    drop: float = Field(0.2, ge=0, lt=1)
    substitute: float = Field(0.0, ge=0, le=1)
    edges: float = Field(0.0, ge=0, le=1)
    pool: Pool = "mean"
    temperature: float = Field(0.2, gt=0)

    def __post_init__(self) -> None:
        if self.drop + self.substitute > 1:
            got = f"{self.drop} + {self.substitute}"
            raise GraphRecError("subgraph_contrast", "drop + substitute <= 1", got)

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots; their parents to hide edges."""
        edges = {"parent", "relation"} if self.edges else set()
        return Needs(frozenset({Kind.NODE}), frozenset({"type", "hop"} | edges))

    def check(self, outline: Outline) -> None:
        """Nothing is named that a graph could lack."""

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return two views, and whose sequences they are."""
        draws = examples.draws.named("subgraph_contrast")
        views = tuple(
            View(self._copy(examples.graph, examples.tokens, draws.named(which)))
            for which in ("one copy", "another copy")
        )
        return Corrupted(views, {"same": _whose(examples)}, len(examples.tokens))

    def head(self, outline: Outline, width: int) -> FeatureHead:
        """Return the projection."""
        return FeatureHead(width, width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: FeatureHead
    ) -> Tensor:
        """Return the mean over the sequences; one that has no negative costs nothing."""
        one, other = (head(pooled(each, self.pool)) for each in encoded)
        return nt_xent(one, other, self.temperature, corrupted.targets["same"])

    def _copy(self, graph: Graph, tokens: Tokens, draws: Draws) -> Tokens:
        first = first_occurrence(tokens)
        words = draws.of_tokens(tokens)[first]  # one fate for a node
        loose = (tokens.kind == Kind.NODE) & ~same_nodes(first, tokens.hop == 0)
        fate = unit(words[:, 0])
        dropped = loose & (fate < self.drop)
        swapped = loose & ~dropped & (fate < self.drop + self.substitute)
        if self.substitute:
            other = Masking(mask=0, random=1)
            tokens = hide(graph, tokens, swapped, draws.named("substitute"), other)
        if self.edges:
            bits = draws.named("edges").of_tokens(tokens)[:, 0]
            tokens = without_edges(tokens, links(tokens) & (unit(bits) < self.edges))
        gone = with_text(tokens, dropped)
        leads = torch.zeros_like(gone)  # a relation token goes with the node that it leads to
        leads[:-1] = dropped[1:]
        gone |= leads & (tokens.kind == Kind.RELATION)
        return tokens.take((~gone).nonzero().squeeze(1))


def _whose(examples: Examples) -> Tensor:
    """Return one number for the root or roots of each sequence: int64 ``[B]``."""
    roots = examples.roots
    if isinstance(roots, Sets):  # a set is the same as itself
        return examples.draws.row
    if roots.ndim == 2:
        roots = roots[:, 0] * examples.graph.num_nodes() + roots[:, 1]
    return roots[examples.owner]
