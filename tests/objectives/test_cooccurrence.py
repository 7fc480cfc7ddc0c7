"""The co-occurrence prior in training and in rankings: no leak, and what it learns alone."""

import pytest
import torch

from graphrec_pt import GraphRecError, Key, Model, Stage, Trainer, split
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.cooccurrence import Channel, CooccurrencePrior, met_before
from graphrec_pt.objectives.next_item import NextItem
from graphrec_pt.objectives.objective import Examples, objective
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.scorer import WithPrior
from graphrec_pt.sampling.history import HistorySampler
from graphrec_pt.tokens.history import HistoryLinearizer

GRAPH = synthetic_graph(40, 20, 500)
RELATION = GRAPH.schema.interaction()
NEXT = {"name": "next_item", "candidates": {"transform": False}, "cooccurrence": {}}


def scorer_of(model, stage, history, users):
    return Predictor(model, history, stage=stage, relation=RELATION.name).scorer(users)


def histories(graph=GRAPH, users: int = 6):
    roots = torch.arange(users) + graph.nodes(RELATION.source).start
    sample = HistorySampler(window=50).sample(graph, roots, Key(0))
    return HistoryLinearizer().linearize(graph, sample, Key(0))


def test_what_was_met_is_named_once_and_never_the_target() -> None:
    tokens = histories()
    longest = torch.argsort(tokens.lengths(), descending=True)[:2].sort().values
    token = tokens.ptr[longest + 1] - 1
    target = torch.tensor([int(tokens.id[token[0]]), -1])
    row, met = met_before(tokens, token, target)
    starts = tokens.ptr[longest].tolist()
    for n, (at, start) in enumerate(zip(token.tolist(), starts, strict=True)):
        expected = sorted({*tokens.id[start : at + 1].tolist()} - {int(target[n])})
        assert met[row == n].tolist() == expected


def test_a_history_adds_nothing_to_its_own_prior() -> None:
    """With one user only, everything that the links hold is that user's own."""
    alone = synthetic_graph(1, 12, 30)
    tokens = histories(alone, 1)
    token = torch.arange(len(tokens.id) - 1)
    term = CooccurrencePrior(channels=[Channel(links="after"), Channel(links="together")])
    with_own = term.at(alone, tokens, token, tokens.id[token + 1], own=False)
    without = term.at(alone, tokens, token, tokens.id[token + 1], own=True)
    assert len(with_own.item) > 0
    assert len(without.item) == 0


def test_channels_of_one_kind_share_their_links() -> None:
    term = CooccurrencePrior()
    assert len(term.matrices(GRAPH).ptr) == 5
    assert term.matrices(GRAPH) is term.matrices(GRAPH)


def test_the_prior_wants_softmax_and_times() -> None:
    with pytest.raises(GraphRecError, match="softmax beside cooccurrence"):
        objective.build({"name": "next_item", "candidates": {"how": "bce"}, "cooccurrence": {}})
    bare = [relation.model_copy(update={"timed": False}) for relation in GRAPH.schema.relations]
    untimed = GraphSpec.of(GRAPH).model_copy(update={"relations": tuple(bare)})
    with pytest.raises(GraphRecError, match="a timed interaction relation"):
        NextItem(cooccurrence={}).check(untimed)


def trained(steps: int = 2):
    made = split(GRAPH)
    stage = Stage(
        sampler={"name": "history", "window": 20},
        linearizer="history",
        objectives=[NEXT],
        batch=16,
        steps=steps,
    )
    structure = {"position": 32}
    backbone = {"name": "graph_transformer", "width": 16, "structure": structure, "mode": "causal"}
    model = Model.of(made.train, backbone=backbone)
    Trainer().fit(model, made.train, stage)
    return made, stage, model


def test_scores_are_products_and_the_term_of_each_item() -> None:
    made, stage, model = trained()
    users = torch.arange(5) + GRAPH.nodes(RELATION.source).start
    scorer = scorer_of(model, stage, made.history("test"), users)
    assert isinstance(scorer, WithPrior)
    scores, plain = scorer.scores(users), scorer.plain.scores(users)
    drawn = stage.sampler.sample(made.history("test"), users, Key(0))
    tokens = stage.linearizer.linearize(made.history("test"), drawn, Key(0))
    last = tokens.ptr[1:] - 1
    term: CooccurrencePrior = stage.objectives[0].objective.cooccurrence
    found = term.at(made.train, tokens, last, torch.full_like(last, -1), own=False)
    expected = plain.clone()
    for row in range(5):
        low, high = found.ptr[row], found.ptr[row + 1]
        with torch.no_grad():
            head = model.heads["of_next_item"].cooccurrence
            expected[row, found.item[low:high]] += head(found.value[low:high])
    torch.testing.assert_close(scores, expected)
    assert not torch.equal(scores, plain)


def test_links_are_those_of_the_graph_that_the_model_is_bound_to() -> None:
    made, stage, model = trained()
    users = torch.arange(40) + GRAPH.nodes(RELATION.source).start
    history = made.history("test")
    train = scorer_of(model, stage, history, users).scores(users)
    again = scorer_of(model, stage, history, users).scores(users)
    model.attach_graph(history)
    knowing = scorer_of(model, stage, history, users).scores(users)
    torch.testing.assert_close(train, again)
    assert not torch.equal(train, knowing)


def test_met_items_are_hidden_only_where_asked() -> None:
    tokens = histories()
    token = tokens.ptr[1:3] - 2
    target = tokens.id[token + 1]
    term = CooccurrencePrior()
    hidden = term.pairs(GRAPH, tokens, token, target, hide=True)
    shown = term.pairs(GRAPH, tokens, token, target, hide=False)
    assert bool(hidden["cooccurrence.hidden"].any())
    assert not bool(shown["cooccurrence.hidden"].any())
    kept = ~hidden["cooccurrence.hidden"]
    torch.testing.assert_close(hidden["cooccurrence.item"][kept], shown["cooccurrence.item"])
    torch.testing.assert_close(hidden["cooccurrence.value"][kept], shown["cooccurrence.value"])


def test_nodes_of_the_catalogue_alone_are_predicted() -> None:
    """A user at the start of a sequence is no target, and tells of no item."""
    roots = torch.arange(4) + GRAPH.nodes(RELATION.source).start
    sample = HistorySampler(window=50).sample(GRAPH, roots, Key(0))
    tokens = HistoryLinearizer(root=True).linearize(GRAPH, sample, Key(0))
    first = tokens.ptr[:-1]
    found = CooccurrencePrior().at(GRAPH, tokens, first, tokens.id[first + 1], own=True)
    assert found.ptr.tolist() == [0] * 5
    items = GRAPH.nodes(RELATION.target)
    objective_ = NextItem(cooccurrence={}, types=(RELATION.source,))
    given = Examples(
        GRAPH, tokens, torch.arange(4), roots, SequenceRNG.of(Key(0), roots, torch.arange(4)), None
    )
    node = objective_.corrupt(given).targets["node"]
    assert bool(((node >= items.start) & (node < items.stop)).all())
    assert len(node) == len(tokens.id) - 4


def test_the_degree_counts_all_events_but_the_predicted_one() -> None:
    tokens = histories()
    token = (tokens.places() < tokens.lengths()[tokens.sequence_of()] - 1).nonzero().squeeze(1)
    target = tokens.id[token + 1]
    start = GRAPH.nodes(RELATION.target).start
    events = [int(each) - start for each in GRAPH.edges(RELATION.name).target]
    plain = CooccurrencePrior().at(GRAPH, tokens, token, target, own=True)
    for own in (True, False):
        term = CooccurrencePrior(degree=True).at(GRAPH, tokens, token, target, own=own)
        if own:
            torch.testing.assert_close(term.value[:, :-1], plain.value, rtol=0, atol=0)
        hits = 0
        for row in range(len(token)):
            for n in range(int(term.ptr[row]), int(term.ptr[row + 1])):
                item = int(term.item[n])
                hit = own and item == int(target[row]) - start
                hits += hit
                assert float(term.value[n, -1]) == events.count(item) - hit
        assert bool(hits) == own


def test_a_head_with_the_degree_begins_as_one_without() -> None:
    value = torch.rand(6, 7, generator=torch.Generator().manual_seed(0))
    plain = seeded(CooccurrencePrior().head, seed=3)
    wide = seeded(CooccurrencePrior(degree=True).head, seed=3)
    many = torch.cat([value, torch.full((6, 1), 40.0)], dim=1)
    torch.testing.assert_close(wide(many), plain(value))
    assert type(wide)(**wide.options()).options() == wide.options()
