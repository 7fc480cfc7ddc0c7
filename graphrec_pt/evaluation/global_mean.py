"""The mean of all known values, for everybody and everything."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.evaluation.values import Known, value_baseline


@dataclass(frozen=True)
class Same:
    """The same value for every pair.

    Args:
        value: That value.
    """

    value: float

    def values(self, source: Tensor, target: Tensor) -> Tensor:
        """Return it for each pair: float64 ``[n]``."""
        return torch.full((len(source),), self.value, dtype=torch.float64)


@value_baseline("global_mean")
class GlobalMean:
    """``ŷ = μ``, the mean of the training values."""

    def fit(self, known: Known) -> Same:
        """Take the mean."""
        return Same(float(known.value.mean()))
