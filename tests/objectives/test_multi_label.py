"""Many labels at once, against sums over every node written out."""

from math import exp, log

import pytest
import torch

from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.heads import LabelHead
from graphrec_pt.objectives.multi_label import Labels, linked, multi_label_loss


def test_linked_follows_the_relation_once(toy: Graph) -> None:
    found = linked(toy, "made_by", torch.tensor([3, 4, 2, 3]))
    assert found.row.tolist() == [0, 0, 2, 3, 3]
    assert found.label.tolist() == [0, 1, 0, 0, 1]


def test_pairs_come_once() -> None:
    row, label = torch.tensor([1, 0, 1, 1]), torch.tensor([2, 1, 2, 0])
    found = Labels.of(row, label, 3)
    assert (found.row.tolist(), found.label.tolist()) == ([0, 1, 1], [1, 0, 2])


def test_the_loss_is_the_binary_cross_entropy_of_every_node() -> None:
    scores = [[1.5, -0.5, 0.0], [-2.0, 3.0, 1.0]]
    belongs = [[1, 0, 0], [0, 1, 1]]
    total = sum(
        -log(1 / (1 + exp(-s))) if y else -log(1 - 1 / (1 + exp(-s)))
        for row, yes in zip(scores, belongs, strict=True)
        for s, y in zip(row, yes, strict=True)
    )
    labels = Labels(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    given = torch.tensor(scores, dtype=torch.float64)
    assert float(multi_label_loss(given, labels)) == pytest.approx(total / 6)
    assert float(multi_label_loss(given, labels, "sum")) == pytest.approx(total / 2)


def test_no_rows_cost_nothing() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    loss = multi_label_loss(torch.zeros(0, 3, requires_grad=True), Labels(none, none))
    assert loss.item() == 0
    loss.backward()


def test_scores_are_products_of_mapped_vectors() -> None:
    head = seeded(lambda: LabelHead(2), 0).double()
    with torch.no_grad():
        head.map.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
        head.map.bias.copy_(torch.tensor([0.5, 0.0]))
    hidden = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    table = torch.tensor([[1.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    # W h + b = (7.5, -3)
    assert head(hidden, table).tolist() == [[4.5, 15.0]]
