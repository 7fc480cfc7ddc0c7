"""Numbers: standardised once, or softly binned."""

import torch


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
