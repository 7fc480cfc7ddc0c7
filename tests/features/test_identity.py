"""An id is a row of a table."""

import polars as pl
import torch

from graphrec_pt.features.node_features import Features
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec

ITEMS = torch.tensor([3, 4, 5, 6])  # after three users


TWO = {"item": ["id", "static_text"]}


def built(graph, seed=0, width=4, **options):
    features = Features(**options)
    made = seeded(lambda: features.build(GraphSpec.of(graph), width), seed)
    made.attach_graph(graph)
    return made.eval()


def parts(made, node_type="item"):
    composed = made.of_type[f"of_{node_type}"]
    rows = torch.arange(made.counts[made.names.index(node_type)])
    return composed, [part(rows, None) for part in composed.parts]


def test_an_id_is_a_row_of_a_table(graph):
    made = built(graph)
    users, items = (made.of_type[f"of_{n}"].parts[0].table.weight for n in ("user", "item"))
    found = made(torch.tensor([4, 0, 2, 6, 4]))
    assert torch.equal(found, torch.stack([items[1], users[0], users[2], items[3], items[1]]))
    found[0].sum().backward()
    assert items.grad.any(1).tolist() == [False, True, False, False]
    names = made.of_type["of_item"].parts[0].row_names(pl.Series(["a", "b"]))
    assert names["table.weight"].to_list() == ["a", "b"]
