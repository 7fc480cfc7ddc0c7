"""Soft prompts: a row for each, and what each of them is by a slow or explicit calculation."""

import copy
from dataclasses import replace

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.attachment import attach
from graphrec_pt.models.model import Model
from graphrec_pt.models.prompt import PromptStates
from graphrec_pt.models.prompts.family import prompt
from graphrec_pt.models.prompts.knowledge import mentioned
from graphrec_pt.models.prompts.personalised import askers
from graphrec_pt.models.transfer import transfer
from graphrec_pt.tokens.kind import Kind, Special

ROWS = {
    "soft_tokens": [{}, {"size": 3, "inner": 5}],
    "prefix": [{}, {"size": 2, "inner": 5}],
    "personalised": [{"of": "user"}, {"where": "layers", "size": 2, "inner": 5}],
    "knowledge": [
        {"size": 2},
        {"size": 2, "learned": 1, "where": "tokens", "inner": 5},
    ],
    "gate": [{}, {"types": ["item"], "open": 0.0}],
}
CONFIGS = [{"name": name, **options} for name, rows in ROWS.items() for options in rows]
TINY = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = {"intermediate_size": 12, "vocab_size": 10, "max_position_embeddings": 16}
BERT = {
    "name": "hugging_face",
    "model": {**TINY, **SMALL, "initializer_range": 0.4},
    "structure": {"position": 16},
}


def registered(registry):
    """Return the names of our own members; other tests register theirs."""
    return {n for n in registry.names() if registry.get(n).__module__.startswith("graphrec_pt.")}


def ident(config):
    return "-".join(str(value) for value in config.values())


@pytest.fixture
def bert_of():
    def make(graph, seed=0):
        return Model.of(graph, backbone=BERT, seed=seed).eval()

    return make


@pytest.fixture(params=["graph_transformer", "hugging_face"])
def any_model(request, model_of, bert_of):
    return model_of if request.param == "graph_transformer" else bert_of


@pytest.fixture
def view(graph, view_of):
    """Three sequences of a user and items, the items of the second one twice."""
    user, item = graph.nodes("user").start, graph.nodes("item").start
    return view_of(
        graph,
        [user, item, item + 3],
        [user + 4, item + 1, item + 5, item + 1, item + 5],
        [user + 2, item + 7],
    )


def prompted(model, graph, config, seed=0):
    attach(model, graph, prompt=config, seed=seed)
    return model.eval()


def loud(model, seed=0):
    """Move the prompt away from its small first values."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".prompt." in f".{name}":
                parameter += torch.randn(parameter.shape, generator=draw)
    return model


def test_every_prompt_has_a_row():
    assert registered(prompt) == set(ROWS)


@pytest.mark.parametrize("config", CONFIGS, ids=ident)
def test_a_model_takes_it_on_and_stays_what_it_was(any_model, graph, view, config):
    model = any_model(graph)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    plain = model.encode(view).hidden
    prompted(model, graph, config)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    new = after.keys() - before.keys()
    assert new
    assert all(".prompt." in f".{name}" for name in new)
    states = loud(model).encode(view).hidden
    assert states.shape == plain.shape
    assert not torch.isclose(states, plain).all(1).any()


@pytest.mark.parametrize("config", CONFIGS, ids=ident)
def test_every_weight_of_it_is_reached(any_model, graph, view, view_of, config):
    model = loud(prompted(any_model(graph), graph, config))
    every = [graph.nodes(name).start for name in graph.schema.node_names]
    nobody = replace(
        view_of(graph, every, [graph.nodes("item").start]), root=torch.tensor([-1, -1])
    )
    loss = sum(model.encode(v).hidden.sin().sum() for v in (replace(view, root=None), nobody))
    loss.backward()
    for name, parameter in model.named_parameters():
        if ".prompt." in f".{name}":
            assert parameter.grad is not None, name
            assert bool(parameter.grad.any()), name


@pytest.mark.parametrize("config", CONFIGS, ids=ident)
def test_a_sequence_does_not_depend_on_the_others(any_model, graph, view, config):
    model = loud(prompted(any_model(graph), graph, config))
    together = model.encode(view).hidden
    ptr = view.tokens.ptr
    for b in range(3):
        alone = model.encode(replace(view, tokens=view.tokens.select(b))).hidden
        torch.testing.assert_close(alone, together[ptr[b] : ptr[b + 1]], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("config", CONFIGS, ids=ident)
def test_it_is_saved_with_the_model(any_model, graph, view, config, tmp_path):
    model = loud(prompted(any_model(graph), graph, config))
    model.save_pretrained(tmp_path / "m")
    loaded = Model.from_pretrained(tmp_path / "m")
    assert loaded.shape() == model.shape()
    if config["name"] == "knowledge":
        assert "attach_graph" in (tmp_path / "m" / "README.md").read_text()
        with pytest.raises(GraphRecError, match=r"attach_graph\(graph\)"):
            loaded.encode(view)
        loaded.attach_graph(graph)
    assert torch.equal(loaded.encode(view).hidden, model.encode(view).hidden)
    copied = copy.deepcopy(model)
    assert torch.equal(copied.encode(view).hidden, model.encode(view).hidden)


@pytest.mark.parametrize("config", CONFIGS, ids=ident)
def test_first_weights_are_a_function_of_the_seed(model_of, graph, config):
    first, again, other = (
        prompted(model_of(graph), graph, config, seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("config", CONFIGS, ids=ident)
def test_it_goes_to_another_graph(model_of, world, graph, config):
    model = loud(prompted(model_of(graph), graph, config))
    new, _ = transfer(model, world(seed=3))
    for name, weight in model.state_dict().items():
        if ".prompt." in f".{name}":
            assert torch.equal(new.state_dict()[name], weight), name


def test_a_model_has_one_prompt(model_of, graph):
    model = prompted(model_of(graph), graph, "soft_tokens")
    weights = model.prompt.vectors.weight.clone()
    attach(model, graph, prompt="soft_tokens", seed=5)
    assert torch.equal(model.prompt.vectors.weight, weights)
    with pytest.raises(GraphRecError, match="no other prompt"):
        attach(model, graph, prompt={"name": "soft_tokens", "size": 3})


def test_soft_tokens_are_rows_before_the_sequence(any_model, graph, view):
    model = any_model(graph)
    bare = copy.deepcopy(model)
    loud(prompted(model, graph, {"name": "soft_tokens", "size": 3}))
    rows = model.prompt.vectors.weight
    assert rows.shape == (3, 8)
    expected = bare.encode(view, PromptStates(tokens=rows.unsqueeze(0))).hidden
    assert torch.equal(model.encode(view).hidden, expected)


def test_prefix_by_a_loop(any_model, graph, view):
    model = loud(prompted(any_model(graph), graph, {"name": "prefix", "size": 3, "inner": 5}))
    layers, heads, each = model.backbone.prompt_shape
    made, net = model.prompt(view, model), model.prompt.outlet
    up, down = net.mix[0], net.mix[2]
    for p, row in enumerate(model.prompt.vectors.weight):
        x = row + down.weight @ torch.tanh(up.weight @ row + up.bias) + down.bias
        flat = net.deep.weight @ x + net.deep.bias
        at = 0
        for parts in (made.keys, made.values):
            for layer in range(layers):
                for head in range(heads):
                    expected = flat[at : at + each]
                    torch.testing.assert_close(parts[layer, 0, head, p], expected)
                    at += each


@pytest.mark.parametrize("name", ["soft_tokens", "prefix"])
@pytest.mark.parametrize("rotary", [False, True])
def test_positions_of_the_tokens_stay(model_of, graph, view, name, rotary):
    def fed(model):
        """Return what position table and rotary turns are given."""
        seen = {}
        table, layer = model.backbone.structure, model.backbone.layers[0]

        def of_table(module, given):
            seen["table"] = given[1]["position"]

        def of_layer(module, given):
            frame = given[1]
            items = torch.arange(len(frame.turn[0]) if rotary else 0)
            if rotary and name == "soft_tokens" and model.prompt is not None:
                size = model.prompt.vectors.num_embeddings
                ends = frame.ptr[1:] - frame.ptr[:-1]
                place = torch.cat([torch.arange(int(n)) for n in ends])
                items = items[place >= size]
            seen["turn"] = frame.turn[0][items] if rotary else None

        handles = (
            table.register_forward_pre_hook(of_table),
            layer.register_forward_pre_hook(of_layer),
        )
        model.encode(view)
        for handle in handles:
            handle.remove()
        return seen

    model = model_of(graph, rotary=rotary)
    before = fed(model)
    after = fed(prompted(model, graph, name))
    assert before["table"].tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1]
    assert torch.equal(before["table"], after["table"])
    if rotary:
        assert torch.equal(before["turn"], after["turn"])


@pytest.mark.parametrize("name", ["soft_tokens", "prefix"])
def test_positions_of_the_tokens_stay_in_bert(bert_of, graph, view, name):
    model, seen = bert_of(graph), []
    table = model.backbone.model.embeddings.position_embeddings
    table.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
    model.encode(view)
    before = seen[-1]
    prompted(model, graph, name).encode(view)
    after = seen[-1][:, 8:] if name == "soft_tokens" else seen[-1]
    lengths = (3, 5, 2)
    for b, length in enumerate(lengths):
        assert before[b, :length].tolist() == after[b, :length].tolist() == [*range(length)]


def test_a_generated_prompt_by_its_formula(model_of, graph, view):
    model = model_of(graph)
    loud(prompted(model, graph, {"name": "personalised", "size": 3, "inner": 5}))
    made, net = model.prompt(view, model).tokens, model.prompt
    assert made.shape == (3, 3, 8)
    user = graph.nodes("user").start
    for b, who in enumerate((user, user + 4, user + 2)):
        x = model.nodes(torch.tensor([who]))[0]
        inner = 1 / (1 + torch.exp(-(net.inner.weight @ x + net.inner.bias)))
        flat = net.made.weight @ inner + net.made.bias
        torch.testing.assert_close(made[b].flatten(), flat)


def test_who_asks(graph, view, view_of):
    users, items = graph.nodes("user"), graph.nodes("item")
    kind = list(graph.schema.node_names).index("user")
    assert askers(view, users, kind).tolist() == [users[0], users[4], users[2]]
    silent = view_of(graph, [items[0], users[3], users[4]], [items[1]], [])
    with pytest.raises(GraphRecError, match="2 sequences of nobody; try a linearizer that keeps"):
        askers(silent, users, kind)
    rooted = replace(silent, root=torch.tensor([users[9], users[5], items[0]]))
    assert askers(rooted, users, kind).tolist() == [users[3], users[5], -1]


def test_who_is_to_be_guessed_does_not_ask(graph, view):
    users, tokens = graph.nodes("user"), view.tokens
    hidden = torch.zeros_like(tokens.id, dtype=torch.bool)
    hidden[0] = True
    hop = torch.where(tokens.position == 0, 0, 1)
    masked = replace(
        tokens,
        id=torch.where(hidden, int(Special.MASK), tokens.id),
        kind=torch.where(hidden, int(Kind.SPECIAL), tokens.kind),
        hop=hop,
    )
    roots = torch.tensor([users[0], users[4], users[2]])
    kind = list(graph.schema.node_names).index("user")
    found = askers(replace(view, tokens=masked, root=roots), users, kind)
    assert found.tolist() == [-1, users[4], users[2]]


def test_mentioned_nodes_by_a_loop(graph, view_of):
    items, users = graph.nodes("item"), graph.nodes("user")
    rows = [[users[0], items[1], items[2], items[1], items[3]], [], [items[5]], [users[1]]]
    view = view_of(graph, *rows)
    for wanted in ([items], [items, users]):
        found = mentioned(view, wanted, 3).tolist()
        for row, mine in zip(rows, found, strict=True):
            last = []
            for node in reversed(row):
                if any(node in ids for ids in wanted) and node not in last:
                    last.append(node)
            assert mine == (last + [-1] * 3)[:3]


def test_a_knowledge_prompt_by_loops(model_of, graph, view):
    model = model_of(graph)
    config = {"name": "knowledge", "size": 3, "learned": 1, "where": "tokens"}
    loud(prompted(model, graph, config))
    net, made = model.prompt, model.prompt(view, model).tokens
    vectors = torch.cat([model.table(name) for name in graph.schema.node_names])
    known = net.around(vectors)
    for b in range(3):
        tokens = view.tokens.select(b).id.tolist()
        last = list(dict.fromkeys(reversed(tokens)))[:3]
        torch.testing.assert_close(made[b, 0], net.vectors.weight[0])
        for p in range(3):
            if p >= len(last):
                torch.testing.assert_close(made[b, 1 + p], net.vectors.weight[1 + p])
                continue
            entity = known[last[p]]
            scores = torch.stack([(net.ask.weight @ entity) @ vectors[t] for t in tokens]) / 8
            share = scores.exp() / scores.exp().sum()
            fused = entity + sum(s * vectors[t] for s, t in zip(share, tokens, strict=True))
            torch.testing.assert_close(made[b, 1 + p], fused, atol=1e-5, rtol=1e-4)


def test_knowledge_is_facts_alone(model_of, graph):
    model = prompted(model_of(graph), graph, "knowledge")
    interactions = {r.name for r in graph.schema.relations if r.interaction}
    assert interactions
    assert set(model.prompt.around.relations) == set(graph.schema.relation_names) - interactions


def test_a_gate_by_its_formula(model_of, graph):
    model = model_of(graph)
    plain = {name: model.table(name).clone() for name in graph.schema.node_names}
    loud(prompted(model, graph, {"name": "gate", "types": ["item"]}))
    gate = model.features.of_type.of_item.prompt.map
    x = plain["item"]
    expected = x * torch.sigmoid(x @ gate.weight.T + gate.bias)
    torch.testing.assert_close(model.table("item"), expected)
    item = graph.nodes("item").start
    torch.testing.assert_close(model.nodes(torch.tensor([item + 1]))[0], expected[1])
    assert torch.equal(model.table("user"), plain["user"])


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("soft_token", "did you mean 'soft_tokens'"),
        ({"name": "personalised", "of": "usr"}, "did you mean 'user'"),
        ({"name": "knowledge", "types": ["itm"]}, "did you mean 'item'"),
        ({"name": "knowledge", "of": "words"}, "words: true"),
        ({"name": "gate", "types": ["itm"]}, "did you mean 'item'"),
        ({"name": "soft_tokens", "size": 0}, "size"),
    ],
)
def test_mistakes_are_told(model_of, graph, config, told):
    with pytest.raises(GraphRecError, match=told):
        attach(model_of(graph), graph, prompt=config)


def test_numbers_of_a_profile_are_hidden_in_training_only(graph, model_of, view):
    """Two passes over one view differ in training, by the share that is hidden."""
    config = {"name": "personalised", "of": "user", "hide": 0.25}
    model = loud(prompted(model_of(graph), graph, config))
    assert torch.equal(model.prompt(view, model).tokens, model.prompt(view, model).tokens)
    model.prompt.train()
    torch.manual_seed(0)
    first, second = (model.prompt(view, model).tokens for _ in range(2))
    assert not torch.isclose(first, second).all(2).any()
    hidden = model.prompt.hidden(torch.ones(10_000))
    assert float((hidden == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
