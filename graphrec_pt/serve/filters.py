"""Filters of the catalogue, such as ``genre=Comedy`` or ``price<20``."""

import operator
import re
from collections.abc import Callable, Sequence

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.kernels.torch.segments import ranges

PATTERN = re.compile(r"\s*([^=<>!]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*")
NUMBERS: dict[str, Callable[[pl.Series, float], pl.Series]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def allowed(graph: Graph, item_type: str, only: Sequence[str], exclude: Sequence[str]) -> Tensor:
    """Return which items pass all filters: bool ``[V]``.

    ``NAME=VALUE`` and ``NAME!=VALUE`` compare a column of the items, or the nodes of a type or a
    relation that items are linked to, by raw id or title; ``VALUE|VALUE`` allows several. In a tree
    of categories a value stands for all below it. ``NAME<NUMBER``, ``<=``, ``>`` and ``>=`` compare
    a column of numbers.

    Args:
        graph: The graph of the items.
        item_type: Node type of the items.
        only: Filters; an item must pass all of them.
        exclude: Raw ids of items that nobody gets; unknown ones are ignored.

    Raises:
        GraphRecError: For filters that name nothing in the graph, all of them at once.
    """
    items = graph.nodes(item_type)
    mask = torch.ones(len(items), dtype=torch.bool)
    errors: list[GraphRecError] = []
    for text in only:
        try:
            mask &= _passing(graph, item_type, text)
        except GraphRecError as error:
            errors.append(error)
    raise_all(errors)
    if exclude:
        known = graph.node_ids(item_type, exclude)
        mask[known[known >= 0] - items.start] = False
    if not bool(mask.any()):
        got = "none: " + " and ".join([*only, *(["the exclusions"] if exclude else [])])
        raise GraphRecError("--only", "filters that some item passes", got)
    return mask


def _passing(graph: Graph, item_type: str, text: str) -> Tensor:
    matched = PATTERN.fullmatch(text)
    if matched is None:
        raise GraphRecError("--only", "NAME=VALUE", repr(text), "genre=Comedy, or price<20")
    name, sign, value = matched.groups()
    table = graph.tables[item_type]
    if name in table.columns:
        return _column(table[name], name, sign, value)
    ways = [way for way in graph.schema.leaving(item_type) if name in (way.name, way.target)]
    if not ways:
        known = [column for column in table.columns if column != RAW_ID]
        known += [way.target for way in graph.schema.leaving(item_type) if not way.backward]
        hint = did_you_mean(name, known)
        expected = "a column of the items or a type that they are linked to"
        raise GraphRecError(f"--only {text}", expected, repr(name), hint)
    if sign not in ("=", "!="):
        raise GraphRecError(f"--only {text}", f"= or != for nodes of {name!r}", sign)
    mask = torch.zeros(len(table), dtype=torch.bool)
    for way in ways:
        mask |= _linked(graph, way.name, way.target, value.split("|"), text)
    return mask if sign == "=" else ~mask


def _column(column: pl.Series, name: str, sign: str, value: str) -> Tensor:
    if sign in NUMBERS:
        numbers = column.cast(pl.Float64, strict=False)
        try:
            limit = float(value)
        except ValueError:
            got = f"{name}{sign}{value}"
            raise GraphRecError("--only", f"a number after {sign}", got) from None
        passed = NUMBERS[sign](numbers, limit)
    else:
        wanted = [part.strip() for part in value.split("|")]
        passed = column.cast(pl.String).is_in(wanted)
        if column.dtype.is_numeric():
            values = [float(part) for part in wanted if re.fullmatch(r"-?\d+(\.\d+)?", part)]
            passed = column.cast(pl.Float64).is_in(values)
    passed = passed.fill_null(False)
    return torch.from_numpy((passed if sign != "!=" else ~passed).to_numpy().copy())


def _linked(graph: Graph, relation: str, target: str, values: Sequence[str], text: str) -> Tensor:
    """Return which items have a link to one of some nodes, or to nodes below them."""
    owned, wanted = graph.nodes(target), torch.zeros(graph.num_nodes(target), dtype=torch.bool)
    for value in values:
        found = _named(graph, target, value.strip())
        if not found:
            hint = did_you_mean(value, graph.tables[target][RAW_ID].head(2000).to_list())
            raise GraphRecError(f"--only {text}", f"a {target}", repr(value), hint)
        wanted[found] = True
    above = [
        way.name
        for way in graph.schema.leaving(target)
        if way.target == target and not way.backward
    ]
    for name in above:  # a value of a tree stands for all below it
        edges, before = graph.edges(name), -1
        source, parent = edges.source - owned.start, edges.target - owned.start
        while before != (before := int(wanted.sum())):
            wanted[source[wanted[parent]]] = True
    low, high = graph.segments(relation)
    position, row = ranges(low, high - low)
    reached = wanted[graph.csr.indices[position].long() - owned.start]
    mask = torch.zeros(len(low), dtype=torch.bool)
    mask[row[reached]] = True
    return mask


def _named(graph: Graph, kind: str, value: str) -> list[int]:
    """Return the places of nodes with a raw id or a title."""
    table = graph.tables[kind]
    title = graph.schema.node(kind).title
    match = table[RAW_ID] == value
    if not match.any() and title is not None and title in table.columns:
        match = table[title].cast(pl.String) == value
    return [int(place) for place in match.fill_null(False).arg_true()]
