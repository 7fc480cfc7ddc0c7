"""The logits of words: two sides and a bias, whatever head a backbone has."""

from typing import NamedTuple

from torch import Tensor


class WordSides(NamedTuple):
    """What the logits of words are made of: ``query @ table.T + bias``.

    Args:
        query: ``[n, D']``.
        table: ``[V, D']``.
        bias: ``[V]``, or None.
    """

    query: Tensor
    table: Tensor
    bias: Tensor | None = None

    def logits(self) -> Tensor:
        """Return the logits of every word, for few rows: ``[n, V]``."""
        logits = self.query @ self.table.T
        return logits if self.bias is None else logits + self.bias
