"""Export of the vectors that rank: encoded users and items with their bias, as Parquet files."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.store import new_folder
from graphrec_pt.models.model import Model
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.scorer import Factorised, WithPrior
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.refit import serving_of

SHARD = 100_000
"""Rows of a file at most."""
ABOUT = "embeddings.json"


def export_embeddings(run: Run, out: str | Path) -> list[Path]:
    """Write the vectors of users and items that rank, and those of other trained nodes.

    ``TYPE-00000.parquet``, …: columns ``id`` (raw) and ``vector`` (float32 ``[D]``), in the order
    of the node ids; items have a ``bias`` where the model has one. Where scores are inner products,
    ``query · vector + bias`` is the score; users are encoded from their history.
    ``embeddings.json`` says the role of each type (``query``, ``item`` or ``input``: what goes into
    the model), and which types are left out because no training changed them.

    Args:
        run: The run of the model; its refitted model where there is one.
        out: A new folder.

    Returns:
        The files.

    Raises:
        GraphRecError: When the folder exists.
    """
    out = new_folder(out)
    served = serving_of(run)
    predictor, graph = served.predictor, served.predictor.graph
    model, relation = predictor.model, predictor.reading.relation
    trained = trained_types(model, graph, run.recipe.seeds[0])
    roles: dict[str, str] = {}
    tables: dict[str, tuple[Tensor, Tensor | None]] = {}
    ranks = predictor.reading.taught.ranks
    products = product_sides(predictor) if ranks else None
    if products is not None:
        queries, items, bias = products
        tables[relation.target], roles[relation.target] = (items, bias), "item"
        if relation.source != relation.target:
            tables[relation.source], roles[relation.source] = (queries, None), "query"
    with torch.no_grad():
        for kind in model.spec.node_names:
            if kind not in tables and kind in trained:
                tables[kind], roles[kind] = (model.table(kind).float().cpu(), None), "input"
    names: list[str] = []
    with finished_folder(out) as made:
        for kind, (vectors, bias) in tables.items():
            for name, table in _shards(graph, kind, vectors, bias):
                table.write_parquet(made / name)
                names.append(name)
        about = {
            "roles": roles,
            "left_out": [kind for kind in model.spec.node_names if kind not in tables],
            "score": "query · vector + bias" if products is not None else "not an inner product",
            "prior": isinstance(predictor.scorer(_none()), WithPrior) if products else False,
            "edges": served.edges,
        }
        (made / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return [out / name for name in (*names, ABOUT)]


def export_vectors(run: Run, out: str | Path) -> list[Path]:
    """Write the input vectors of all trained types as one safetensors file, to teach other models.

    ``vectors.safetensors`` holds ``TYPE`` float32 ``[n, D]`` in the order of ``TYPE.parquet``
    (``id``).

    Args:
        run: The run of the model; its refitted model where there is one.
        out: A new folder.

    Raises:
        GraphRecError: When the folder exists, and for a model of which no node vector was trained.
    """
    out = new_folder(out)
    served = serving_of(run)
    model, graph = served.predictor.model, served.predictor.graph
    kinds = trained_types(model, graph, run.recipe.seeds[0])
    if not kinds:
        raise GraphRecError("export vectors", "trained vectors of nodes", "none")
    with finished_folder(out) as made, torch.no_grad():
        vectors = {kind: model.table(kind).float().cpu().contiguous() for kind in kinds}
        save_file(vectors, made / "vectors.safetensors")
        for kind in kinds:
            graph.tables[kind].select(pl.col(RAW_ID).alias("id")).write_parquet(
                made / f"{kind}.parquet"
            )
    return [out / name for name in ("vectors.safetensors", *(f"{kind}.parquet" for kind in kinds))]


def product_sides(predictor: Predictor) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """Return queries ``[Q, D]``, items ``[V, D]`` and bias; None where scores are no products."""
    owned = predictor.graph.nodes(predictor.reading.relation.source)
    scorer = predictor.scorer(torch.arange(owned.start, owned.stop))
    plain = scorer.plain if isinstance(scorer, WithPrior) else scorer
    if not isinstance(plain, Factorised):
        return None
    bias = None if plain.bias is None else plain.bias.float().cpu()
    return plain.queries.float().cpu(), plain.table.float().cpu(), bias


def trained_types(model: Model, graph: Graph, seed: int) -> list[str]:
    """Return the node types whose vectors differ from those of a new model.

    First weights depend on the seed alone, so a table that no step changed is equal to the bit.

    Args:
        model: Trained.
        graph: Its graph.
        seed: Of its first weights.
    """
    fresh = type(model)(model.config, model.spec, seed).attach_graph(graph).eval()
    with torch.no_grad():
        return [
            kind
            for kind in model.spec.node_names
            if not torch.equal(fresh.table(kind), model.table(kind).to(fresh.table(kind)))
        ]


def _shards(
    graph: Graph, kind: str, vectors: Tensor, bias: Tensor | None
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield names and tables of the files of a node type."""
    raw = graph.tables[kind][RAW_ID]
    for number, low in enumerate(range(0, len(raw), SHARD)):
        part = slice(low, low + SHARD)
        columns = {"id": raw[part], "vector": vectors[part].numpy()}
        schema = {"id": pl.String(), "vector": pl.Array(pl.Float32, vectors.shape[1])}
        table = pl.DataFrame(columns, schema=schema)
        if bias is not None:
            table = table.with_columns(bias=pl.Series(bias[part].numpy(), dtype=pl.Float32))
        yield f"{kind}-{number:05d}.parquet", table


def _none() -> Tensor:
    return torch.empty(0, dtype=torch.int64)
