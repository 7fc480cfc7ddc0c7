"""Features read off columns, against values worked out by hand."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.graph.spec import GraphSpec

CODES = {"name": "codes", "of": "vector", "digits": 2, "values": 3, "rotations": 1}
COLUMNS = ["categorical", "number", {"name": "number", "bins": 3}, "vector", "static_text", CODES]


@pytest.mark.parametrize("config", COLUMNS, ids=str)
def test_one_at_a_time_and_in_any_order_gives_the_same(graph, made, config):
    feature = made(graph, config)
    together = feature(3, 0, 2, 1, 0)
    assert together.shape == (5, 4)
    alone = torch.cat([feature(n) for n in (3, 0, 2, 1, 0)])
    torch.testing.assert_close(together, alone)
    assert feature().shape == (0, 4)
    together.sum().backward()
    trained = [p for p in feature.feature.parameters() if p.grad is not None and p.grad.any()]
    assert trained


@pytest.mark.parametrize("config", COLUMNS, ids=str)
def test_weights_depend_on_the_seed_and_serve_another_graph(graph, other_graph, made, config):
    one, same, other = (made(graph, config, seed=seed) for seed in (1, 1, 2))
    weights = one.feature.state_dict()
    assert all(torch.equal(weights[n], same.feature.state_dict()[n]) for n in weights)
    assert not torch.equal(one(0, 1), other(0, 1))
    shapes = {name: value.shape for name, value in weights.items()}
    one.feature.attach_graph(other_graph)
    assert {n: v.shape for n, v in one.feature.state_dict().items()} == shapes
    assert one(0, 1).isfinite().all()


@pytest.mark.parametrize("config", COLUMNS, ids=str)
def test_config_survives_json(config):
    built = featurizer.build(config)
    assert featurizer.build(featurizer.config(built)) == built


@pytest.mark.parametrize("config", COLUMNS, ids=str)
def test_in_double_precision_before_and_after_binding(graph, made, config):
    feature = made(graph, config)
    single = feature(0, 1, 2, 3)
    feature.feature.double()
    for _ in range(2):
        assert feature(0).dtype == torch.float64
        torch.testing.assert_close(feature(0, 1, 2, 3).float(), single)
        feature.feature.attach_graph(graph)


@pytest.mark.parametrize(
    ("config", "node_type", "said"),
    [
        ("categorical", "user", "a category column on 'user', got none"),
        ({"name": "categorical", "columns": ["colour"]}, "item", "did you mean 'color'"),
        ({"name": "number", "columns": ["title"]}, "item", "'title' of kind text"),
        ("vector", "user", "a vector column on 'user'"),
        ({"name": "static_text", "columns": ["price"]}, "item", "'price' of kind number"),
        ({"name": "static_text", "tokenizer": 3}, "item", "a tokenizer with encode"),
    ],
)
def test_mistakes_are_named(graph, config, node_type, said):
    with pytest.raises(GraphRecError, match=said):
        featurizer.build(config).build(GraphSpec.of(graph), node_type, 4)
