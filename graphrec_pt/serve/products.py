"""What ranks the catalogue of a run, as vectors: the common part of exports of inner products."""

from dataclasses import dataclass
from itertools import pairwise

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.predict.scorer import Factorised, WithPrior
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.refit import serving_of


@dataclass(frozen=True, eq=False)
class Products:
    """Scores ``s(u, v) = q_u · t_v + b(u, v)``, where the term b is 0 for most items.

    A bias of the items stands in their vectors, as one more number that every query has as 1.

    Args:
        users: Raw ids of Q users.
        items: Raw ids of V items.
        queries: float32 ``[Q, D]``.
        table: float32 ``[V, D]``.
        prior: Inner products with the term, for a model with a co-occurrence prior.
        edges: Which edges of the data the users' vectors are made from.
    """

    users: list[str]
    items: list[str]
    queries: Tensor
    table: Tensor
    prior: WithPrior | None
    edges: str

    def user_table(self) -> pl.DataFrame:
        """Return the users: ``id``, ``vector``."""
        schema = {"id": pl.String(), "vector": pl.Array(pl.Float32, self.queries.shape[1])}
        return pl.DataFrame({"id": self.users, "vector": self.queries.numpy()}, schema=schema)

    def item_table(self) -> pl.DataFrame:
        """Return the items: ``key``, which is the row of the vector, and ``id``."""
        keys = pl.Series("key", range(len(self.items)), dtype=pl.UInt64)
        return pl.DataFrame([keys, pl.Series("id", self.items, dtype=pl.String)])

    def term_table(self) -> pl.DataFrame:
        """Return the items with a term of each user: ``id``, ``keys``, ``terms``."""
        assert self.prior is not None
        bounds = self.prior.ptr.tolist()
        item, term = self.prior.item.cpu(), self.prior.term.float().cpu()
        rows = [slice(low, high) for low, high in pairwise(bounds)]
        columns = {
            "id": self.users,
            "keys": [item[row].tolist() for row in rows],
            "terms": [term[row].tolist() for row in rows],
        }
        numbers = {"keys": pl.List(pl.UInt64()), "terms": pl.List(pl.Float32())}
        return pl.DataFrame(columns, schema={"id": pl.String(), **numbers})


def products_of(run: Run, who: str) -> Products:
    """Return the products that rank the catalogue of a run.

    Args:
        run: The run; its refit on all edges, if it has one, is what counts.
        who: Who needs them, for the error.

    Raises:
        GraphRecError: For a model whose scores are no inner products, with or without the term.
    """
    served = serving_of(run)
    history = served.predictor.graph
    relation = history.schema.relation(run.relation)
    owned = history.nodes(relation.source)
    scorer = served.predictor.scorer(torch.arange(owned.start, owned.stop))
    plain = scorer.plain if isinstance(scorer, WithPrior) else scorer
    if not isinstance(plain, Factorised):
        expected, got = "a model whose scores are inner products", type(scorer).__name__
        hint = f"`graphrec recommend {run.folder} --all --out lists.parquet`"
        raise GraphRecError(who, expected, got, hint)
    queries, table = plain.queries.float().cpu(), plain.table.float().cpu()
    if plain.bias is not None:
        table = torch.cat([table, plain.bias.float().cpu().unsqueeze(1)], dim=1)
        queries = torch.cat([queries, torch.ones_like(queries[:, :1])], dim=1)
    return Products(
        [history.raw_id(node) for node in owned],
        [history.raw_id(node) for node in history.nodes(relation.target)],
        queries,
        table,
        scorer if isinstance(scorer, WithPrior) else None,
        served.edges,
    )
