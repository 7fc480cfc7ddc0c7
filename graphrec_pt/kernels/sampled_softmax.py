"""Cross-entropy against sampled negatives, corrected for how they were drawn."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.softmax_loss import IGNORED, autocasted, check_catalogue


def sampled_softmax_loss(
    hidden: Tensor,
    table: Tensor,
    target: Tensor,
    negatives: Tensor,
    log_q_target: Tensor | None,
    log_q_negatives: Tensor,
    *,
    temperature: float | Tensor = 1.0,
) -> Tensor:
    r"""Return the mean cross-entropy of each target against drawn negatives, with logQ correction.

    .. math:: \ell_i = -\log \frac{\exp(s_{iy} - \log q_y)}
              {\exp(s_{iy} - \log q_y) + \sum_{j \ne y} \exp(s_{ij} - \log q_j)}

    (Bengio and Senécal, "Adaptive importance sampling", 2008; Yi et al., RecSys 2019.) A negative
    that is its row's own target is an accidental hit and does not count. With ``log_q_target``
    None and ``log_q_negatives`` the log of *expected counts* (K times the probability), the
    denominator estimates the full sum without bias, so the loss tends to
    :func:`~graphrec_pt.kernels.softmax_loss.softmax_loss` as K grows, and equals it when the
    negatives are the whole catalogue, once each.

    Args:
        hidden: Floats ``[T, D]``.
        table: ``[V, D]`` of the same type.
        target: int64 ``[T]`` in ``[0, V)``; −100 has no loss.
        negatives: int64 ``[K]``, shared by all tokens, or ``[T, K]``.
        log_q_target: ``[T]``, subtracted from the target's score; None for nothing.
        log_q_negatives: Of the shape of `negatives`.
        temperature: Above 0.

    Returns:
        Scalar, float32 or better; 0 when no token has a target.

    Raises:
        GraphRecError: For shapes or types that do not fit, and items outside the catalogue.
    """
    who = "sampled_softmax_loss"
    hidden, table = autocasted(hidden), autocasted(table)
    check_catalogue(who, hidden, table, target)
    _check_negatives(who, negatives, log_q_negatives, len(hidden))
    kept = (target != IGNORED).nonzero().squeeze(1)
    rows, labels = hidden[kept] / temperature, target[kept]
    shared = negatives.ndim == 1
    drawn = negatives if shared else negatives[kept]
    for name, items in (("target", labels), ("negatives", drawn)):
        if items.numel() and not 0 <= int(items.min()) <= int(items.max()) < len(table):
            raise GraphRecError(who, f"{name} in [0, {len(table)})", int(items.max()))
    true = (rows * table[labels]).sum(1, dtype=torch.promote_types(rows.dtype, torch.float32))
    if log_q_target is not None:
        true = true - log_q_target[kept]
    form = "td,kd->tk" if shared else "td,tkd->tk"
    false = torch.einsum(form, rows, table[drawn])  # [T, K]
    false = false.to(true.dtype) - (log_q_negatives if shared else log_q_negatives[kept])
    false = false.masked_fill(drawn == labels.unsqueeze(1), float("-inf"))
    scores = torch.cat([true.unsqueeze(1), false], dim=1)  # [T, 1 + K]
    first = torch.zeros_like(labels)
    return cross_entropy(scores, first, reduction="sum") / max(len(kept), 1)


def _check_negatives(who: str, negatives: Tensor, log_q: Tensor, tokens: int) -> None:
    fits = negatives.ndim == 1 or (negatives.ndim == 2 and len(negatives) == tokens)
    if negatives.dtype != torch.int64 or not fits:
        got = f"{negatives.dtype} {list(negatives.shape)}"
        raise GraphRecError(who, f"negatives int64 [K] or [{tokens}, K]", got)
    if log_q.shape != negatives.shape:
        raise GraphRecError(who, f"log_q_negatives {list(negatives.shape)}", list(log_q.shape))
