"""Export of the catalogue as an index for approximate nearest-neighbour search."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.store import new_folder
from graphrec_pt.recipe.folder import Run
from graphrec_pt.serve.products import products_of

INDEX, ITEMS, QUERIES, ABOUT = "items.usearch", "items.parquet", "queries.parquet", "index.json"
TERMS = "terms.parquet"
"""What the co-occurrence prior adds to the scores of a few items of each user."""


def export_index(run: Run, out: str | Path) -> list[Path]:
    """Write an index (HNSW, Malkov & Yashunin, TPAMI 2020) whose inner products rank the items.

    ``items.usearch`` holds the item vectors under the keys of ``items.parquet`` (``key``, raw
    ``id``); ``queries.parquet`` holds the user vectors (raw ``id``, ``vector``), made from the
    graph that the run serves with. The inner product of a query and an item is the score; items
    that a user has interacted with are not masked.

    A model with a co-occurrence prior adds a term for a few items of each user: ``terms.parquet``
    has ``id``, ``keys`` and ``terms``. :func:`search` ranks the neighbours from the index together
    with these items.

    Args:
        run: The run of the model.
        out: A new folder.

    Returns:
        The files.

    Raises:
        GraphRecError: When the folder exists, usearch is not installed, and for a model whose
            scores are neither inner products nor inner products with a sparse term.
    """
    out = new_folder(out)
    usearch = _usearch()
    products = products_of(run, "export ann")
    items = products.table
    with finished_folder(out) as made:
        index = usearch.Index(ndim=items.shape[1], metric="ip", dtype="f32")
        index.add(np.arange(len(items), dtype=np.uint64), items.numpy())
        index.save(str(made / INDEX))
        products.item_table().write_parquet(made / ITEMS)
        products.user_table().write_parquet(made / QUERIES)
        if products.prior is not None:
            products.term_table().write_parquet(made / TERMS)
        about = {"metric": "ip", "width": items.shape[1], "items": len(items)}
        about |= {"terms": products.prior is not None, "edges": products.edges}
        (made / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    terms = (TERMS,) if products.prior is not None else ()
    return [out / name for name in (INDEX, ITEMS, QUERIES, *terms, ABOUT)]


def search(folder: str | Path, user: str, k: int = 10, *, wide: int = 4) -> list[tuple[str, float]]:
    """Return the best items of a user from an exported index, as (raw id, score).

    The items with a term are scored exactly; the others are the nearest of the index. Items that
    the user has interacted with are not masked.

    Args:
        folder: Of the export.
        user: Raw id.
        k: How many.
        wide: How many times `k` the index is asked for.

    Raises:
        GraphRecError: For an unknown user, and when usearch is not installed.
    """
    folder = Path(folder)
    queries = pl.read_parquet(folder / QUERIES).filter(pl.col("id") == user)
    if not len(queries):
        raise GraphRecError("search", "a user of the index", repr(user))
    query = queries["vector"].to_numpy()[0]
    index = _usearch().Index.restore(str(folder / INDEX))
    found = index.search(query, min(wide * k, len(index)))
    scores = {int(key): float(query @ index.get(int(key))) for key in found.keys}
    if (folder / TERMS).exists():
        row = pl.read_parquet(folder / TERMS).filter(pl.col("id") == user)
        for key, term in zip(row["keys"][0], row["terms"][0], strict=True):
            scores[int(key)] = float(query @ index.get(int(key))) + float(term)
    best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
    raw = pl.read_parquet(folder / ITEMS)["id"]
    return [(str(raw[key]), score) for key, score in best]


def _usearch() -> Any:
    try:
        return import_module("usearch.index")
    except ImportError as error:
        hint = "pip install 'graphrec-pt[ann]'"
        raise GraphRecError("export ann", "the package usearch", "none", hint) from error
