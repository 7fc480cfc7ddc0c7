"""Trained models as scorers: what is asked at inference is what was taught."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphrec_pt import Graph, GraphRecError, Key, Model, Split, Stage, Trainer, split
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.next_item import NextItem
from graphrec_pt.objectives.objective import Examples, objective
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.scorer import Factorised, Scorer
from graphrec_pt.predict.taught import Taught
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.stage import LossTerm

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


def scorer_of(model: Model, stage: Stage, history: Graph, relation: str, users: Tensor) -> Scorer:
    return Predictor(model, history, stage=stage, relation=relation).scorer(users)


def examples(graph: Graph, stage: Stage, nodes: Tensor) -> Examples:
    sample = stage.sampler.sample(graph, nodes, Key(0))
    tokens = stage.linearizer.linearize(graph, sample, Key(0))
    owner = torch.arange(len(nodes))
    draws = SequenceRNG.of(Key(0), owner, owner)
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
    scorer = scorer_of(model, stage, shop.history("test"), "rates", users)
    head = chosen.head(model.spec, model.width)
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
    found = scorer_of(model, stage, shop.history("test"), "rates", users).scores(users)
    model.put_head("masked_item", model.heads["of_replaced_token"]["generator"])
    same = stage.model_copy(update={"objectives": (LossTerm.checked("masked_item", "term"),)})
    cloze = scorer_of(model, same, shop.history("test"), "rates", users).scores(users)
    assert torch.equal(found, cloze)
    drawn = stage.model_copy(update={"objectives": (LossTerm.checked("replaced_token", "term"),)})
    with pytest.raises(GraphRecError, match="an objective that ranks, got replaced_token"):
        Taught.by(drawn).ranking()  # nobody says which node it was


def test_two_towers_are_inner_products_of_vectors(shop: Split) -> None:
    model, stage = trained(shop, {"name": "pairwise", "pairs": {"user": "vector"}})
    users = torch.tensor(list(shop.graph.nodes("user")))
    scorer = scorer_of(model, stage, shop.history("test"), "rates", users)
    with torch.no_grad():
        expected = model.table("user") @ model.table("item").T
    assert torch.allclose(scorer.scores(users), expected, atol=1e-6)


def test_contrast_is_ranked_by_cosine(shop: Split) -> None:
    model, stage = trained(shop, {"name": "sequence_item", "temperature": 0.5})
    users = torch.tensor(list(shop.graph.nodes("user")))
    scores = scorer_of(model, stage, shop.history("test"), "rates", users).scores(users)
    assert float(scores.abs().max()) <= 2 + 1e-5  # cosines over a temperature of a half


def test_the_test_item_does_not_matter(shop: Split) -> None:
    """The same model asked on train + valid edges alone, whatever the whole graph holds."""
    model, stage = trained(shop, "next_item")
    users = shop.valid.source.unique()
    valid = scorer_of(model, stage, shop.history("valid"), "rates", users)
    train = scorer_of(model, stage, shop.train, "rates", users)
    assert isinstance(valid, Factorised)
    assert isinstance(train, Factorised)
    assert torch.equal(valid.queries, train.queries)
    test = scorer_of(model, stage, shop.history("test"), "rates", users)
    assert isinstance(test, Factorised)
    assert not torch.equal(valid.queries, test.queries)
    assert len(rank_targets(test, shop, "test")) == len(shop.test)


def test_what_cannot_rank_says_so(shop: Split) -> None:
    model, stage = trained(shop, "next_item")
    users = torch.tensor([0])
    other = Stage(sampler="k_hop", linearizer="subgraph", objectives=["masked_edge"])
    with pytest.raises(GraphRecError, match="an objective that ranks, got masked_edge"):
        scorer_of(model, other, shop.train, "rates", users)
    model.heads = nn.ModuleDict()
    with pytest.raises(GraphRecError, match="the trained head of 'next_item'"):
        scorer_of(model, stage, shop.train, "rates", users)


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
    found = scorer_of(model, stage, shown, "rates", users).scores(users)
    tokens = stage.linearizer.linearize(shown, stage.sampler.sample(shown, users, Key(0)), Key(0))
    with torch.no_grad():
        states = model.encode(View(tokens)).hidden[tokens.ptr[1:] - 1]  # the mask stands last
        expected = states @ model.table("item").T
    assert torch.allclose(found, expected, atol=1e-5)
    other = stage.model_copy(update={"linearizer": linearizer.build("history")})
    with pytest.raises(GraphRecError, match="a mask of the candidates' type, got 3 of 3"):
        scorer_of(model, other, shown, "rates", users)


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
    given = scorer_of(model, stage, history, "rates", users).scores(users)
    tokens = examples(history, stage, users).tokens
    mean = model.heads["of_neighbor_coding"].mean
    weight, bias = mean.weight, mean.bias
    with torch.no_grad():
        states = model.encode(View(tokens)).hidden[tokens.ptr[:-1]]  # the root comes first
        code, table = states @ weight.T + bias, model.table("item")
        if cosine:
            code, table = (side / side.norm(dim=1, keepdim=True) for side in (code, table))
    assert torch.allclose(given, code @ table.T / 0.5, atol=1e-5)


@pytest.fixture(scope="module")
def predictor(shop: Split) -> Predictor:
    model, stage = trained(shop, "next_item")
    return Predictor(model, shop.history("test"), stage=stage, relation="rates")


@pytest.mark.parametrize("seen", ["mask", "keep"])
@pytest.mark.parametrize("new", [False, True])
def test_a_ranking_is_the_top_of_a_sort(predictor: Predictor, new: bool, seen: Any) -> None:
    graph, items = predictor.graph, predictor.reading.items
    users = torch.tensor([5, 2, 5, 30])  # in any order, twice
    histories = [graph.neighbors(int(user), "rates") for user in users]
    sources: Any = histories if new else users
    best, scores = predictor.rank(sources, 6, seen=seen), predictor.score(sources)
    for row, history in enumerate(histories):
        wanted = scores[row].clone()
        if seen == "mask":
            wanted[history - items.start] = -torch.inf
        value, place = wanted.sort(descending=True, stable=True)
        assert torch.equal(best.items[row], place[:6] + items.start)
        assert torch.equal(best.score[row], value[:6])


def test_only_some_candidates(predictor: Predictor) -> None:
    items = predictor.reading.items
    some = torch.arange(items.start, items.start + 5)
    users = torch.tensor([3, 8])
    best = predictor.rank(users, 4, among=some, seen="keep")
    scores = predictor.score(users, some)
    assert torch.equal(scores, predictor.score(users)[:, :5])
    assert torch.equal(scores[1:], predictor.score(users, some.expand(2, -1))[1:])
    for row, user in enumerate(users.tolist()):
        ordered = predictor.rerank(user, some)
        assert torch.equal(ordered, some[scores[row].sort(descending=True, stable=True).indices])
        assert torch.equal(best.items[row], ordered[:4])


def test_what_is_no_candidate_is_told(predictor: Predictor) -> None:
    users = torch.tensor([3])
    with pytest.raises(GraphRecError, match="nodes of type 'item', got node 0; try transfer"):
        predictor.score(users, torch.tensor([0]))
    with pytest.raises(GraphRecError, match="1 <= k <= 30"):
        predictor.rank(users, 31)
    with pytest.raises(GraphRecError, match="an objective that predicts a category, got next_item"):
        predictor.classify(users)
    with pytest.raises(GraphRecError, match="an objective that decodes paths"):
        predictor.paths(users)


def test_equal_scores_go_to_the_lower_id(shop: Split) -> None:
    model, stage = trained(shop, "next_item")
    with torch.no_grad():
        model.heads["of_next_item"].transform[0].weight.zero_()  # every query is the same
        for part in model.features.of_type["of_item"].parts:
            part.table.weight[::2] = part.table.weight[0]  # half of the items are alike
    predictor = Predictor(model, shop.history("test"), stage=stage, relation="rates")
    start = predictor.reading.items.start
    best = predictor.rank(torch.tensor([0, 1]), 30, seen="keep").items - start
    for row in best.tolist():
        alike = [item for item in row if item % 2 == 0]
        assert alike == sorted(alike)


def test_the_table_is_made_once(predictor: Predictor) -> None:
    predictor.score(torch.tensor([1]))
    first = predictor.reading.tables["item"]
    predictor.rank(torch.tensor([1, 2, 3]), 4)
    assert predictor.reading.tables["item"] is first
    with predictor.reading.at_rest():
        assert predictor.model.table("item") is first
    assert predictor.model.table("item") is not first


def test_new_sources_need_no_graph(predictor: Predictor, tmp_path: Path) -> None:
    """What was saved knows the items; histories are all there is to say."""
    folder = predictor.model.save_pretrained(tmp_path / "model")
    alone = Predictor.load(folder)
    assert alone.graph.num_edges() == 0
    histories = [predictor.graph.neighbors(user, "rates") for user in (4, 9)]
    found = alone.rank(histories, 5, seen="keep")
    wanted = predictor.rank(histories, 5, seen="keep")
    assert torch.equal(found.items, wanted.items)
    assert torch.equal(found.score, wanted.score)
    with pytest.raises(GraphRecError, match="a model that was trained, got a new one"):
        Predictor(Model.of(predictor.graph))


def test_categories_of_roots(shop: Split) -> None:
    """By hand: the root hidden, the mean of the states, a softmax of the head's logits."""
    stage = Stage(
        sampler={"name": "k_hop", "fanout": [3]},
        linearizer="subgraph",
        objectives=[{"name": "classify", "node_type": "user", "column": "region"}],
        roots="user",
        batch=20,
        steps=3,
    )
    backbone = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": {"hop": 4}}
    model = Model.of(shop.train, backbone=backbone)
    Trainer(cpu=True).fit(model, shop.train, stage)
    predictor = Predictor(model, shop.train, stage=stage)
    users = torch.tensor([0, 4, 9])
    found = predictor.classify(users)
    head = model.heads["of_classify"]
    for row, user in enumerate(users):
        sample = stage.sampler.sample(shop.train, user.unsqueeze(0), Key(0))
        tokens = stage.linearizer.linearize(shop.train, sample, Key(0))
        hidden = replace(
            tokens,
            id=torch.where(tokens.id == user, int(Special.MASK), tokens.id),
            kind=torch.where(tokens.id == user, int(Kind.SPECIAL), tokens.kind),
        )
        with torch.no_grad():
            logits = head(model.encode(View(hidden)).hidden.mean(0, keepdim=True))[0]
        assert torch.allclose(found[row], logits.softmax(0), atol=1e-5)
    assert torch.allclose(found.sum(1), torch.ones(3))


@dataclass(frozen=True)
class FirstAndLast(QueryReadout):
    """A readout of one's own: the sum of the first and the last state."""

    def query(self, encoded: Encoded, tokens: Tokens, node_type: int) -> Tensor:
        return encoded.pooled("first") + encoded.pooled("last")


def test_a_readout_of_ones_own(shop: Split) -> None:
    @objective("test_first_and_last")
    class Own(NextItem):
        def readout(self) -> QueryReadout:
            return FirstAndLast("last", "causal")

    model, stage = trained(shop, Own(candidates={"transform": False}))
    users = torch.tensor([1, 6])
    found = Predictor(model, shop.history("test"), stage=stage, relation="rates").score(users)
    tokens = examples(shop.history("test"), stage, users).tokens
    with torch.no_grad():
        encoded = model.encode(View(tokens, "causal"))
        expected = (encoded.pooled("first") + encoded.pooled("last")) @ model.table("item").T
    assert torch.allclose(found, expected, atol=1e-5)
