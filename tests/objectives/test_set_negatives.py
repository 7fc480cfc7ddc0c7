"""Wrong candidates of the same category, against the edges themselves."""

import pytest
import torch

from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.objectives.set_negatives import category_negatives


@pytest.fixture(scope="module")
def graph() -> Graph:
    return synthetic_graph(30, 24, 300, clusters=3, key=Key(4))


def test_negatives_of_the_category(graph: Graph) -> None:
    relation = graph.schema.relation("rates")
    edges, category = graph.edges("rates"), graph.edges("has_category")
    of = dict(zip(category.source.tolist(), category.target.tolist(), strict=True))
    source, positive = edges.source[:40], edges.target[:40]
    draws = SequenceRNG.of(Key(2), torch.arange(40), torch.arange(40))
    drawn = category_negatives(graph, relation, source, "has_category", positive, draws, 6)
    true = set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    same, possible = 0, 0
    for user, item, row in zip(source.tolist(), positive.tolist(), drawn.tolist(), strict=True):
        assert all((user, each) not in true and each != item for each in row)
        fitting = {n for n in of if of[n] == of[item] and (user, n) not in true}
        if fitting:
            possible += len(row)
            same += sum(each in fitting for each in row)
    assert possible >= 60
    assert same / possible > 0.7
    few = draws.select(torch.tensor([3, 7]))
    rows = torch.tensor([3, 7])
    again = category_negatives(
        graph, relation, source[rows], "has_category", positive[rows], few, 6
    )
    assert torch.equal(again, drawn[rows])
