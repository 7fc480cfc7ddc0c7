"""EASE: the best linear item-to-item model, in closed form."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.baseline import Linear, baseline, met, predicted_relation
from graphrec_pt.graph.graph import Graph

LARGEST = 40_000
"""Catalogue from which the dense inverse no longer fits a common memory (6.4 GB a copy)."""


@baseline("ease")
class EASE:
    """Linear autoencoder without self-loops: ``B = I − P diag(P)⁻¹``, ``P = (XᵀX + λI)⁻¹``.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.

    Args:
        l2: λ; larger for denser data.
    """

    l2: Annotated[float, Field(gt=0)] = 500.0

    def fit(self, graph: Graph, relation: str | None = None) -> Linear:
        """Invert the item-item Gram matrix.

        Raises:
            GraphRecError: For catalogues above :data:`LARGEST`.
        """
        name = predicted_relation(graph, relation)
        bought = met(graph, name)
        size = bought.shape[1]
        if size > LARGEST:
            raise GraphRecError("ease", f"at most {LARGEST} candidates", size, "item_knn")
        gram = torch.from_numpy((bought.T @ bought).toarray())
        gram.diagonal().add_(self.l2)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        weights = inverse.div_(-inverse.diagonal().clone())  # column j over −P_jj
        weights.fill_diagonal_(0)
        # LAPACK leaves columns side by side; every query would copy them into rows.
        return Linear(name, np.ascontiguousarray(weights.numpy(), np.float32), met)
