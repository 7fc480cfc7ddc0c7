"""Trained models as scorers: what is asked at inference is what was taught."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphrec_pt import Graph, GraphRecError, Key, Model, Split, Stage, Trainer, split
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.evaluation.model_scorer import model_scorer, ranking_term
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.models.view import View
from graphrec_pt.objectives.draws import Draws
from graphrec_pt.objectives.objective import Examples
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.training.stage import Term

WINDOW = 8


@pytest.fixture(scope="module")
def shop() -> Split:
    return split(synthetic_graph(40, 30, 400, key=Key(5)))


def trained(shop: Split, objective: Any, mode: str = "bidirectional") -> tuple[Model, Stage]:
    stage = Stage(
        sampler={"name": "history", "window": WINDOW},
        linearizer="history",
        objectives=[objective],
        batch=20,
        steps=3,
        optimization={"lr": 1e-2},
    )
    sizes = {"width": 16, "layers": 1, "structure": {"position": WINDOW}, "mode": mode}
    model = Model.of(shop.train, backbone={"name": "graph_transformer", **sizes})
    Trainer(cpu=True).fit(model, shop.train, stage)
    return model, stage


def examples(graph: Graph, stage: Stage, nodes: Tensor) -> Examples:
    sample = stage.sampler.sample(graph, nodes, Key(0))
    tokens = stage.linearizer.linearize(graph, sample, Key(0))
    owner = torch.arange(len(nodes))
    draws = Draws.of(Key(0), owner, owner)
    return Examples(graph, tokens, owner, nodes, draws, lambda *_: (tokens, owner))


PERMUTED = {"name": "permuted", "masking": {"last": 1.0, "everywhere": False, "spare": 1}}
GAPS = {"name": "gap_filling", "masking": {"last": 1.0, "everywhere": False, "spare": 1}}
ASKED = ["next_item", {"name": "masked_item", "last": 1.0}, PERMUTED, GAPS]


@pytest.mark.parametrize("objective", ASKED)
def test_what_is_asked_is_what_was_taught(shop: Split, objective: Any) -> None:
    """The scores of a last event that is hidden are those of the training loss, seen from here."""
    model, stage = trained(shop, objective)
    later, users = shop.graph, torch.tensor(list(shop.graph.nodes("user")))
    chosen = stage.objectives[0].objective
    if hasattr(chosen, "only_last"):
        chosen = type(chosen)(only_last=True)
    corrupted = chosen.corrupt(examples(later, stage, users))
    with torch.no_grad():
        encoded = model.encode(corrupted.views[0])
        states = encoded.hidden if encoded.query is None else encoded.query
        hidden = states[corrupted.targets["token"]]
    # The same histories without their last event, which is the test item of a leave-one-out split.
    scorer = model_scorer(model, stage, shop.history("test"), "rates", users)
    head = chosen.head(model.outline, model.width)
    (kept,) = model.heads.values()
    head.load_state_dict(kept.state_dict())
    with torch.no_grad():
        expected = head.transform(hidden) @ model.table("item").T
    row = torch.searchsorted(users, shop.test.source)
    full = later.degree("rates")[row] > WINDOW  # a full window drops its oldest event as well
    found = scorer.scores(shop.test.source)
    if stage.objectives[0].label != "next_item":
        assert torch.allclose(found, expected[row], atol=1e-5)
    else:  # the training view of a full window is one event shorter
        assert torch.allclose(found[~full], expected[row][~full], atol=1e-5)
        assert bool((~full).any())
    assert torch.equal(corrupted.targets["node"][row], shop.test.target)


def test_replaced_tokens_are_ranked_by_their_generator(shop: Split) -> None:
    model, stage = trained(shop, {"name": "replaced_token", "source": "model", "share": 0.4})
    users = torch.tensor(list(shop.graph.nodes("user")))
    found = model_scorer(model, stage, shop.history("test"), "rates", users).scores(users)
    model.put_head("masked_item", model.heads["of_replaced_token"]["generator"])
    same = stage.model_copy(update={"objectives": (Term.checked("masked_item", "term"),)})
    cloze = model_scorer(model, same, shop.history("test"), "rates", users).scores(users)
    assert torch.equal(found, cloze)
    drawn = stage.model_copy(update={"objectives": (Term.checked("replaced_token", "term"),)})
    assert ranking_term(drawn) is None  # nobody tells which node it was


def test_two_towers_are_inner_products_of_vectors(shop: Split) -> None:
    model, stage = trained(shop, {"name": "pairwise", "pairs": {"user": "vector"}})
    users = torch.tensor(list(shop.graph.nodes("user")))
    scorer = model_scorer(model, stage, shop.history("test"), "rates", users)
    with torch.no_grad():
        expected = model.table("user") @ model.table("item").T
    assert torch.allclose(scorer.scores(users), expected, atol=1e-6)


def test_contrast_is_ranked_by_cosine(shop: Split) -> None:
    model, stage = trained(shop, {"name": "sequence_item", "temperature": 0.5})
    users = torch.tensor(list(shop.graph.nodes("user")))
    scores = model_scorer(model, stage, shop.history("test"), "rates", users).scores(users)
    assert float(scores.abs().max()) <= 2 + 1e-5  # cosines over a temperature of a half


def test_the_test_item_does_not_matter(shop: Split) -> None:
    """The same model asked on train + valid edges alone, whatever the whole graph holds."""
    model, stage = trained(shop, "next_item")
    users = shop.valid.source.unique()
    valid = model_scorer(model, stage, shop.history("valid"), "rates", users)
    train = model_scorer(model, stage, shop.train, "rates", users)
    assert torch.equal(valid.queries, train.queries)
    test = model_scorer(model, stage, shop.history("test"), "rates", users)
    assert not torch.equal(valid.queries, test.queries)
    assert len(rank_targets(test, shop, "test")) == len(shop.test)


def test_what_cannot_rank_says_so(shop: Split) -> None:
    model, stage = trained(shop, "next_item")
    users = torch.tensor([0])
    other = Stage(sampler="k_hop", linearizer="subgraph", objectives=["masked_edge"])
    assert ranking_term(other) is None
    with pytest.raises(GraphRecError, match="an objective that ranks, got masked_edge"):
        model_scorer(model, other, shop.train, "rates", users)
    model.heads = nn.ModuleDict()
    with pytest.raises(GraphRecError, match="the trained head of 'next_item'"):
        model_scorer(model, stage, shop.train, "rates", users)


def test_a_prompt_is_read_at_its_mask(shop: Split) -> None:
    """A template asks for itself: no further mask is put, and the state of its own is compared."""
    pattern = "(user)-[rates]->(MASK:item)"
    prompt = {"name": "template", "pattern": pattern, "context": {"name": "history"}}
    stage = Stage(
        sampler={"name": "history", "window": WINDOW, "before": "exclude"},
        linearizer=prompt,
        roots="rates",
        objectives=[{"name": "answer", "candidates": {"transform": False}}],
        batch=20,
        steps=2,
    )
    sizes = {"width": 16, "layers": 1, "structure": {"position": 16, "kind": None}}
    model = Model.of(shop.train, backbone={"name": "graph_transformer", **sizes})
    Trainer(cpu=True).fit(model, shop.train, stage)
    shown, users = shop.history("test"), torch.tensor([0, 3, 7])
    found = model_scorer(model, stage, shown, "rates", users).scores(users)
    tokens = stage.linearizer.linearize(shown, stage.sampler.sample(shown, users, Key(0)), Key(0))
    with torch.no_grad():
        states = model.encode(View(tokens)).hidden[tokens.ptr[1:] - 1]  # the mask stands last
        expected = states @ model.table("item").T
    assert torch.allclose(found, expected, atol=1e-5)
    other = stage.model_copy(update={"linearizer": linearizer.build("history")})
    with pytest.raises(GraphRecError, match="a mask of the candidates' type, got 3 of 3"):
        model_scorer(model, other, shown, "rates", users)


@pytest.mark.parametrize("cosine", [False, True])
def test_codes_are_compared_with_vectors_as_in_training(shop: Split, cosine: bool) -> None:
    """A user's code of the whole neighbourhood against an item, over the temperature."""
    chosen = {"name": "neighbor_coding", "negatives": 8, "temperature": 0.5, "cosine": cosine}
    stage = Stage(
        sampler={"name": "k_hop", "fanout": [4, 2]},
        linearizer="subgraph",
        objectives=[chosen],
        batch=20,
        steps=3,
        optimization={"lr": 1e-2},
    )
    backbone = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": {"hop": 4}}
    model = Model.of(shop.train, backbone=backbone)
    Trainer(cpu=True).fit(model, shop.train, stage)
    history, users = shop.history("test"), shop.test.source[:5].unique()
    given = model_scorer(model, stage, history, "rates", users).scores(users)
    tokens = examples(history, stage, users).tokens
    mean = model.heads["of_neighbor_coding"].mean
    weight, bias = mean.weight, mean.bias
    with torch.no_grad():
        states = model.encode(View(tokens)).hidden[tokens.ptr[:-1]]  # the root comes first
        code, table = states @ weight.T + bias, model.table("item")
        if cosine:
            code, table = (side / side.norm(dim=1, keepdim=True) for side in (code, table))
    assert torch.allclose(given, code @ table.T / 0.5, atol=1e-5)
