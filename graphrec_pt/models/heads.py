"""The heads of the library: scores and predictions from hidden states."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from graphrec_pt.kernels.softmax_loss import Reduction, softmax_loss
from graphrec_pt.models.cooccurrence_head import CooccurrenceHead
from graphrec_pt.models.head import Head, head
from graphrec_pt.models.view import Encoded


@head("item")
class ItemHead(Head):
    """Scores of the whole catalogue by the vectors the items go in with (tied weights).

    ``s = f(h) · w_v / τ + b_v``; f is the identity or dense, GELU, norm as in BERT (Devlin et
    al., NAACL 2019). The table is an argument, so items may be featurized anew in every step.

    Args:
        width: D.
        items: V for a learned bias per item; 0 for none, as new items need.
        transform: Whether f is learned.
        cosine: Whether both sides are put on the unit sphere.
        temperature: τ.
        cooccurrence: Sizes of a learned term of the score from what the graph says, if any.
    """

    def __init__(
        self,
        width: int,
        *,
        items: int = 0,
        transform: bool = False,
        cosine: bool = False,
        temperature: float = 1.0,
        cooccurrence: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.width = width
        self.cosine, self.temperature = cosine, temperature
        self.transform = _transform(width, width) if transform else None
        self.bias = nn.Parameter(torch.zeros(items)) if items else None
        self.cooccurrence: CooccurrenceHead | None = None
        if cooccurrence is not None:
            shape = cooccurrence["channels"], cooccurrence["inner"]
            self.cooccurrence = CooccurrenceHead(*shape, bool(cooccurrence.get("degree", False)))

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {
            "width": self.width,
            "items": 0 if self.bias is None else len(self.bias),
            "transform": self.transform is not None,
            "cosine": self.cosine,
            "temperature": self.temperature,
            "cooccurrence": None if self.cooccurrence is None else self.cooccurrence.options(),
        }

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


@head("text")
class TextHead(ItemHead):
    """Scores of a text vocabulary, tied to its embeddings, as in masked language models.

    Args:
        width: D.
        vocabulary: V.
    """

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__(width, items=vocabulary, transform=True)
        self.vocabulary = vocabulary

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.width, "vocabulary": self.vocabulary}


@head("relation")
class RelationHead(Head):
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

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.source.in_features, "relations": self.relation.out_features}

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


@head("feature")
class FeatureHead(Head):
    """Predicts a feature of a node: numbers or a vector, or the logits of its categories.

    Args:
        width: D.
        outputs: F, numbers to predict.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.transform = _transform(width, width)
        self.out = nn.Linear(width, outputs)

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.out.in_features, "outputs": self.out.out_features}

    def forward(self, hidden: Tensor) -> Tensor:
        """Return predictions ``[T, F]`` for hidden states ``[T, D]``."""
        predictions: Tensor = self.out(self.transform(hidden))
        return predictions


@head("pair")
class PairHead(Head):
    """One logit for two vectors, such as two segments or a user and an item.

    A net over ``[a; b; a ⊙ b; |a − b|]`` (Mou et al., "Natural language inference by tree-based
    convolution and heuristic matching", ACL 2016).

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = _transform(4 * width, width)
        self.out = nn.Linear(width, 1)

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.out.in_features}

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return logits ``[M]`` for pairs ``[M, D]`` and ``[M, D]``."""
        joint = torch.cat([left, right, left * right, (left - right).abs()], dim=1)  # [M, 4D]
        logits: Tensor = self.out(self.transform(joint)).squeeze(1)
        return logits


@head("link")
class LinkHead(Head):
    """``f([h_u; h_i; h_u ⊙ h_i; mean_t h_t])``: one logit for a subgraph between two roots.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(4 * width, width)
        self.score = FeatureHead(width, 1)

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.mix.out_features}

    def forward(self, encoded: Encoded, roots: Tensor) -> Tensor:
        """Return logits ``[B]``.

        Args:
            encoded: Hidden states of B subgraphs.
            roots: int64 ``[B, 2]``, tokens of the two roots of each.
        """
        user, item = (encoded.hidden.index_select(0, at) for at in roots.unbind(1))
        joint = torch.cat([user, item, user * item, encoded.pooled("mean")], dim=1)  # [B, 4D]
        logits: Tensor = self.score(self.mix(joint)).squeeze(1)
        return logits


@head("label")
class LabelHead(Head):
    """Scores of every node of a type for a vector: ``s_a = e_aᵀ W h``, W learned.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.map.in_features}

    def initialise(self, draw: torch.Generator) -> None:
        """Keep the size of the vectors: a product of two small maps would have no gradient."""
        self.map.weight.normal_(0, self.map.in_features**-0.5, generator=draw)

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Return logits ``[n, A]`` for vectors ``[n, D]`` and nodes ``[A, D]``."""
        scores: Tensor = self.map(hidden) @ table.T
        return scores


@head("bilinear")
class Bilinear(Head):
    """One score for two vectors: ``aᵀ W b``.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width, bias=False)

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.map.in_features}

    def initialise(self, draw: torch.Generator) -> None:
        """Start with scores near 1 for normed vectors."""
        self.map.weight.normal_(0, 1 / self.map.in_features, generator=draw)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return ``[n]`` for ``[n, D]`` and ``[n, D]``."""
        scores: Tensor = (left * self.map(right)).sum(1)
        return scores


@head("code")
class Coding(Head):
    """The code of a state: ``μ(h)``, or ``μ(h) + σ(h) ⊙ ε`` with what it costs.

    Args:
        width: D.
        noisy: Whether there is a σ.
        cosine: Whether codes and nodes are compared on the unit sphere.
        temperature: τ, by which they are.
    """

    bias = None

    def __init__(
        self, width: int, noisy: bool, cosine: bool = False, temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.cosine, self.temperature = cosine, temperature
        self.mean = nn.Linear(width, width)
        self.log_variance = nn.Linear(width, width) if noisy else None

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {
            "width": self.mean.in_features,
            "noisy": self.log_variance is not None,
            "cosine": self.cosine,
            "temperature": self.temperature,
        }

    def initialise(self, draw: torch.Generator) -> None:
        """Keep the size of the state."""
        self.mean.weight.normal_(0, self.mean.in_features**-0.5, generator=draw)

    def sides(self, hidden: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two sides whose products rank a catalogue: ``[B, D]`` and ``[V, D]``."""
        code, _ = self(hidden, None)
        if self.cosine:
            return normalize(code, dim=-1), normalize(table, dim=-1)
        return code, table

    def forward(self, hidden: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return codes ``[B, D]`` and their divergence from N(0, I) ``[B]``.

        Args:
            hidden: ``[B, D]``.
            noise: Standard normal ``[B, D]``; None for the mean.
        """
        mean: Tensor = self.mean(hidden)
        if self.log_variance is None:
            return mean, torch.zeros_like(mean[:, 0])
        log_variance: Tensor = self.log_variance(hidden)
        spent = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        if noise is None:
            return mean, spent
        return mean + (log_variance / 2).exp() * noise.to(mean), spent


def _transform(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.GELU(), nn.LayerNorm(outputs))
