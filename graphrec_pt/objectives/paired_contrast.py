"""Paired contrast: the text of a node against that of a neighbour, or against its other field."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.neighbors import neighbors
from graphrec_pt.models.head import Projector
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.pairs import bce, drawn_negatives
from graphrec_pt.objectives.pooling import SequencePool
from graphrec_pt.objectives.sequence_rng import one_of
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

SMALLEST = 1e-6
"""Least chance in a logarithm, where two texts have the same or opposite vectors."""


@objective("paired_contrast")
class PairedContrast(Objective):
    r"""Contrast of two texts that belong together, in the order of their nodes or fields.

    With a `relation`, the root u and a neighbour v drawn under it (tweets with the same readers:
    TwHIN-BERT, Zhang et al., KDD 2023); with `fields`, two texts of the root itself (title and
    body: Tiny-NewsRec, Yu et al., EMNLP 2022; title and description: RecoBERT, Malkiel et al.,
    Findings of EMNLP 2020). z and z' are the vectors of the pair, s their cosine or product.

    ``nt_xent``: ``−1/2n Σ_i log e^{s(z_i, z_i')/τ} / Σ_j e^{s(z_i, z_j)/τ}`` over both sides of all
    pairs of the batch, but for texts of the same nodes as the pair's. ``softmax``: the same
    cross-entropy of z' among K drawn others, ``−log e^{s(z, z')/τ} / Σ_{0..K} e^{s(z, z_k)/τ}``.
    ``bce``: ``−log p(z, z') − Σ_k log(1 − p(z, z_k))``, a mean over all 1 + K, with ``p = (1 +
    cos)/2`` of cosines (RecoBERT) or ``p = σ(s/τ)`` of products.

    A sequence is what the linearizer makes of the root and its text alone (hop 0), without
    neighbours that were sampled with it.

    Args:
        relation: Leads from roots to neighbours of the same type.
        fields: Numbers of two fields (`slot`, from 1) of the linearizer ``text`` with several
            columns, instead of a relation: the first is the query.
        read: The ``"state"`` of the sequences, or the ``"vector"`` of the nodes as features make
            it, such as that of the featurizer ``text``; this needs a relation.
        form: One of the three.
        negatives: K; nodes of the type that are not under the relation.
        weighted: Draw neighbours in proportion to edge weights.
        cosine: Cosines in place of products.
        temperature: τ.
        pool: Pooling of hidden states to the vector of a text.
        projection: Put a small net before the contrast, as TwHIN-BERT does; it is thrown away
            after.
    """

    relation: str | None = None
    fields: tuple[int, int] | None = None
    read: Literal["state", "vector"] = "state"
    form: Literal["nt_xent", "softmax", "bce"] = "nt_xent"
    negatives: int = Field(9, ge=1)
    weighted: bool = False
    cosine: bool = True
    temperature: float = Field(0.1, gt=0)
    pool: SequencePool = "mean"
    projection: bool = False

    def __post_init__(self) -> None:
        who = "paired_contrast"
        if (self.relation is None) == (self.fields is None):
            got = "neither" if self.relation is None else "both"
            raise GraphRecError(who, "a relation, or two fields", got)
        if self.fields is not None and (min(self.fields) < 1 or len({*self.fields}) < 2):
            raise GraphRecError(who, "two different fields, from 1", list(self.fields))
        if self.read == "vector" and self.relation is None:
            raise GraphRecError(who, "a relation with read: vector", "fields", "read: state")

    @property
    def needs(self) -> RequiredFields:
        """Hop, which marks the roots; text and fields if fields are compared; else nothing."""
        if not self.reads_sequences:
            return RequiredFields(frozenset())
        if self.fields is None:
            return RequiredFields(frozenset(), frozenset({"hop"}))
        return RequiredFields(frozenset({Kind.TEXT}), frozenset({"hop", "slot"}))

    @property
    def reads_sequences(self) -> bool:
        """Whether the model encodes sequences for it; else vectors of nodes are all it reads."""
        return self.read == "state"

    def check(self, spec: GraphSpec) -> None:
        """Raise for a relation that there is not, and for one between two types."""
        if self.relation is None:
            return
        relation = spec.relations[spec.relation_index(self.relation)]
        if relation.source != relation.target:
            expected = f"a relation from {relation.source!r} to the same type"
            raise GraphRecError("paired_contrast", expected, repr(self.relation))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return both sides of every pair, and the drawn others where the form has some."""
        roots = examples.root()
        if roots is None or (isinstance(examples.roots, Tensor) and examples.roots.ndim != 1):
            raise GraphRecError("paired_contrast", "roots that are nodes", "pairs or sets")
        row, target = self._partners(examples, roots)
        others = self._others(examples, row, roots[row])
        if self.read == "vector":
            targets = {"source": roots[row], "target": target}
            if self.form != "nt_xent":
                targets["other"] = others
            return TrainingExamples((), targets, len(row))
        tokens = examples.tokens.select(row)
        left = self._text(tokens, 0)
        right = self._text(tokens, 1) if self.fields else self._resampled(examples, target)
        kept = ((left.lengths() > 0) & (right.lengths() > 0)).nonzero().squeeze(1)
        views = [View(left.select(kept)), View(right.select(kept))]
        targets = {"source": roots[row[kept]], "target": target[kept]}
        if self.form != "nt_xent":
            drawn = self._resampled(examples, others[kept].flatten())
            cell = (drawn.lengths() > 0).nonzero().squeeze(1)  # texts that there are, of n * K
            views.append(View(drawn.select(cell)))
            targets |= {"row": cell // self.negatives, "number": cell % self.negatives}
        return TrainingExamples(tuple(views), targets, len(kept))

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return the projection network."""
        return Projector(width) if self.projection else nn.Identity()

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over pairs; a pair without a negative adds 0 to cross-entropies."""
        at = corrupted.targets
        if self.read == "vector":
            names = ("source", "target", "other") if "other" in at else ("source", "target")
            every = model.nodes(torch.cat([at[name].flatten() for name in names]))
            sizes = [at[name].numel() for name in names]
            parts = torch.split(every, sizes)
        else:
            parts = tuple(each.pooled(self.pool) for each in encoded)
        sides = [head(part) for part in parts]
        if self.cosine:
            sides = [normalize(side, dim=-1) for side in sides]
        left, right = sides[:2]  # [n, D] each
        if self.form == "nt_xent":
            return self._among_batch(left, right, at["source"], at["target"])
        count, device = len(left), left.device
        row = at.get("row", torch.arange(count, device=device).repeat_interleave(self.negatives))
        number = at.get("number", torch.arange(self.negatives, device=device).repeat(count))
        true = (left * right).sum(1)  # [n]
        false = (left[row] * sides[2]).sum(1)  # [m]
        if self.form == "bce":
            return self._binary(true, false)
        scores = true.new_full((count, 1 + self.negatives), -torch.inf)
        scores = scores.index_put((row, number + 1), false)
        scores = torch.cat([true.unsqueeze(1), scores[:, 1:]], dim=1) / self.temperature
        first = torch.zeros(count, dtype=torch.int64, device=device)
        return cross_entropy(scores, first) if count else scores.sum()

    def _binary(self, true: Tensor, false: Tensor) -> Tensor:
        """Return the mean of the binary cross-entropies of true and false pairs."""
        if not self.cosine:
            return bce(true / self.temperature, false.unsqueeze(1) / self.temperature)
        chance = torch.cat([(1 + true) / 2, (1 - false) / 2]).clamp(min=SMALLEST)
        return -chance.log().sum() / max(len(chance), 1)

    def _among_batch(self, left: Tensor, right: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy of each side's partner among all sides of the batch."""
        anchors, partners = torch.cat([left, right]), torch.cat([right, left])  # [2n, D]
        mine, theirs = torch.cat([source, target]), torch.cat([target, source])
        scores = anchors @ partners.T / self.temperature  # [2n, 2n]
        rows = torch.arange(len(mine), device=mine.device)
        no_negative = (theirs == mine.unsqueeze(1)) | (theirs == theirs.unsqueeze(1))
        no_negative[rows, rows] = False
        scores = scores.masked_fill(no_negative, -torch.inf)
        return cross_entropy(scores, rows) if len(rows) else scores.sum()

    def _partners(self, examples: Examples, roots: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sequences that have a partner, int64 ``[n]``, and the partner's node."""
        if self.relation is None:
            return torch.arange(len(roots)), roots
        graph, draws = examples.graph, examples.draws.named("paired_contrast")
        leaves = graph.schema.node_index(graph.schema.relation(self.relation).source)
        row = (graph.csr.node_type(roots) == leaves).nonzero().squeeze(1)
        exclude = None if examples.exclude is None else examples.exclude[examples.owner[row]]
        position, ptr = neighbors(
            graph.csr,
            roots[row],
            1,
            draws.key,
            slots=torch.tensor([graph.schema.slot(self.relation)]),
            weighted=self.weighted,
            exclude=exclude,
            item=draws.row[row],
            turn=draws.number[row],
        )
        return row[ptr.diff() > 0], graph.csr.indices[position].long()

    def _others(self, examples: Examples, row: Tensor, source: Tensor) -> Tensor:
        """Return K other nodes of the type of each root: int64 ``[n, K]``."""
        if self.form == "nt_xent":
            return source.unsqueeze(1)[:, :0]
        graph = examples.graph
        draws = examples.draws.named("paired_contrast others").select(row)
        if self.relation is not None:
            relation = graph.schema.relation(self.relation)
            drawn = drawn_negatives(graph, relation, source, draws, self.negatives)
            return torch.where(drawn == source.unsqueeze(1), -1, drawn)
        kind = graph.csr.node_type(source)
        low = graph.csr.offset[kind]
        size = graph.csr.offset[kind + 1] - low
        words = draws.of_sequences(self.negatives)[:, :, 0]  # [n, K]
        step = 1 + one_of(words, (size - 1).clamp(min=1).unsqueeze(1).expand_as(words))
        drawn = low.unsqueeze(1) + ((source - low).unsqueeze(1) + step) % size.unsqueeze(1)
        return torch.where(drawn == source.unsqueeze(1), -1, drawn)  # a type of one node

    def _resampled(self, examples: Examples, nodes: Tensor) -> Tokens:
        """Return the text of each node, empty for −1 and where nothing is sampled."""
        there = (nodes >= 0).nonzero().squeeze(1)
        exclude = None if examples.exclude is None else torch.full_like(there, -1)
        tokens, owner = examples.resample(nodes[there], exclude)
        first = torch.ones_like(owner, dtype=torch.bool)
        first[1:] = owner[1:] != owner[:-1]
        tokens = self._text(tokens.select(first.nonzero().squeeze(1)), 1)
        length = torch.zeros_like(nodes).index_put((there[owner[first]],), tokens.lengths())
        return replace(tokens, ptr=torch.cat([length.new_zeros(1), length.cumsum(0)]))

    def _text(self, tokens: Tokens, side: int) -> Tokens:
        """Return the root and its text of each sequence, or one field of the text, from place 0."""
        kept = tokens.hop == 0
        if self.fields is not None:
            kept &= (tokens.kind == Kind.TEXT) & (tokens.slot == self.fields[side])
        cut = tokens.take(kept.nonzero().squeeze(1))
        return replace(cut, position=cut.places())
