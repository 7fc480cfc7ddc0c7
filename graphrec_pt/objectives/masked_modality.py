"""Masked modalities: what does the thing look like, told by its text and what is around it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div

from graphrec_pt.features.columns import one_column_of
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import FeatureHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.contrast import info_nce
from graphrec_pt.objectives.masking import Masking, choose, hide, occurrences
from graphrec_pt.objectives.node_vectors import vectors_of_type, width_of
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.tokens.kind import Kind


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
        node_type: Whose vectors.
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
    def needs(self) -> Needs:
        """Nodes."""
        return Needs(frozenset({Kind.NODE}), frozenset({"type"}))

    def check(self, outline: Outline) -> None:
        """Raise when the type has no such vectors."""
        width_of(outline, self.node_type, self._column(outline))

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return one view, and the vectors of the hidden nodes."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("masked_modality")
        column = self._column(Outline.of(graph))
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
        return Corrupted((View(replace(seen, word=tokens.word)),), targets, len(token))

    def head(self, outline: Outline, width: int) -> FeatureHead:
        """Return f."""
        return FeatureHead(width, width_of(outline, self.node_type, self._column(outline)))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: FeatureHead
    ) -> Tensor:
        """Return the mean over the hidden nodes."""
        at = corrupted.targets
        found: Tensor = head(encoded[0].hidden.index_select(0, at["token"]))  # [n, F]
        vector = at["vector"].to(found.dtype)
        if self.form == "info_nce":
            return info_nce(found, vector, self.temperature, at["node"])
        if self.form == "kl":
            total = kl_div(found.log_softmax(1), vector, reduction="sum")
        else:
            total = (found - vector).square().mean(1).sum()
        return total / max(len(found), 1)

    def _column(self, outline: Outline) -> str:
        return one_column_of(outline, self.node_type, ["vector"], self.column, "masked_modality")
