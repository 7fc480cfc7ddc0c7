"""Categories: vectors are summed, and matched by name."""

import torch


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
