"""Predicted values by raw ids."""

import polars as pl
from torch import Tensor

from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.split import Split, When


def predicted_table(
    split: Split, when: When, source: Tensor, target: Tensor, value: Tensor, predicted: Tensor
) -> pl.DataFrame:
    """Return one row per pair, as :class:`~graphrec_pt.evaluation.predicted.Predicted` has them.

    Args:
        split: Whose graph names the nodes.
        when: Name of the part.
        source: int64 ``[n]`` global ids.
        target: int64 ``[n]`` global ids.
        value: Floats ``[n]``, what is true.
        predicted: Floats ``[n]``.
    """
    relation = split.graph.schema.relation(split.relation)

    def raw(kind: str, nodes: Tensor) -> pl.Series:
        rows = (nodes - split.graph.nodes(kind).start).numpy()
        return split.graph.tables[kind][RAW_ID].gather(rows)

    return pl.DataFrame(
        {
            "split": pl.Series([when]).new_from_index(0, len(source)),
            "user": raw(relation.source, source),
            "item": raw(relation.target, target),
            "value": value.double().numpy(),
            "predicted": predicted.double().numpy(),
        }
    )
