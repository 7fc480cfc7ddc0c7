"""Contrastive objectives: two versions of one history or subgraph are a positive pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.head import Projector
from graphrec_pt.models.heads import FeatureHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.augmentation import Augmentation
from graphrec_pt.objectives.edge_masking import links, same_nodes, without_edges
from graphrec_pt.objectives.masking import Masking, events, first_occurrence, hide, with_text
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.pooling import Pool, SequencePool, pooled
from graphrec_pt.objectives.sequence_rng import SequenceRNG, unit
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@dataclass(frozen=True)
class TwoVersions(Objective):
    """Two versions of each history, made by operations drawn independently.

    Args:
        augment: How a version is made.
        pool: Pooling of hidden states to the vector of a history.
        projection: Put a small net before the contrast, as SimCLR does (Chen et al., ICML 2020);
            it is thrown away after.
    """

    augment: Augmentation = Augmentation()  # noqa: RUF009 - frozen
    pool: SequencePool = "mean"
    projection: bool = False

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots; text if its words are dropped."""
        return RequiredFields(self.augment.kinds(), frozenset({"hop"}))

    def versions(self, examples: Examples, purpose: str) -> tuple[Tensor, list[View]]:
        """Return the histories that have an event, int64 ``[n]``, and two views of them.

        Args:
            examples: The batch.
            purpose: Names the draws.
        """
        graph, draws = examples.graph, examples.draws.named(purpose)
        rows = torch.unique(examples.tokens.sequence_of()[events(examples.tokens)])
        tokens, draws, root = examples.tokens.select(rows), draws.select(rows), examples.root()
        views = [
            View(
                self.augment.apply(graph, tokens, draws.named(which)),
                root=None if root is None else root[rows],
            )
            for which in ("first", "second")
        ]
        return rows, views

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return the projection network."""
        return Projector(width) if self.projection else nn.Identity()


@objective("history_contrast")
class HistoryContrast(TwoVersions):
    """Contrast of two corruptions of each history (CL4SRec, Xie et al., ICDE 2022, re-derived).

    ``−log e^{cos(z_i, z_i')/τ} / Σ_j e^{cos(z_i, z_j)/τ}`` where z and z' are read off two versions
    of a history and j runs over all versions in the batch (NT-Xent, SimCLR) or over the second
    ones (InfoNCE). Negatives are the other histories of the batch, so the loss depends on its
    size; :class:`~graphrec_pt.objectives.momentum_contrast.MomentumContrast` keeps a queue.

    Args:
        augment: How a version is made.
        pool: Pooling of hidden states to the vector of a history.
        projection: Put a small net before the contrast.
        loss_form: ``"nt_xent"`` or ``"info_nce"``.
        temperature: τ.
    """

    loss_form: Literal["nt_xent", "info_nce"] = "nt_xent"
    temperature: float = Field(0.5, gt=0)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return two versions of every history that has an event."""
        rows, views = self.versions(examples, "history_contrast")
        return TrainingExamples(tuple(views), {}, len(rows))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over histories."""
        first, second = (head(each.pooled(self.pool)) for each in encoded)  # [n, D] each
        if self.loss_form == "nt_xent":
            return nt_xent(first, second, self.temperature)
        return info_nce(first, second, self.temperature)


@objective("subgraph_contrast")
class SubgraphContrast(Objective):
    """Subgraph contrastive learning (SCL) of CHEST (Wang et al., TOIS 2023), re-derived.

    Two copies of every sequence lose nodes, have nodes replaced by others of their type, and lose
    edges; NT-Xent (:func:`~graphrec_pt.objectives.contrast.nt_xent`) over projections of their
    pooled states, with the rest of the batch as negatives. Sequences of the same root or
    roots are no negatives of one another. Roots stay unchanged.

    Args:
        drop: Share of the nodes that are left out, wherever they stand, with their text.
        substitute: Share of the nodes replaced by another node of their type.
        edges: Share of the edges that are hidden.
        pool: Pooling of hidden states to the vector of a sequence.
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
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots; their parents to hide edges."""
        edges = {"parent", "relation"} if self.edges else set()
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"type", "hop"} | edges))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return two views, and the number of the root of each sequence."""
        draws = examples.draws.named("subgraph_contrast")
        views = tuple(
            View(self._copy(examples.graph, examples.tokens, draws.named(which)))
            for which in ("one copy", "another copy")
        )
        return TrainingExamples(views, {"same": _whose(examples)}, len(examples.tokens))

    def head(self, spec: GraphSpec, width: int) -> FeatureHead:
        """Return the projection."""
        return FeatureHead(width, width)

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: FeatureHead,
    ) -> Tensor:
        """Return the mean over the sequences; a sequence without a negative adds 0."""
        one, other = (head(pooled(each, self.pool)) for each in encoded)
        return nt_xent(one, other, self.temperature, corrupted.targets["same"])

    def _copy(self, graph: Graph, tokens: Tokens, draws: SequenceRNG) -> Tokens:
        first = first_occurrence(tokens)
        words = draws.of_tokens(tokens)[first]  # the same draw for all occurrences of a node
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
    if isinstance(roots, Sets):  # a set equals only itself
        return examples.draws.row
    if roots.ndim == 2:
        roots = roots[:, 0] * examples.graph.num_nodes() + roots[:, 1]
    return roots[examples.owner]


def info_nce(
    a: Tensor,
    b: Tensor,
    temperature: float = 1.0,
    same: Tensor | None = None,
    *,
    cosine: bool = True,
) -> Tensor:
    """Return the mean of ``−log e^{s_ii/τ} / Σ_j e^{s_ij/τ}``, s being cosines or products.

    InfoNCE (van den Oord et al., "Representation learning with contrastive predictive coding",
    2018). Row i of `b` is the positive of row i of `a`, every other row a negative, but for those
    that are the same thing: they stand in no sum.

    Args:
        a: ``[n, D]``.
        b: ``[m, D]``, m ≥ n; rows from n on are negatives only.
        temperature: τ.
        same: int64 ``[m]``, what each row of `b` is (row i of `a` is what row i of `b` is); rows
            that are the same are no negatives of one another. By default all differ.
        cosine: Whether both sides are put on the unit sphere.

    Returns:
        A scalar; 0 for no rows.

    Raises:
        GraphRecError: When the shapes do not fit.
    """
    _check("info_nce", a, b, temperature, same)
    if cosine:
        a, b = normalize(a, dim=-1), normalize(b, dim=-1)
    scores = a @ b.T / temperature  # [n, m]
    rows = torch.arange(len(a), device=a.device)
    if same is not None:
        no_negative = same[: len(a), None] == same  # [n, m]
        no_negative[rows, rows] = False
        scores = scores.masked_fill(no_negative, float("-inf"))
    return cross_entropy(scores, rows) if len(a) else scores.sum()


def nt_xent(a: Tensor, b: Tensor, temperature: float = 0.5, same: Tensor | None = None) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy of two views of n things.

    ``−1/2n Σ_i log e^{cos(z_i, z_i')/τ} / Σ_{j ≠ i} e^{cos(z_i, z_j)/τ}`` over all 2n views, z_i'
    being the other view of the same thing: NT-Xent of SimCLR (Chen et al., ICML 2020).

    Args:
        a: ``[n, D]``, one view.
        b: ``[n, D]``, the other.
        temperature: τ.
        same: int64 ``[n]``, what each row is a view of; rows of the same thing are no negatives
            of one another. By default all differ.

    Returns:
        A scalar; 0 for no rows.

    Raises:
        GraphRecError: When the shapes do not fit.
    """
    if len(a) != len(b):
        raise GraphRecError("nt_xent", "two views of equal length", f"{len(a)} and {len(b)}")
    things = torch.arange(len(a), device=a.device) if same is None else same
    _check("nt_xent", a, b, temperature, things)
    # A view is excluded from its own sum.
    anchors, others, name = torch.cat([a, b]), torch.cat([b, a]), torch.cat([things, things])
    return info_nce(anchors, others, temperature, name)


def _check(who: str, a: Tensor, b: Tensor, temperature: float, same: Tensor | None) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or len(b) < len(a):
        raise GraphRecError(who, "[n, D] and [m, D] with m >= n", f"{a.shape} and {b.shape}")
    if not temperature > 0:
        raise GraphRecError(who, "temperature > 0", temperature)
    if same is not None and (same.dtype != torch.int64 or same.shape != (len(b),)):
        got = f"{same.dtype} {list(same.shape)}"
        raise GraphRecError(who, f"same as int64 [{len(b)}]", got)
