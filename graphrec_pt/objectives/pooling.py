"""Pooling: one vector per sequence from the hidden states of its tokens."""

from typing import Literal

import torch
from torch import Tensor

from graphrec_pt.models.view import Encoded

SequencePool = Literal["last", "first", "mean"]
"""The token or tokens that give the vector of a sequence."""

Pool = Literal["roots", "mean", "first", "last"]
"""The same, or off its roots."""


def pooled(encoded: Encoded, how: Pool) -> Tensor:
    """Return one vector per sequence: ``[B, D]``; zeros where there is nothing to pool.

    Args:
        encoded: Hidden states of T tokens.
        how: Mean of the ``"roots"`` (hop 0) or of all tokens (``"mean"``), the ``"first"`` (where
            CLS stands) or the ``"last"``.
    """
    if how != "roots":
        return encoded.pooled(how)
    tokens, hidden = encoded.view.tokens, encoded.hidden
    root = ((tokens.hop == 0) & (tokens.type >= 0)).to(hidden.dtype)  # nodes, hidden ones too
    row, zeros = tokens.sequence_of(), hidden.new_zeros(len(tokens))
    total = zeros.unsqueeze(1).expand(-1, hidden.shape[1])
    total = torch.index_add(total, 0, row, hidden * root.unsqueeze(1))
    return total / zeros.index_add(0, row, root).clamp(min=1).unsqueeze(1)
