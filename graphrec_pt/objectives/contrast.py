"""Contrast: a row is told from the rows of others."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from graphrec_pt.core.errors import GraphRecError


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
    own = torch.arange(len(a), device=a.device)
    if same is not None:
        no_negative = same[: len(a), None] == same  # [n, m]
        no_negative[own, own] = False
        scores = scores.masked_fill(no_negative, float("-inf"))
    return cross_entropy(scores, own) if len(a) else scores.sum()


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
    # A view is the same thing as itself, so it stands in none of its sums.
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
