"""A learned function of sparse co-occurrence, added to the scores of items that have some."""

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import gelu

from graphrec_pt.kernels.softmax_loss import softmax_loss
from graphrec_pt.kernels.sparse import owners, sddmm

SCALE, FIRST, SPREAD = 27.0, 1.0, 0.3
_LEAST = 1e-6


class CooccurrenceHead(nn.Module):
    """``b = a · x + w · gelu(W x)`` with ``x_c = log(1 + e^{s_c} K_c)``; no cooccurrence, no term.

    Everything is learned; at first b is the mean of x over the channels.

    Args:
        channels: C.
        inner: Rows of W.
        degree: Whether one more column of the input is the number of events of the item.
    """

    def __init__(self, channels: int, inner: int, degree: bool = False) -> None:
        super().__init__()
        self.channels, self.degree = channels, degree
        channels += degree
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.direct = nn.Parameter(torch.zeros(channels))
        self.inward = nn.Linear(channels, inner, bias=False)
        self.outward = nn.Linear(inner, 1, bias=False)

    def options(self) -> dict[str, int]:
        """Return the arguments that make a network of the same shape."""
        options: dict[str, int] = {"channels": self.channels, "inner": self.inward.out_features}
        return options | ({"degree": True} if self.degree else {})

    def initialise(self, draw: Generator) -> None:
        """Start as the mean over channels; W starts away from 0 so that w has a gradient."""
        self.log_scale.fill_(SCALE).log_()
        self.direct.fill_(FIRST / self.channels)
        self.log_scale[self.channels :] = 0  # a degree is no small share: log(1 + n)
        self.direct[self.channels :] = 0
        self.inward.weight.normal_(0, SPREAD, generator=draw)
        self.outward.weight.zero_()

    def forward(self, value: Tensor) -> Tensor:
        """Return the term of each item that has cooccurrence.

        Args:
            value: float32 ``[N, C]``, K of N (place, item) pairs, 0 or more; ``[N, C + 1]`` with
                the degree.

        Returns:
            ``[N]``.
        """
        x = torch.log1p(value * self.log_scale.exp())  # [N, C]
        bent: Tensor = self.outward(gelu(self.inward(x))).squeeze(1)
        return x @ self.direct + bent

    def loss(
        self,
        left: Tensor,
        right: Tensor,
        target: Tensor,
        temperature: float,
        ptr: Tensor,
        item: Tensor,
        value: Tensor,
        hidden: Tensor,
    ) -> Tensor:
        r"""Return the cross-entropy over the catalogue with the term, without its dense scores.

        With plain scores s and their normaliser Z, items with a term change it to
        ``Z' = Z + Σ_j e^{s_j} (e^{b_j} − 1)``, and hidden ones leave it as if ``b = −∞``, so that
        ``L = −log softmax(s)_y + log(Z' / Z) − b_y`` costs the plain loss and as many products as
        there are such pairs.

        Args:
            left: ``[P, D]``, where each target is to be found.
            right: ``[V, D]``, the catalogue.
            target: int64 ``[P]`` in ``[0, V)``.
            temperature: Divides the plain scores.
            ptr: int64 ``[P + 1]``, pairs of each place.
            item: int64 ``[N]`` in ``[0, V)``, different ones at each place.
            value: float32 ``[N, C]``.
            hidden: bool ``[N]``, items that are no candidates; never the target.

        Returns:
            The mean over P, a scalar.
        """
        plain = softmax_loss(left, right, target, temperature=temperature, reduction="none")  # [P]
        row = owners(ptr, len(item))
        score = sddmm(ptr, item.int(), left, right) / temperature  # [N]
        target_score = (left * right[target]).sum(1) / temperature  # [P]
        term = self(value)  # [N]
        change = torch.where(hidden, -torch.ones_like(term), torch.expm1(term))
        share = torch.exp(score - (plain + target_score)[row]) * change  # [N]
        moved = torch.zeros_like(plain).index_add(0, row, share)  # Z' / Z − 1
        hit = ((item == target[row]) & ~hidden).nonzero().squeeze(1)
        given = torch.zeros_like(plain).index_add(0, row[hit], term[hit])
        return (plain + torch.log1p(moved.clamp(min=_LEAST - 1)) - given).mean()
