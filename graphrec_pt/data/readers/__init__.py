"""Readers of single raw formats; importing this registers them."""

from graphrec_pt.data.readers import (
    category_paths,
    json_maps,
    line_lists,
    loose_json_lines,
    matrix,
    mind,
    nested_lists,
    opendialkg,
    polyvore,
    python_calls,
    recbole,
    redial,
    simplices,
)

__all__ = [
    "category_paths",
    "json_maps",
    "line_lists",
    "loose_json_lines",
    "matrix",
    "mind",
    "nested_lists",
    "opendialkg",
    "polyvore",
    "python_calls",
    "recbole",
    "redial",
    "simplices",
]
