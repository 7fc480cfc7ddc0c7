"""The loss of a choice against its formula, and what the backbone sees."""

import torch

from graphrec_pt.features.seeded import seeded
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.choice import Choice
from graphrec_pt.testing.objectives import Batches
from tests.lists_world import lists_graph


def test_the_loss_is_the_formula() -> None:
    graph = lists_graph()
    nodes = torch.tensor(list(graph.nodes("impression")))
    chosen = Choice(above=4.0, negatives=2, encoded=False, alone=True, temperature=0.5)
    batches = Batches.of(graph, {"name": "impression", "liked": 4.0}, "subgraph", nodes)
    made = chosen.corrupt(batches.examples())
    assert made.views == ()  # only histories of liked items, and no state of the backbone
    model = Model.of(graph, seed=0)
    head = seeded(lambda: chosen.head(model.spec, model.width), 1)
    found = float(chosen.loss([], made, model, head).detach())
    past, item = made.targets["past"], made.targets["item"]
    low, at, terms = 0, 0, []
    for length, size in zip(
        made.targets["past_count"].tolist(), made.targets["count"].tolist(), strict=True
    ):
        user = head(model.nodes(past[low : low + length]), torch.tensor([length]))[0]
        items = model.nodes(item[at : at + size])
        score = (items @ user + head.alone(items).squeeze(1)) / 0.5
        terms += (-score.view(-1, 3).log_softmax(1)[:, 0]).tolist()
        low, at = low + length, at + size
    assert abs(found - sum(terms) / len(terms)) < 1e-6


def test_the_backbone_sees_the_history_alone() -> None:
    graph = lists_graph()
    nodes = torch.tensor(list(graph.nodes("impression")))
    batches = Batches.of(graph, "impression", "subgraph", nodes)
    made = Choice(above=4.0).corrupt(batches.examples())
    (view,) = made.views
    assert bool((view.tokens.slot == 1).all())
    assert torch.equal(view.tokens.lengths(), made.targets["past_count"])
