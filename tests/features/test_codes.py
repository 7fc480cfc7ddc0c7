"""Codes by product quantisation: by hand, against what a search would find, and kept."""

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.codes import (
    Quantizer,
    codes_of,
    decoded,
    made_up_nodes,
    product_quantizer,
)
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.features.node_features import Features
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec

LOOKS = {"name": "codes", "of": "vector", "digits": 2, "values": 3, "rotations": 0}


def test_parts_that_are_alike_have_the_same_digit():
    near, far = [0.0, 0.1], [5.0, 5.0]
    vectors = np.array([near + far, far + far, near + near, near + far], np.float32)
    found = product_quantizer(vectors, digits=2, values=2)
    codes = codes_of(vectors, found)
    assert codes.shape == (4, 2)
    assert codes[0, 0] == codes[2, 0] == codes[3, 0] != codes[1, 0]
    assert codes[0, 1] == codes[1, 1] == codes[3, 1] != codes[2, 1]
    np.testing.assert_allclose(decoded(codes, found), vectors)  # two values of two: nothing is lost


def test_the_nearest_centroid_of_every_part():
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(200, 6)).astype(np.float32)
    found = product_quantizer(vectors, digits=3, values=8, rotations=2, seed=4)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(6), atol=1e-5)
    turned = (vectors @ found.rotation).reshape(200, 3, 1, 2)
    distance = ((turned - found.centroids) ** 2).sum(3)  # [n, S, K]
    np.testing.assert_array_equal(codes_of(vectors, found), distance.argmin(2))
    again = product_quantizer(vectors, digits=3, values=8, rotations=2, seed=4)
    np.testing.assert_array_equal(again.centroids, found.centroids)


def test_centroids_are_means_and_turning_loses_less():
    """What varies stands in one part alone; turned, each of two parts has its share of it."""
    draw = np.random.default_rng(1)
    vectors = (draw.normal(size=(600, 4)) * [1, 1, 0.01, 0.01]).astype(np.float32)
    one = product_quantizer(vectors, digits=2, values=1)
    np.testing.assert_allclose(one.centroids.reshape(-1), vectors.mean(0), atol=1e-4)

    def lost(found: Quantizer) -> float:
        back = decoded(codes_of(vectors, found), found) @ found.rotation.T
        return float(((vectors - back) ** 2).sum(1).mean())

    plain, turned = (product_quantizer(vectors, 2, 4, rotations=n) for n in (0, 3))
    # Four values for two normal numbers cost .36 each, four for one .12 (Max, 1960).
    assert lost(plain) == pytest.approx(2 * 0.3634, rel=0.15)
    assert lost(turned) == pytest.approx(2 * 0.1175, rel=0.2)


def test_a_node_is_the_mean_of_its_digits(graph, made):
    feature = made(graph, LOOKS)
    codes, table = feature.feature.codes, feature.feature.table.weight
    assert codes.shape == (4, 2)  # 3 and 4, 0 and 1, none, 1 and 0
    assert len({tuple(row) for row in codes[[0, 1, 3]].tolist()}) == 3
    first, second = codes[0].tolist()
    torch.testing.assert_close(feature(0)[0], (table[first] + table[3 + second]) / 2)
    assert not feature.feature.source.map.weight.requires_grad


def test_codes_mean_the_same_on_later_graphs(graph, other_graph, made):
    feature = made(graph, LOOKS)
    one_zero, zero_one = feature(3), feature(1)
    feature.feature.attach_graph(other_graph)  # whose looks are 1, 0 and 0, 2
    torch.testing.assert_close(feature(0), one_zero)
    loaded = made(other_graph, LOOKS, seed=9)
    loaded.feature.load_state_dict(feature.feature.state_dict())
    loaded.feature.attach_graph(graph)
    torch.testing.assert_close(loaded(3), one_zero)
    torch.testing.assert_close(loaded(1), zero_one)


def test_of_words_that_never_train(graph, made):
    words = {"name": "codes", "of": {"name": "static_text", "columns": ["title"]}, "digits": 2}
    feature = made(graph, {**words, "values": 4}).feature
    assert not feature.source.table.weight.requires_grad
    assert feature.table.weight.requires_grad
    assert featurizer.config(feature.config)["of"] == {
        "name": "static_text",
        "columns": ["title"],
        "tokenizer": None,
        "buckets": 2**15,
    }


def test_made_up_nodes(graph):
    spec = GraphSpec.of(graph)
    wide = {**LOOKS, "of": {"name": "static_text", "columns": ["title"]}, "values": 4}
    features = seeded(lambda: Features(by_type={"item": [wide]}).build(spec, 64), 0)
    features.attach_graph(graph)
    items = torch.tensor(list(graph.nodes("item"))).repeat(500)
    bits = torch.arange(len(items)) * 7919
    plain = features(items)
    assert torch.equal(made_up_nodes(features, "item", items, bits, 0.0), plain)
    found = made_up_nodes(features, "item", items, bits, 0.5)
    # A digit stays with .5, or is drawn as it was with .5 / 4: both of two in .625 ** 2.
    same = (found == plain).all(1).double().mean().item()
    assert same == pytest.approx(0.625**2, abs=0.05)
    alone = made_up_nodes(features, "item", items[5:6], bits[5:6], 0.5)
    torch.testing.assert_close(alone, found[5:6])
    assert made_up_nodes(features, "item", items[:0], bits[:0], 0.5).shape == (0, 64)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({**LOOKS, "digits": 3}, "digits that divide 2"),
        ({**LOOKS, "of": "nothing"}, "nothing"),
        ({**LOOKS, "of": {"name": "text", "encoder": "x", "train": "all"}}, "a frozen encoder"),
    ],
)
def test_mistakes_are_named(graph, config, said):
    with pytest.raises(GraphRecError, match=said):
        featurizer.build(config).build(GraphSpec.of(graph), "item", 4)


def test_only_codes_can_be_made_up(graph):
    spec = GraphSpec.of(graph)
    features = seeded(lambda: Features(by_type={"item": ["id"]}).build(spec, 4), 0)
    items = torch.tensor(list(graph.nodes("item")))
    with pytest.raises(GraphRecError, match="codes as the only feature of item"):
        made_up_nodes(features, "item", items, items, 0.5)
