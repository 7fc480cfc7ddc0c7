"""Heads: what is read off hidden states; to be built with ``seeded`` like any network."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from graphrec_pt.kernels.softmax_loss import Reduction, softmax_loss
from graphrec_pt.models.evidence_head import EvidenceHead


class ItemHead(nn.Module):
    """Scores of the whole catalogue by the vectors the items go in with (tied weights).

    ``s = f(h) · w_v / τ + b_v``; f is the identity or dense, GELU, norm as in BERT (Devlin et
    al., NAACL 2019). The table is an argument, so items may be featurized anew in every step.

    Args:
        width: D.
        items: V for a learned bias per item; 0 for none, as new items need.
        transform: Whether f is learned.
        cosine: Whether both sides are put on the unit sphere.
        temperature: τ.

    Attributes:
        evidence: A learned term of the score from what the graph says, if any.
    """

    def __init__(
        self,
        width: int,
        *,
        items: int = 0,
        transform: bool = False,
        cosine: bool = False,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.cosine, self.temperature = cosine, temperature
        self.transform = _transform(width, width) if transform else None
        self.bias = nn.Parameter(torch.zeros(items)) if items else None
        self.evidence: EvidenceHead | None = None

    def loss(
        self,
        hidden: Tensor,
        table: Tensor,
        target: Tensor,
        *,
        masked: Tensor | None = None,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Return the cross-entropy over the catalogue; the logits are never stored.

        Args:
            hidden: ``[T, D]``.
            table: ``[V, D]``.
            target: int64 ``[T]``, −100 for no loss.
            masked: bool ``[V]``, items that are never predicted.
            reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        """
        return softmax_loss(
            *self.sides(hidden, table),
            target,
            bias=self.bias,
            masked=masked,
            temperature=self.temperature,
            reduction=reduction,
        )

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Return scores of every item, for few rows: ``[T, V]``."""
        left, right = self.sides(hidden, table)
        scores = left @ right.T / self.temperature  # [T, V]
        return scores if self.bias is None else scores + self.bias

    def sides(self, hidden: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two sides whose products rank the catalogue: ``[T, D]`` and ``[V, D]``."""
        if self.transform is not None:
            hidden = self.transform(hidden)
        if self.cosine:
            return normalize(hidden, dim=-1), normalize(table, dim=-1)
        return hidden, table


class TextHead(ItemHead):
    """Scores of a text vocabulary, tied to its embeddings, as in masked language models.

    Args:
        width: D.
        vocabulary: V.
    """

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__(width, items=vocabulary, transform=True)


class RelationHead(nn.Module):
    """Scores of the relations between two tokens, in both senses: which one, and whether.

    ``s_r(a, b) = (A h_a ⊙ B h_b) · w_r + c_r``; A ≠ B, so direction counts (a low-rank form of
    the bilinear ``h_aᵀ W_r h_b`` of RESCAL, Nickel et al., ICML 2011).

    Args:
        width: D.
        relations: R.
    """

    def __init__(self, width: int, relations: int) -> None:
        super().__init__()
        self.source = nn.Linear(width, width, bias=False)
        self.target = nn.Linear(width, width, bias=False)
        self.relation = nn.Linear(width, relations)

    def initialise(self, draw: torch.Generator) -> None:
        """Keep the size of the vectors: a product of two small maps would have no gradient."""
        for side in (self.source, self.target):
            side.weight.normal_(0, side.in_features**-0.5, generator=draw)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the logit of each relation for pairs of tokens.

        Args:
            source: ``[M, D]``.
            target: ``[M, D]``.

        Returns:
            ``[M, R]``: a softmax over them says which relation, a sigmoid whether it is there.
        """
        scores: Tensor = self.relation(self.source(source) * self.target(target))
        return scores


class FeatureHead(nn.Module):
    """Predicts a feature of a node: numbers or a vector, or the logits of its categories.

    Args:
        width: D.
        outputs: F, numbers to predict.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.transform = _transform(width, width)
        self.out = nn.Linear(width, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return predictions ``[T, F]`` for hidden states ``[T, D]``."""
        predictions: Tensor = self.out(self.transform(hidden))
        return predictions


class PairHead(nn.Module):
    """One logit for two vectors: does this follow that, does this user want that item.

    A net over ``[a; b; a ⊙ b; |a − b|]`` (Mou et al., "Natural language inference by tree-based
    convolution and heuristic matching", ACL 2016).

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = _transform(4 * width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return logits ``[M]`` for pairs ``[M, D]`` and ``[M, D]``."""
        joint = torch.cat([left, right, left * right, (left - right).abs()], dim=1)  # [M, 4D]
        logits: Tensor = self.out(self.transform(joint)).squeeze(1)
        return logits


def _transform(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.GELU(), nn.LayerNorm(outputs))
