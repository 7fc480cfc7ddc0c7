"""Histories against a slow reading of the edges, encoders against those of torch."""

import pytest
import torch
from torch import nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.features.node_features import Features
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec

ENCODERS = ["transformer", "gru"]
WIDTH = 8


@pytest.fixture(scope="module")
def world():
    return synthetic_graph(40, 30, 300)


def build(graph, config, seed=0, node_type="user"):
    feature = seeded(
        lambda: featurizer.build(config).build(GraphSpec.of(graph), node_type, WIDTH), seed
    )
    with torch.no_grad():
        for parameter in feature.parameters():
            parameter *= 5  # so that order and content matter
    feature.attach_graph(graph)
    return feature.eval()


def vectors_of(graph):
    draw = torch.Generator().manual_seed(3)
    table = torch.randn(graph.num_nodes(), WIDTH, generator=draw)
    return lambda nodes: table[nodes]


def histories(graph, relation, longest, skip):
    """Read the newest neighbours of every user, edge by edge."""
    edges = graph.edges(relation)
    found = {user: [] for user in graph.nodes("user")}
    rows = zip(edges.source.tolist(), edges.time.tolist(), edges.target.tolist(), strict=True)
    for source, time, target in sorted(rows):
        found[source].append((time, target))
    cut = {u: h[: max(len(h) - skip, 0)][-longest:] for u, h in found.items()}
    return [[target for _, target in cut[user]] for user in graph.nodes("user")]


def timed(graph):
    return next(r.name for r in graph.schema.relations if r.source == "user" and r.timed)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("longest", "skip"), [(50, 0), (4, 0), (3, 2), (50, 5)])
def test_equals_an_encoder_of_torch_on_one_history_at_a_time(world, encoder, longest, skip):
    config = {"name": "sequence", "encoder": encoder, "longest": longest, "skip": skip, "layers": 2}
    feature, vectors = build(world, config), vectors_of(world)
    users = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    out = feature(users, vectors)
    every = histories(world, timed(world), longest, skip)
    assert longest >= max(map(len, every)) > 2
    for user, found in zip(users.tolist(), out, strict=True):
        history = every[user]
        expected = feature.missing.weight[0]
        if history:
            x = vectors(torch.tensor(history))
            expected = (theirs_gru if encoder == "gru" else theirs)(feature.encoder, x)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def theirs_gru(ours, x):
    unit = nn.GRU(WIDTH, WIDTH, 2)
    unit.load_state_dict(ours.unit.state_dict())
    return unit(x)[0][-1]


def theirs(ours, x):
    x = x + ours.place.weight[: len(x)].flip(0)
    for layer in ours.layers:
        other = nn.TransformerEncoderLayer(
            WIDTH, 2, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
        )
        names = {
            "self_attn.in_proj_": "qkv.",
            "self_attn.out_proj.": "out.",
            "linear1.": "feed.0.",
            "linear2.": "feed.2.",
            "norm1.": "before_attention.",
            "norm2.": "before_feed.",
        }
        state = layer.state_dict()
        other.load_state_dict(
            {t + end: state[o + end] for t, o in names.items() for end in ("weight", "bias")}
        )
        x = other(x[None])[0]
    return ours.norm(x[-1])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_nodes_without_a_history(graph, encoder):
    feature = build(graph, {"name": "sequence", "encoder": encoder})
    out = feature(torch.tensor([2, 2]), vectors_of(graph))
    assert torch.equal(out, feature.missing.weight.expand(2, -1))
    assert feature(torch.tensor([], dtype=torch.int64), vectors_of(graph)).shape == (0, WIDTH)
    assert not torch.equal(feature(torch.tensor([0]), vectors_of(graph)), out[:1])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_skipped_neighbours_are_not_looked_at(graph, encoder):
    """The newest item of user 0 is node 3 + 2; it must not reach a feature that skips it."""
    table = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for skip, reached in ((0, {3, 4, 5, 6}), (1, {3, 4, 6}), (3, {3})):
        feature = build(graph, {"name": "sequence", "encoder": encoder, "skip": skip})
        out = feature(torch.tensor([0]), lambda nodes: table[nodes])
        (gradient,) = torch.autograd.grad(out.square().sum(), table)
        assert set(gradient.any(1).nonzero().squeeze(1).tolist()) == reached


def test_composed_with_other_features_without_a_cycle(graph):
    by_type = {"user": ["sequence"], "item": ["id", {"name": "sequence", "encoder": "gru"}]}
    config = Features(by_type=by_type)
    net = seeded(lambda: config.build(GraphSpec.of(graph), WIDTH), 0).eval()
    net.attach_graph(graph)
    every = net(torch.arange(7))
    assert every.isfinite().all()
    ids = net.of_type["of_item"].parts[0].table.weight
    plain = lambda nodes: ids[nodes - 3]  # noqa: E731  (items without their histories)
    user = net.of_type["of_user"].parts[0]
    torch.testing.assert_close(every[0:2], user(torch.arange(2), plain))
    assert Features(**config.model_dump(mode="json")) == config


@pytest.mark.parametrize("encoder", ENCODERS)
def test_learns_what_came_last(world, encoder):
    """Who is told apart by the newest item only can be told apart."""
    feature = build(world, {"name": "sequence", "encoder": encoder, "dropout": 0.0})
    every = histories(world, timed(world), 50, 0)
    target = torch.tensor([history[-1] % 2 for history in every])
    vectors, head = vectors_of(world), nn.Linear(WIDTH, 2)
    optimiser = torch.optim.Adam([*feature.parameters(), *head.parameters()], 0.01)
    for _ in range(150):
        loss = nn.functional.cross_entropy(head(feature(torch.arange(40), vectors)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1


@pytest.mark.parametrize(
    ("options", "node_type", "said"),
    [
        ({"relation": "bougt"}, "user", "did you mean 'bought'"),
        ({"relation": "bought"}, "item", "a timed relation that leaves 'item', got 'bought'"),
        ({"heads": 3}, "user", "heads that divide 8, got 3"),
        ({"encoder": "lstm"}, "user", "encoder"),
    ],
)
def test_mistakes_are_named(graph, options, node_type, said):
    with pytest.raises(GraphRecError, match=said):
        build(graph, {"name": "sequence", **options}, node_type=node_type)


def test_without_time_there_is_no_order(graph):
    spec = GraphSpec.of(graph)
    untimed = spec.model_copy(
        update={"relations": tuple(r.model_copy(update={"timed": False}) for r in spec.relations)}
    )
    with pytest.raises(GraphRecError, match="the timed relation that leaves 'user', got none"):
        featurizer.build("sequence").build(untimed, "user", WIDTH)
