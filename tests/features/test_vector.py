"""Precomputed vectors and their projections."""

import dataclasses

import polars as pl
import pytest
import torch
from torch.nn.functional import normalize

from graphrec_pt.core.errors import GraphRecError


@pytest.mark.parametrize("map_", ["linear", "mlp", "whitening", "experts"])
def test_vectors_are_mapped_and_gaps_are_learned(graph, made, map_):
    feature = made(graph, {"name": "vector", "map": map_, "unit": True})
    given = torch.tensor([[0.6, 0.8], [0.0, 1.0], [1.0, 0.0]])
    torch.testing.assert_close(feature(0, 1, 3), feature.feature.map(given))
    torch.testing.assert_close(feature(2), feature.feature.missing.weight)
    plain = made(graph, {"name": "vector", "map": map_})
    torch.testing.assert_close(plain(0), plain.feature.map(torch.tensor([[3.0, 4.0]])))
    assert torch.equal(normalize(torch.tensor([[3.0, 4.0]])), given[:1])


def test_whitening_and_experts_by_hand(graph, made):
    white = made(graph, {"name": "vector", "map": "whitening"}).feature.map
    with torch.no_grad():
        white.center.copy_(torch.tensor([1.0, 2.0]))
    x = torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(white(x), torch.tensor([[2.0, 2.0]]) @ white.map.weight.T)
    mixed = made(graph, {"name": "vector", "map": "experts"}).feature.map
    share = (x @ mixed.gate.weight.T).softmax(1)[0]
    expected = sum(g * expert(x) for g, expert in zip(share, mixed.experts, strict=True))
    torch.testing.assert_close(mixed(x), expected)
    torch.testing.assert_close(share.sum(), torch.tensor(1.0))
    mixed.train()
    assert not torch.equal(mixed(x), mixed(x))  # noise in the gates


def test_vectors_of_another_length_are_refused(graph, made):
    feature = made(graph, "vector")
    table = graph.tables["item"].with_columns(
        pl.Series("look", [[1.0, 2.0, 3.0]] * 4, dtype=pl.Array(pl.Float32, 3))
    )
    changed = dataclasses.replace(graph, tables={**graph.tables, "item": table})
    with pytest.raises(GraphRecError, match=r"vectors of length 2 in 'look', got 3"):
        feature.feature.attach_graph(changed)
    without = dataclasses.replace(graph, tables={**graph.tables, "item": table.drop("look")})
    with pytest.raises(GraphRecError, match="a column of 'item', got 'look'"):
        feature.feature.attach_graph(without)
