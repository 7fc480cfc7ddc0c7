"""Vectors of nodes of all types: composed by hand, looked up in any order, made once when held."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import Feature, Propagator, featurizer, propagation
from graphrec_pt.features.node_features import Features
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec

ITEMS = torch.tensor([3, 4, 5, 6])  # after three users
TWO = {"item": ["id", "static_text"]}


@pytest.fixture
def neighbor():
    """Register features and a propagation that others do not have, for one test."""

    @featurizer("friend")
    class Friend:
        other: int

        def build(self, spec, node_type, width):
            return FriendFeature(self.other)

    @propagation("doubling")
    class Doubling:
        def build(self, spec, width):
            return Twice()

    yield
    featurizer._members.pop("friend")
    propagation._members.pop("doubling")


class FriendFeature(Feature):
    """The vector of one other node, for all."""

    looks_up = True

    def __init__(self, other):
        super().__init__()
        self.other = other

    def forward(self, nodes, vectors):
        return vectors(torch.full_like(nodes, self.other))


class Twice(Propagator):
    def forward(self, x):
        return 2 * x


def built(graph, seed=0, width=4, **options):
    features = Features(**options)
    made = seeded(lambda: features.build(GraphSpec.of(graph), width), seed)
    made.attach_graph(graph)
    return made.eval()


def parts(made, node_type="item"):
    composed = made.of_type[f"of_{node_type}"]
    rows = torch.arange(made.counts[made.names.index(node_type)])
    return composed, [part(rows, None) for part in composed.parts]


def test_sum(graph):
    made = built(graph, by_type=TWO)
    _, (ids, texts) = parts(made)
    assert torch.allclose(made(ITEMS), ids + texts)


def test_concat(graph):
    made = built(graph, by_type=TWO, compose="concat")
    composed, found = parts(made)
    joint = composed.joint
    expected = torch.cat(found, 1) @ joint.weight.T + joint.bias
    assert joint.weight.shape == (4, 8)
    assert torch.allclose(made(ITEMS), expected)


def test_gate(graph):
    made = built(graph, by_type=TWO, compose="gate")
    composed, found = parts(made)
    with torch.no_grad():
        composed.gate.weight.normal_(generator=torch.Generator().manual_seed(0))
        for part in composed.parts:
            part.table.weight.mul_(30)
    composed, found = parts(made)
    scores = [(torch.tanh(part) @ composed.gate.weight[0]).exp() for part in found]
    share = scores[0] / (scores[0] + scores[1])
    expected = share.unsqueeze(1) * found[0] + (1 - share).unsqueeze(1) * found[1]
    assert share.std() > 0.1
    assert torch.allclose(made(ITEMS), expected, atol=1e-6)


@pytest.mark.parametrize("compose", ["sum", "concat", "gate"])
def test_one_feature_is_taken_as_it_is(graph, compose):
    made = built(graph, by_type={"item": ["static_text"]}, compose=compose)
    composed, (texts,) = parts(made)
    assert composed.joint is composed.gate is None
    assert torch.equal(made(ITEMS), texts)


@pytest.mark.parametrize("compose", ["sum", "concat", "gate"])
def test_any_order_and_the_whole_table_agree(graph, compose):
    made = built(graph, by_type={"item": ["id", "vector", "number"]}, compose=compose)
    every = torch.arange(7)
    shuffled = torch.tensor([6, 0, 3, 3, 1, 5])
    table = torch.cat([made.table("user"), made.table("item")])
    assert torch.allclose(made(every), table)
    assert torch.allclose(made(shuffled), table[shuffled])
    assert made(every[:0]).shape == (0, 4)


@pytest.mark.parametrize(
    ("by_type", "user", "item"),
    [
        ({}, "IdentityFeature", "IdentityFeature"),
        ({"item": ["number"]}, "IdentityFeature", "NumberFeature"),
        ({"*": ["number"], "user": ["id"]}, "IdentityFeature", "NumberFeature"),
    ],
)
def test_types_that_are_not_named(graph, by_type, user, item):
    made = built(graph, by_type=by_type)
    found = [type(made.of_type[f"of_{name}"].parts[0]).__name__ for name in ("user", "item")]
    assert found == [user, item]


def test_held_tables_are_made_once(graph):
    made = built(graph, by_type=TWO)
    calls = []
    made.of_type["of_item"].register_forward_hook(lambda *hook: calls.append(len(hook[2])))
    with made.cached_embeddings():
        table = made.table("item")
        assert made.table("item") is table
        assert torch.equal(made(ITEMS[[2, 0]]), table[[2, 0]])
        assert calls == [4]
        with made.cached_embeddings():  # another pass inside makes its own
            assert made.table("item") is not table
        assert made.table("item") is table
    with pytest.raises(GraphRecError, match="did you mean 'item'"), made.cached_embeddings():
        made.table("itme")
    assert made.table("item") is not made.table("item")  # an error ends the pass too


def test_held_tables_learn_as_rows_do(graph):
    gradients = []
    for held in (True, False):
        made = built(graph, by_type=TWO)
        weight = torch.linspace(-1, 1, 8).view(2, 4)
        if held:
            with made.cached_embeddings():
                loss = (made.table("item") ** 2).sum() + (made(ITEMS[:2]) * weight).sum()
        else:
            loss = (made(ITEMS) ** 2).sum() + (made(ITEMS[:2]) * weight).sum()
        loss.backward()
        gradients.append([p.grad for p in made.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) == 2
    assert all(torch.allclose(a, b) for a, b in zip(*gradients, strict=True))


def test_ids_are_dropped_in_training_only(graph):
    made = built(graph, width=16, by_type=TWO, id_dropout=0.5)
    _, (ids, texts) = parts(made)
    nodes = ITEMS.repeat(250)
    assert torch.allclose(made(nodes[:4]), ids + texts)
    torch.manual_seed(0)
    rest = made.train()(nodes) - texts.repeat(250, 1)
    dropped = (rest.abs() < 1e-7).all(1)
    assert torch.allclose(rest[~dropped], ids.repeat(250, 1)[~dropped], atol=1e-6)
    assert 430 < int(dropped.sum()) < 570  # 500 ± 4.4 standard deviations of a fair coin


def test_a_feature_may_look_up_other_nodes(graph, neighbor):
    made = built(graph, by_type={"item": ["id", {"name": "friend", "other": 4}]})
    ids = made.of_type["of_item"].parts[0].table.weight
    # Of the node that is looked up, what itself looks up is left out: no circles.
    assert torch.allclose(made(ITEMS), ids + ids[1])


def test_propagation_mixes_all_nodes_once(graph, neighbor):
    plain, made = built(graph), built(graph, propagation="doubling")
    assert torch.equal(made(torch.tensor([5, 0])), 2 * plain(torch.tensor([5, 0])))
    calls = []
    made.propagate.register_forward_hook(lambda *hook: calls.append(1))
    with made.cached_embeddings():
        assert torch.equal(made.table("item"), 2 * plain.table("item"))
        made.table("user")
        made(ITEMS)
    assert len(calls) == 1


def test_what_reads_must_be_bound_first(graph):
    spec = GraphSpec.of(graph)
    for options, reads in (
        ({}, False),
        ({"by_type": TWO}, True),
        ({"propagation": "lightgcn"}, True),
    ):
        features = Features(**options)
        made = seeded(lambda features=features: features.build(spec, 4), 0)
        assert made.reads is reads
        if not reads:
            assert made(ITEMS).shape == (4, 4)
            continue
        for look in (lambda made=made: made(ITEMS), lambda made=made: made.table("user")):
            with pytest.raises(
                GraphRecError, match=r"a graph to read, got none; try model\.attach_graph"
            ):
                look()
        made.attach_graph(graph)
        assert made(ITEMS).shape == (4, 4)


def test_inputs_stand_in_for_the_graph(graph):
    by_type = {"item": ["id", "static_text", "categorical", "number", "vector"]}
    made = built(graph, by_type=by_type)
    inputs = {name: tensor.clone() for name, tensor in made.inputs().items()}
    assert not inputs.keys() & made.state_dict().keys()
    again = seeded(lambda: Features(by_type=by_type).build(GraphSpec.of(graph), 4), 9)
    again.load_state_dict(made.state_dict())
    again.restore(inputs)
    assert torch.equal(again.eval()(ITEMS), made(ITEMS))
    name = "of_type.of_item.parts.3.numbers"
    lacking = {key: tensor for key, tensor in inputs.items() if key != name}
    with pytest.raises(GraphRecError, match=f"inputs that they read, got {name}"):
        again.restore(lacking)


def test_lower_precision_inside_gives_vectors_in_that_of_the_weights(graph):
    made = built(graph, by_type={"item": ["vector"], "user": ["id"]})
    with torch.autocast("cpu", torch.bfloat16):
        assert made(ITEMS).dtype == made.table("item").dtype == torch.float32
        mixed = made(torch.arange(7))
    assert torch.allclose(mixed, made(torch.arange(7)), atol=1e-3)
    assert made.double()(ITEMS).dtype == torch.float64


def test_another_graph_does_not_fit(graph, other_graph):
    with pytest.raises(GraphRecError, match=r"of 3 user, 4 item, got 3 user, 2 item; try transfer"):
        built(graph).attach_graph(other_graph)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by_type": {"itm": ["id"]}}, "did you mean 'item'"),
        ({"by_type": {"item": []}}, "at least one feature of 'item'"),
        ({"by_type": {"item": ["idd"]}}, "did you mean 'id'"),
        ({"by_type": {"user": ["static_text"]}}, "a text column on 'user'"),
        ({"by_type": {"item": ["mine.Feature"]}}, "trust_code=True"),
        ({"propagation": "lightgnc"}, "did you mean 'lightgcn'"),
    ],
)
def test_bad_configs(graph, options, message):
    with pytest.raises(GraphRecError, match=message):
        built(graph, **options)


def test_unknown_options_are_named():
    with pytest.raises(GraphRecError, match="did you mean 'compose'"):
        Features.checked({"compos": "sum"}, "recipe")
    with pytest.raises(GraphRecError, match=r"id_dropout.*less than 1"):
        Features.checked({"id_dropout": 1.0}, "recipe")


def test_configs_survive_json():
    features = Features(
        by_type={"item": ["id", {"name": "number", "bins": 4}], "*": ["id"]},
        compose="gate",
        id_dropout=0.25,
        propagation={"name": "lightgcn", "layers": 3},
    )
    plain = features.model_dump(mode="json")
    again = Features.checked(plain, "test")
    assert again == features
    assert again.model_dump(mode="json") == plain
