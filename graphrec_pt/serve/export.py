"""Export of the input vectors of a trained model to Parquet files."""

from pathlib import Path

import polars as pl
import torch

from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.store import new_folder
from graphrec_pt.recipe.folder import Run

SHARD = 100_000
"""Rows of a file at most."""


def export_embeddings(run: Run, out: str | Path) -> list[Path]:
    """Write the vectors of all nodes, as they go into the model, to Parquet files.

    ``TYPE-00000.parquet``, …: columns ``id`` (raw) and ``vector`` (float32 ``[D]``), in the order
    of the node ids.

    Args:
        run: The run of the model.
        out: A new folder.

    Returns:
        The files.

    Raises:
        GraphRecError: When the folder exists.
    """
    out = new_folder(out)
    model, names = run.model(), []
    assert model.vocabulary is not None
    with finished_folder(out) as made, torch.no_grad():
        for node_type in model.spec.node_names:
            raw = model.vocabulary.nodes.filter(type=node_type)[RAW_ID]
            vectors = model.table(node_type).float().numpy()
            for number, low in enumerate(range(0, len(raw), SHARD)):
                part = slice(low, low + SHARD)
                table = pl.DataFrame(
                    {"id": raw[part], "vector": vectors[part]},
                    schema={"id": pl.String, "vector": pl.Array(pl.Float32, model.width)},
                )
                names.append(f"{node_type}-{number:05d}.parquet")
                table.write_parquet(made / names[-1])
    return [out / name for name in names]
