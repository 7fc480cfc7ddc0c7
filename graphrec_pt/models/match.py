"""Match heads: scores of candidates by the states of a context and the vectors of items."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphrec_pt.models.head import Head, head


class Context(NamedTuple):
    """What is known of n sequences.

    Args:
        state: ``[n, D]``, the vector of each.
        hidden: ``[n, L, D]``, states of their tokens, padded.
        there: bool ``[n, L]``, which of them are tokens.
        items: ``[n, H, D]``, vectors of the items in them, padded.
        images: ``[n, H, D]``, vectors of their images, 0 for none.
        has_item: bool ``[n, H]``.
        has_image: bool ``[n, H]``.
    """

    state: Tensor
    hidden: Tensor
    there: Tensor
    items: Tensor
    images: Tensor
    has_item: Tensor
    has_image: Tensor


class Sides(NamedTuple):
    """Vectors of candidates.

    Args:
        items: ``[n, C, D]``, or ``[1, C, D]`` for the same candidates of every sequence.
        images: The same shape, 0 for none.
        has_image: bool of the first two sizes.
    """

    items: Tensor
    images: Tensor
    has_image: Tensor


class MatchHead(Head, ABC):
    """Base class of match heads.

    Args:
        width: D.
    """

    reads_images = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def options(self) -> dict[str, int]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.width}

    @abstractmethod
    def forward(self, context: Context, sides: Sides) -> Tensor:
        """Return the scores of the candidates: ``[n, C]``."""


@head("match_dot")
class DotMatch(MatchHead):
    """``s = h · e_c``."""

    def forward(self, context: Context, sides: Sides) -> Tensor:
        """Return the scores of the candidates: ``[n, C]``."""
        return _products(context.state, sides.items)


@head("match_bilinear")
class BilinearMatch(MatchHead):
    """``s = hᵀ W e_c``; W starts as the identity.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.weight = nn.Parameter(torch.eye(width))

    def initialise(self, draw: torch.Generator) -> None:
        """Start as the inner product."""
        nn.init.eye_(self.weight)

    def forward(self, context: Context, sides: Sides) -> Tensor:
        """Return the scores of the candidates: ``[n, C]``."""
        return _products(context.state @ self.weight, sides.items)


@head("match_additive")
class AdditiveMatch(MatchHead):
    """``s = u · e_c`` with ``u = Σ_t softmax_t(q · tanh(W h_t + b)) h_t``.

    The user encoder of NRMS (Wu et al., EMNLP 2019) and PLM-NR (Wu et al., SIGIR 2021).

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.inner = nn.Linear(width, width)
        self.query = nn.Linear(width, 1, bias=False)

    def forward(self, context: Context, sides: Sides) -> Tensor:
        """Return the scores of the candidates: ``[n, C]``."""
        logits = self.query(torch.tanh(self.inner(context.hidden))).squeeze(2)  # [n, L]
        share = masked_softmax(logits, context.there)
        user = torch.einsum("nl,nld->nd", share, context.hidden)
        return _products(user, sides.items)


@head("match_cross_modal")
class CrossModalMatch(MatchHead):
    """Candidate-aware cross-modal attention of MM-Rec (Wu et al., SIGIR 2022), with a gain.

    For a candidate with item vector t and image vector v and a history of (t_i, v_i):
    ``u = Σ_i softmax(t·t_i) t_i + Σ_i softmax(t·v_i) v_i + Σ_i softmax(v·t_i) t_i +
    Σ_i softmax(v·v_i) v_i`` and ``s = h · t + g (t + v) · u``. Inner products inside a softmax are
    divided by √D. Padding, and items without an image, take no part in a softmax (the released
    code leaves its masks unused). The paper has no term ``h · t`` of the encoded history; g is
    learned and begins at 1.

    Args:
        width: D.
    """

    reads_images = True

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gain = nn.Parameter(torch.ones(1))

    def initialise(self, draw: torch.Generator) -> None:
        """Begin with both terms in full."""
        nn.init.ones_(self.gain)

    def forward(self, context: Context, sides: Sides) -> Tensor:
        """Return the scores of the candidates: ``[n, C]``."""
        query = sides.items + sides.images
        total = context.state.new_zeros(len(context.state), query.shape[1])
        for own, there in ((sides.items, None), (sides.images, sides.has_image)):
            for past, known in (
                (context.items, context.has_item),
                (context.images, context.has_image),
            ):
                logits = _cells(own, past) / self.width**0.5  # [n, C, H]
                share = masked_softmax(logits, known.unsqueeze(1))
                part = (share * _cells(query, past)).sum(2)  # [n, C]
                total = total + (part if there is None else part * there)
        return _products(context.state, sides.items) + self.gain * total


@head("match_set")
class SetMatch(MatchHead):
    """Scores of candidates that stand in the sequence: one logit of each state (MESE).

    ``s = w · f(h_c)``; the first ranking of the catalogue, from which candidates are taken, is the
    inner product ``h · e_c`` with the state of the context.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.mix = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, context: Context, sides: Sides) -> Tensor:
        """Return the scores of the first ranking: ``[n, C]``."""
        return _products(context.state, sides.items)

    def of_states(self, states: Tensor) -> Tensor:
        """Return logits ``[n, C]`` of states ``[n, C, D]``."""
        logits: Tensor = self.out(nn.functional.gelu(self.mix(states))).squeeze(2)
        return logits


MATCHES: dict[str, type[MatchHead]] = {
    "dot": DotMatch,
    "bilinear": BilinearMatch,
    "additive": AdditiveMatch,
    "cross_modal": CrossModalMatch,
    "set": SetMatch,
}
"""Match heads by the names that objectives give them."""


def masked_softmax(logits: Tensor, there: Tensor) -> Tensor:
    """Return the softmax over the last axis among some places; 0 where there is none.

    Args:
        logits: Floats.
        there: bool of a shape that broadcasts to that of the logits.
    """
    low = torch.finfo(logits.dtype).min
    share = logits.masked_fill(~there, low).softmax(-1)
    return share * there


def _products(left: Tensor, items: Tensor) -> Tensor:
    """Return ``[n, C]`` for ``[n, D]`` and ``[n, C, D]`` or ``[1, C, D]``."""
    if len(items) == 1:
        return left @ items[0].T
    return torch.einsum("nd,ncd->nc", left, items)


def _cells(own: Tensor, past: Tensor) -> Tensor:
    """Return ``[n, C, H]`` for ``[n, C, D]`` or ``[1, C, D]`` and ``[n, H, D]``."""
    if len(own) == 1:
        return torch.einsum("cd,nhd->nch", own[0], past)
    return torch.einsum("ncd,nhd->nch", own, past)
