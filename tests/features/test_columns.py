"""Features read off columns, against values worked out by hand."""

import dataclasses

import polars as pl
import pytest
import torch
from torch.nn.functional import normalize

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


def test_categories_are_summed_and_columns_kept_apart(graph, made):
    feature = made(graph, "categorical")
    table = feature.feature.table.weight
    # blue 1, red 2; acme 3, red 4, zeta 5: the two reds are two rows.
    torch.testing.assert_close(feature(0)[0], table[2] + table[3])
    torch.testing.assert_close(feature(2)[0], table[5])
    torch.testing.assert_close(feature(3)[0], table[2] + table[4])
    only = made(graph, {"name": "categorical", "columns": ["color"]})
    assert not only(2).any()
    assert len(only.feature.table.weight) == 3


def test_categories_of_another_graph_are_matched_by_name(graph, other_graph, made):
    feature = made(graph, "categorical")
    red, zeta = feature.feature.table.weight[2], feature.feature.table.weight[5]
    feature.feature.attach_graph(other_graph)  # its codes: green 0, red 1; zeta 0
    torch.testing.assert_close(feature(0, 1), torch.stack([zeta, red]))


def test_numbers_are_standardised_on_what_is_there(graph, made):
    feature = made(graph, {"name": "number", "columns": ["price"]})
    weight, bias = feature.feature.map.weight[:, 0], feature.feature.map.bias
    lost = feature.feature.missing.weight[:, 0]
    # 1, 3, 8: mean 4, variance (9 + 1 + 16) / 3
    spread = (26 / 3) ** 0.5
    expected = [-3 / spread * weight, -1 / spread * weight, lost, 4 / spread * weight]
    torch.testing.assert_close(feature(0, 1, 2, 3), torch.stack(expected) + bias)


def test_the_scale_is_learnt_once_and_saved(graph, other_graph, made):
    config = {"name": "number", "columns": ["price"]}
    feature = made(graph, config)
    three = feature(1)
    feature.feature.attach_graph(other_graph)  # where 3.0 is the first price
    torch.testing.assert_close(feature(0), three)
    loaded = made(other_graph, config, seed=5)  # has the scale of the other graph
    assert not torch.allclose(loaded(0), three)
    loaded.feature.load_state_dict(feature.feature.state_dict())
    torch.testing.assert_close(loaded(0), three)
    loaded.feature.attach_graph(graph)
    torch.testing.assert_close(loaded(1), three)


def test_a_constant_column_says_nothing(graph, made):
    feature = made(graph, {"name": "number", "columns": ["stars"]})
    torch.testing.assert_close(feature(0), feature(3))
    assert feature(0).isfinite().all()


def test_soft_one_hot_by_hand(graph, made):
    feature = made(graph, {"name": "number", "bins": 3})
    parts = feature.feature.map
    z = torch.tensor([4 / (26 / 3) ** 0.5, 0.0])  # of the price 8, and of stars, all equal
    expected = torch.zeros(4)
    for column in range(2):
        logits = z[column] * parts.slope[column] + parts.offset[column]
        share = logits.exp() / logits.exp().sum()
        for one, row in zip(share, parts.table[column], strict=True):
            expected = expected + one * row
    torch.testing.assert_close(feature(3)[0], expected)


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


def test_text_is_the_mean_of_its_words(graph, made):
    feature = made(graph, {"name": "static_text", "columns": ["title"], "buckets": 5000})
    words, table = feature.feature.words, feature.feature.table.weight
    assert words.encode("A Pen, a pen!") == words.encode("a pen a PEN")
    a, red, pen = (table[words.encode(word)[0]] for word in ("a", "red", "pen"))
    torch.testing.assert_close(feature(0)[0], (a + red + pen) / 3)
    torch.testing.assert_close(feature(1)[0], (a + pen) / 2)
    assert not feature(2).any()


def test_text_of_several_columns_is_one_bag(graph, made):
    config = {"name": "static_text", "columns": ["note", "color", "title"], "buckets": 5000}
    feature = made(graph, config)
    words, table = feature.feature.words, feature.feature.table.weight
    for node, text in ((0, "new red a red pen"), (1, "blue a pen"), (2, "old pen")):
        rows = table[torch.tensor(words.encode(text))]
        torch.testing.assert_close(feature(node)[0], rows.mean(0))


def test_a_tokenizer_of_ones_own(graph, made):
    class Letters:
        def encode(self, text):
            return [ord(letter) % 7 for letter in text]

        def __len__(self):
            return 7

    feature = made(graph, {"name": "static_text", "columns": ["note"], "tokenizer": Letters()})
    rows = feature.feature.table.weight[torch.tensor([ord(c) % 7 for c in "new"])]
    torch.testing.assert_close(feature(0)[0], rows.mean(0))


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
