"""Subgraphs of pairs as a scorer: towers for the catalogue, subgraphs for its top."""

import pytest
import torch

from graphrec_pt import Graph, GraphRecError, Key, Model, Split, Stage, Trainer, split
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.models.view import View
from graphrec_pt.objectives.objective import Examples
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.rerank import PairScorer
from graphrec_pt.predict.scorer import Scorer
from graphrec_pt.predict.seen import seen_pairs
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.training.stage import LossTerm


@pytest.fixture(scope="module")
def shop() -> Split:
    return split(synthetic_graph(30, 20, 300, key=Key(7)))


@pytest.fixture(scope="module")
def pairs_model(shop: Split) -> tuple[Model, Stage]:
    stage = Stage(
        sampler={"name": "path_subgraph", "metapaths": [["rates", "rated_by", "rates"]]},
        linearizer="subgraph",
        objectives=["link"],
        batch=32,
        steps=4,
        optimization={"lr": 1e-2},
    )
    structure = {"slot": 4, "hop": 4}
    backbone = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": structure}
    model = Model.of(shop.train, backbone=backbone)
    Trainer(cpu=True).fit(model, shop.train, stage)
    return model, stage


def scorer_of(
    model: Model, stage: Stage, history: Graph, users: torch.Tensor, rerank: int
) -> Scorer:
    """Return the scorer of a stage whose objective puts so many items in order."""
    term = stage.objectives[0]
    config = {**term.model_dump(mode="json"), "rerank": rerank}
    chosen = stage.model_copy(update={"objectives": (LossTerm.checked(config, "term"),)})
    return Predictor(model, history, stage=chosen, relation="rates").scorer(users)


def logits(model: Model, stage: Stage, shop: Split, pairs: torch.Tensor) -> torch.Tensor:
    """Score pairs as the training objective does, one at a time."""
    graph, term, found = shop.history("test"), stage.objectives[0], []
    for pair in pairs:
        one, owner = pair.unsqueeze(0), torch.zeros(1, dtype=torch.int64)

        def resample(roots: torch.Tensor, exclude: torch.Tensor | None):  # type: ignore[no-untyped-def]
            made = stage.linearizer.linearize(
                graph, stage.sampler.sample(graph, roots, Key(0)), Key(0)
            )
            return made, torch.arange(len(roots))

        tokens, _ = resample(one, None)
        draws = SequenceRNG.of(Key(0), owner, owner)
        corrupted = term.objective.corrupt(Examples(graph, tokens, owner, one, draws, resample))
        with torch.no_grad():
            encoded = model.encode(corrupted.views[0])
            head = model.labelled_heads()[term.label]
            found.append(head(encoded, corrupted.targets["positive.roots"]))
    return torch.cat(found)


def test_the_top_is_ordered_by_subgraphs_and_the_rest_by_towers(
    shop: Split, pairs_model: tuple[Model, Stage]
) -> None:
    model, stage = pairs_model
    history, rerank = shop.history("test"), 5
    users = shop.test.source[:4].unique()
    scores = scorer_of(model, stage, history, users, rerank).scores(users)
    items = history.nodes("item")
    with torch.no_grad():
        towers = model.nodes(users) @ model.table("item").T
    ptr, met = seen_pairs(history, "rates", users)
    for row, user in enumerate(users.tolist()):
        unseen = towers[row].clone()
        unseen[met[ptr[row] : ptr[row + 1]]] = -torch.inf
        top = unseen.topk(rerank).indices
        rest = torch.ones(len(items), dtype=torch.bool)
        rest[top] = False
        assert torch.equal(scores[row][rest], towers[row][rest])
        assert float(scores[row][top].min()) > float(scores[row][rest].max())
        pairs = torch.stack([torch.full_like(top, user), top + items.start], dim=1)
        local = logits(model, stage, shop, pairs)
        differences = scores[row][top] - scores[row][top][0]
        assert torch.allclose(differences, local - local[0], atol=1e-4)


def test_a_template_asks_for_the_item_of_a_pair(shop: Split) -> None:
    """The score is the log-probability of the item, told from a subgraph without it."""
    template = {"name": "template", "pattern": "(user)-[rates]->(MASK:item)", "lead": True}
    stage = Stage(
        sampler={"name": "path_subgraph", "metapaths": [["rates", "rated_by", "rates"]]},
        linearizer={**template, "context": "subgraph"},
        objectives=["answer"],
        batch=32,
        steps=8,
        optimization={"lr": 1e-2},
    )
    structure = {"slot": 4, "hop": 4, "position": 64}
    backbone = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": structure}
    model = Model.of(shop.train, backbone=backbone)
    Trainer(cpu=True).fit(model, shop.train, stage)
    history, users = shop.history("test"), shop.test.source[:3].unique()
    items, head = history.nodes("item"), model.heads["of_answer"]
    scores = scorer_of(model, stage, history, users, 6).scores(users)
    with torch.no_grad():
        towers = model.nodes(users) @ model.table("item").T
        for row, user in enumerate(users.tolist()):
            top = (scores[row] != towers[row]).nonzero().squeeze(1)
            found = []
            for item in (top + items.start).tolist():
                pair = torch.tensor([[user, item]])
                sample = stage.sampler.sample(history, pair, Key(0))
                tokens = stage.linearizer.linearize(history, sample, Key(0))
                assert item not in tokens.id[tokens.kind == Kind.NODE].tolist()
                assert tokens.kind[2] == Kind.SPECIAL  # user, rates, MASK, then the subgraph
                hidden = model.encode(View(tokens, root=pair[:, 0])).hidden[2:3]
                logits = head(hidden, model.table("item"))[0]
                found.append(logits.log_softmax(0)[item - items.start])
            local = torch.stack(found)
            differences = scores[row][top] - scores[row][top][0]
            assert len(top) == 6
            assert torch.allclose(differences, local - local[0], atol=1e-4)


def test_whole_catalogues_are_ranked(shop: Split, pairs_model: tuple[Model, Stage]) -> None:
    model, stage = pairs_model
    users = shop.test.source.unique()
    scorer = scorer_of(model, stage, shop.history("test"), users, 3)
    assert isinstance(scorer, PairScorer)
    assert len(rank_targets(scorer, shop, "test")) == len(shop.test)


def test_new_users_have_no_subgraph(shop: Split, pairs_model: tuple[Model, Stage]) -> None:
    model, stage = pairs_model
    predictor = Predictor(model, shop.train, stage=stage, relation="rates")
    with pytest.raises(GraphRecError, match="sources that it knows, got new ones"):
        predictor.scorer([torch.tensor([shop.train.nodes("item").start])])
    with pytest.raises(GraphRecError, match="an objective that predicts a number, got link"):
        predictor.rate(torch.tensor([[0, shop.train.nodes("item").start]]))


def test_without_reranking_vectors_alone_rank(
    shop: Split, pairs_model: tuple[Model, Stage]
) -> None:
    model, stage = pairs_model
    users = shop.test.source[:4].unique()
    found = scorer_of(model, stage, shop.history("test"), users, 0).scores(users)
    with torch.no_grad():
        assert torch.equal(found, model.nodes(users) @ model.table("item").T)
