"""Multi-modal objectives: predict hidden node vectors; match text with nodes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div

from graphrec_pt.features.columns import one_column_of
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import FeatureHead, RelationHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.contrast import info_nce
from graphrec_pt.objectives.masking import Masking, choose, hide, occurrences
from graphrec_pt.objectives.node_vectors import vectors_of_type, width_of
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.sequence_rng import unit
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("masked_modality")
class MaskedModality(Objective):
    """Masked multi-modal modelling (MMM) of ViLBERT (Lu et al., NeurIPS 2019), over node columns.

    Nodes are hidden with all their features while their text stays, and a vector column of theirs
    is to be found: ``mse``, ``|f(h) − x|²/F``; ``kl``, ``Σ x log(x / softmax f(h))`` for a column
    of distributions (the classes of image regions in the paper); ``info_nce``, x among those of
    the batch. Serves items with an image column and text tokens, and image nodes beside text nodes.
    The other half of the paper's loss, hidden words, is ``masked_language``. MM-Rec (Wu et al.,
    SIGIR 2022) starts from a model trained so.

    Args:
        node_type: Node type of the vectors.
        column: The vectors; the only vector column of the type by default.
        form: One of the three.
        masking: How many nodes, and what is put in their place.
        temperature: τ of ``info_nce``.
    """

    node_type: str
    column: str | None = None
    form: Literal["mse", "kl", "info_nce"] = "mse"
    masking: Masking = Masking()
    temperature: float = Field(0.07, gt=0)

    @property
    def needs(self) -> RequiredFields:
        """Nodes."""
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"type"}))

    def check(self, spec: GraphSpec) -> None:
        """Raise when the type has no such vectors."""
        width_of(spec, self.node_type, self._column(spec))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view, and the vectors of the hidden nodes."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_modality")
        column = self._column(GraphSpec.of(graph))
        vectors, missing = vectors_of_type(graph, self.node_type, column)
        eligible = tokens.kind == Kind.NODE
        eligible &= tokens.type == graph.schema.node_index(self.node_type)
        first = graph.nodes(self.node_type).start
        local = torch.where(eligible, tokens.id - first, 0)
        if len(missing):
            eligible &= ~missing[local.to(missing.device)].to(local.device)
        chosen = choose(tokens, eligible, draws, self.masking)
        if self.masking.everywhere:
            chosen = occurrences(tokens, chosen) & eligible
        # Without `word` the text of a hidden node is not hidden with it.
        seen = hide(graph, replace(tokens, word=None), chosen, draws, self.masking)
        token = chosen.nonzero().squeeze(1)
        targets = {
            "token": token,
            "node": tokens.id[token],
            "vector": vectors[local[token].to(vectors.device)].to(token.device),
        }
        return TrainingExamples((View(replace(seen, word=tokens.word)),), targets, len(token))

    def head(self, spec: GraphSpec, width: int) -> FeatureHead:
        """Return f."""
        return FeatureHead(width, width_of(spec, self.node_type, self._column(spec)))

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: FeatureHead,
    ) -> Tensor:
        """Return the mean over the hidden nodes."""
        at = corrupted.targets
        predicted: Tensor = head(encoded[0].hidden.index_select(0, at["token"]))  # [n, F]
        vector = at["vector"].to(predicted.dtype)
        if self.form == "info_nce":
            return info_nce(predicted, vector, self.temperature, at["node"])
        if self.form == "kl":
            total = kl_div(predicted.log_softmax(1), vector, reduction="sum")
        else:
            total = (predicted - vector).square().mean(1).sum()
        return total / max(len(predicted), 1)

    def _column(self, spec: GraphSpec) -> str:
        return one_column_of(spec, self.node_type, ["vector"], self.column, "masked_modality")


@objective("modality_alignment")
class ModalityAlignment(Objective):
    """Multi-modal alignment prediction (MAP) of ViLBERT (Lu et al., NeurIPS 2019), over tokens.

    The modalities are the nodes of a type, with whatever features they have (image vectors, say),
    and text tokens or the nodes of another type. ``match``: in half of the sequences the nodes are
    those of another root, and ``p(match) = σ((A v ⊙ B t) · w + c)`` is predicted from the mean
    states v and t of the two, which see each other (two-way cross-entropy of the paper; ``align``
    of PREC, Liu et al., COLING 2022). ``info_nce``: each modality is encoded alone, and a sequence
    is matched to its other half among those of the batch (CLIP, Radford et al., ICML 2021).

    Args:
        node_type: One modality.
        other: Node type that is the other; text tokens by default.
        form: One of the two.
        swap: Share of the sequences with swapped nodes, for ``match``.
        temperature: τ of ``info_nce``.
    """

    node_type: str
    other: str | None = None
    form: Literal["match", "info_nce"] = "match"
    swap: float = Field(0.5, gt=0, lt=1)
    temperature: float = Field(0.07, gt=0)

    @property
    def needs(self) -> RequiredFields:
        """Nodes, and text unless the other modality is nodes too."""
        kinds = {Kind.NODE} if self.other else {Kind.NODE, Kind.TEXT}
        return RequiredFields(frozenset(kinds), frozenset({"type"}))

    def check(self, spec: GraphSpec) -> None:
        """Raise for node types that the graph does not have."""
        spec.node_index(self.node_type)
        if self.other is not None:
            spec.node_index(self.other)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return sequences that match or not, or both halves of each."""
        tokens = examples.tokens
        nodes, others = self._modalities(examples.graph, tokens)
        row = tokens.sequence_of()
        both = [torch.bincount(row[each], minlength=len(tokens)) > 0 for each in (nodes, others)]
        rows = (both[0] & both[1]).nonzero().squeeze(1)
        if self.form == "match":
            return self._matched(examples, rows)
        halves = (_alone(tokens, each).select(rows) for each in (nodes, others))
        roots = examples.roots
        targets = {}
        if isinstance(roots, Tensor) and roots.ndim == 1:
            targets["root"] = roots[examples.owner[rows]]
        return TrainingExamples(tuple(map(View, halves)), targets, len(rows))

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return the head that scores a match."""
        return RelationHead(width, 1) if self.form == "match" else nn.Identity()

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over sequences."""
        at = corrupted.targets
        if self.form == "info_nce":
            left, right = (each.pooled() for each in encoded)  # [n, D] each
            return info_nce(left, right, self.temperature, at.get("root"))
        hidden, row = encoded[0].hidden, encoded[0].view.tokens.sequence_of()
        size = len(at["match"])
        sides = (_mean(hidden, row, at[name], size) for name in ("nodes", "others"))
        scores = head(*sides).squeeze(1)  # [n]
        match = at["match"].to(scores.dtype)
        total = binary_cross_entropy_with_logits(scores, match, reduction="sum")
        return total / max(size, 1)

    def _matched(self, examples: Examples, rows: Tensor) -> TrainingExamples:
        """Return sequences of which some have the nodes of another root."""
        graph, draws = examples.graph, examples.draws.named("modality_alignment")
        words = draws.of_sequences()[:, 0]  # [B, 4]
        partners, theirs = examples.others(words[:, 0], "modality_alignment")
        foreign, _ = self._modalities(graph, theirs)
        some = torch.bincount(theirs.sequence_of()[foreign], minlength=len(theirs))
        count = torch.zeros(len(examples.tokens), dtype=torch.int64).index_put((partners,), some)
        rows = rows[count[rows] > 0]
        tokens, many = examples.tokens.select(rows), count[rows]
        theirs = theirs.select(torch.searchsorted(partners, rows))
        swapped = unit(words[rows, 1]) < self.swap
        nodes, others = self._modalities(graph, tokens)
        foreign, _ = self._modalities(graph, theirs)
        place, row = nodes.nonzero().squeeze(1), tokens.sequence_of()[nodes]
        lengths = torch.bincount(row, minlength=len(tokens))
        number = torch.arange(len(place)) - (lengths.cumsum(0) - lengths)[row]
        taken = theirs.id[foreign][(many.cumsum(0) - many)[row] + number % many[row]]
        ids = tokens.id.clone()
        ids[place] = torch.where(swapped[row], taken, ids[place])
        targets = {
            "match": (~swapped).float(),
            "nodes": place,
            "others": others.nonzero().squeeze(1),
        }
        return TrainingExamples((View(replace(tokens, id=ids)),), targets, len(rows))

    def _modalities(self, graph: Graph, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return the tokens of the two modalities: bool ``[T]`` each."""
        node = tokens.kind == Kind.NODE
        nodes = node & (tokens.type == graph.schema.node_index(self.node_type))
        if self.other is None:
            return nodes, tokens.kind == Kind.TEXT
        return nodes, node & (tokens.type == graph.schema.node_index(self.other))


def _alone(tokens: Tokens, chosen: Tensor) -> Tokens:
    return tokens.take(chosen.nonzero().squeeze(1))


def _mean(hidden: Tensor, row: Tensor, token: Tensor, size: int) -> Tensor:
    """Return the mean of some tokens of each sequence: ``[n, D]``."""
    mine = row[token]
    total = hidden.new_zeros(size, hidden.shape[1]).index_add(0, mine, hidden[token])
    count = torch.bincount(mine, minlength=size).clamp(min=1)
    return total / count.unsqueeze(1)
