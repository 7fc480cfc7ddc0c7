"""Export of the catalogue as an index for approximate nearest-neighbour search."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.store import new_folder
from graphrec_pt.predict.scorer import Factorised
from graphrec_pt.recipe.folder import Run, predictor_of

INDEX, ITEMS, QUERIES, ABOUT = "items.usearch", "items.parquet", "queries.parquet", "index.json"

Floats = npt.NDArray[np.float32]


def export_index(run: Run, out: str | Path) -> list[Path]:
    """Write an index (HNSW, Malkov & Yashunin, TPAMI 2020) whose inner products rank the items.

    ``items.usearch`` holds the item vectors under the keys of ``items.parquet`` (``key``, raw
    ``id``); ``queries.parquet`` holds the user vectors (raw ``id``, ``vector``), made from the
    history graph of the run. The inner product of a query and an item is the score; items that a
    user has interacted with are not masked.

    Args:
        run: The run of the model.
        out: A new folder.

    Returns:
        The files.

    Raises:
        GraphRecError: When the folder exists, usearch is not installed, and for a model whose
            scores are no inner products.
    """
    out = new_folder(out)
    usearch = _usearch()
    history, relation = run.history, run.history.schema.relation(run.relation)
    owned = history.nodes(relation.source)
    nodes = torch.arange(owned.start, owned.stop)
    scorer = predictor_of(run).scorer(nodes)
    if not isinstance(scorer, Factorised):
        expected, got = "a model whose scores are inner products", type(scorer).__name__
        raise GraphRecError("export ann", expected, got, "--to embeddings")
    queries, items = scorer.queries.float(), scorer.table.float()
    if scorer.bias is not None:  # one more number, which every query has as 1
        items = torch.cat([items, scorer.bias.float().unsqueeze(1)], dim=1)
        queries = torch.cat([queries, torch.ones_like(queries[:, :1])], dim=1)
    keys = np.arange(len(items), dtype=np.uint64)
    with finished_folder(out) as made:
        index = usearch.Index(ndim=items.shape[1], metric="ip", dtype="f32")
        index.add(keys, items.numpy())
        index.save(str(made / INDEX))
        raw = [history.raw_id(node) for node in history.nodes(relation.target)]
        pl.DataFrame({"key": keys, "id": raw}).write_parquet(made / ITEMS)
        users = [history.raw_id(node) for node in owned]
        _vectors(users, queries.numpy()).write_parquet(made / QUERIES)
        about = {"metric": "ip", "width": items.shape[1], "items": len(items)}
        (made / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return [out / name for name in (INDEX, ITEMS, QUERIES, ABOUT)]


def _vectors(ids: list[str], vectors: Floats) -> pl.DataFrame:
    of_vector = pl.Array(pl.Float32, vectors.shape[1])
    return pl.DataFrame(
        {"id": ids, "vector": vectors}, schema={"id": pl.String, "vector": of_vector}
    )


def _usearch() -> Any:
    try:
        return import_module("usearch.index")
    except ImportError as error:
        hint = "pip install 'graphrec-pt[ann]'"
        raise GraphRecError("export ann", "the package usearch", "none", hint) from error
