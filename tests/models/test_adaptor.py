"""Adaptors: a row for each, on both backbones, and what they compute."""

import sys

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.adaptor import adaptor
from graphrec_pt.models.attachment import attach
from graphrec_pt.models.model import Model

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
MODELS = {
    "bert": {**SIZES, "intermediate_size": 12, "vocab_size": 10, "max_position_embeddings": 16},
    "gpt2": {**SIZES, "vocab_size": 10, "max_position_embeddings": 16},
    "llama": {**SIZES, "intermediate_size": 12, "vocab_size": 10, "num_key_value_heads": 1},
    "t5": {**SIZES, "d_kv": 4, "d_ff": 12, "vocab_size": 10, "num_decoder_layers": 2},
}
ENDS = {"graph_transformer": 2, "bert": 4, "gpt2": 4, "llama": 4, "t5": 10}  # T5 has a decoder too
ROWS = {
    "bottleneck": [{}, {"inner": 3}],
    "moe": [{}, {"types": ["item"]}],
    "lora": [{"rank": 2}],
}
CONFIGS = [{"name": n, **options} for n in ("bottleneck", "moe") for options in ROWS[n]]


def ident(config):
    return "-".join(str(value) for value in config.values())


@pytest.fixture
def of(model_of):
    """Give a function from a graph and the name of a backbone to a small model."""

    def make(graph, family="graph_transformer"):
        if family == "graph_transformer":
            return model_of(graph)
        structure = {} if family == "t5" else {"position": 16}
        config = {"model_type": family, **MODELS[family]}
        backbone = {"name": "hugging_face", "model": config, "structure": structure}
        return Model.of(graph, backbone=backbone).eval()

    return make


@pytest.fixture
def view(graph, view_of):
    user, item = graph.nodes("user").start, graph.nodes("item").start
    return view_of(graph, [user, item, item + 3], [user + 4, item + 1, item + 5])


def added(model, before):
    return {name for name in model.state_dict() if name not in before}


def test_every_adaptor_has_a_row():
    ours = {n for n in adaptor.names() if adaptor.get(n).__module__.startswith("graphrec_pt.")}
    assert ours == set(ROWS)


@pytest.mark.parametrize("config", CONFIGS, ids=ident)
@pytest.mark.parametrize("family", ["graph_transformer", "bert"])
def test_a_model_takes_it_on(of, graph, view, family, config, tmp_path):
    model = of(graph, family)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    plain = model.encode(view).hidden
    attach(model, adaptor=config, seed=1)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    new = added(model, before)
    assert new
    assert all(".adaptor." in name for name in new)
    states = model.eval().encode(view).hidden
    assert not torch.equal(states, plain)
    assert float((states - plain).detach().abs().max()) < 0.2 * float(plain.detach().abs().max())
    model.train().encode(view).hidden.sin().sum().backward()
    for name, parameter in model.named_parameters():
        if name in new and "of_" not in name:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.any()), name
    model.eval().save_pretrained(tmp_path / "m")
    loaded = Model.from_pretrained(tmp_path / "m")
    assert torch.equal(loaded.encode(view).hidden, states)


@pytest.mark.parametrize("family", [*MODELS, "graph_transformer"])
def test_a_bottleneck_at_the_end_of_every_branch(of, graph, view, family):
    model = of(graph, family)
    before = model.state_dict().keys()
    attach(model, adaptor={"name": "bottleneck", "inner": 3})
    new = added(model, before)
    hosts = {name.rsplit(".adaptor.", 1)[0] for name in new}
    assert len(hosts) == ENDS[family]
    size = sum(model.state_dict()[name].numel() for name in new)
    assert size == ENDS[family] * (8 * 3 + 3 + 3 * 8 + 8)
    assert model.encode(view).hidden.shape == (6, 8)


def test_a_bottleneck_by_its_formula(of, graph):
    model = of(graph)
    attach(model, adaptor={"name": "bottleneck", "inner": 3})
    host = model.backbone.layers[0].out
    net, x = host.adaptor, torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    plain = x @ host.weight.T + host.bias
    inner = plain @ net.down.weight.T + net.down.bias
    inner = inner * (1 + torch.erf(inner / 2**0.5)) / 2
    expected = plain + inner @ net.up.weight.T + net.up.bias
    torch.testing.assert_close(host(x), expected)


def test_places_of_ones_own(of, graph):
    model = of(graph)
    before = model.state_dict().keys()
    attach(model, adaptor={"name": "bottleneck", "places": ["layers.0.up"]})
    assert {name.split(".adaptor.")[0] for name in added(model, before)} == {"backbone.layers.0.up"}
    with pytest.raises(GraphRecError, match=r"linear maps at its places.*layers\.0\.qkv"):
        attach(of(graph), adaptor={"name": "bottleneck", "places": ["layer.*"]})


def test_experts_by_a_loop(of, graph):
    model = of(graph)
    x = model.table("item").clone()
    attach(model.eval(), adaptor={"name": "moe", "types": ["item"]})
    model.eval()
    net = model.features.of_type.of_item.adaptor.experts
    share = (x @ net.gate.weight.T).softmax(1)
    expected = x.clone()
    for k, expert in enumerate(net.experts):
        expected += share[:, [k]] * ((x - expert.center) @ expert.map.weight.T)
    torch.testing.assert_close(model.table("item"), expected)


def test_lora_asks_for_what_it_needs(of, graph, monkeypatch):
    with pytest.raises(GraphRecError, match="the backbone hugging_face, got Transformer"):
        attach(of(graph), adaptor="lora")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(GraphRecError, match="expected peft, got not installed; try pip install"):
        attach(of(graph, "bert"), adaptor="lora")


def test_lora(of, graph, view, tmp_path):
    pytest.importorskip("peft")
    model = of(graph, "bert")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    plain = model.encode(view).hidden
    attach(model, adaptor={"name": "lora", **ROWS["lora"][0]}, seed=1)
    assert torch.equal(model.eval().encode(view).hidden, plain)
    named = dict(model.named_parameters())
    lora = {name: p for name, p in named.items() if ".adaptor." in name}
    assert sum(p.numel() for p in lora.values()) == 2 * 2 * (2 * 8 + 8 * 2)  # query, value; A, B
    assert all(parameter.requires_grad for parameter in named.values())
    kept = {name.replace(".base_layer", ""): p for name, p in named.items() if name not in lora}
    assert kept.keys() == before.keys()
    assert all(torch.equal(before[name], kept[name]) for name in before)
    with torch.no_grad():
        for parameter in lora.values():
            parameter += 0.1
    states = model.encode(view).hidden
    assert not torch.isclose(states, plain).all()
    model.save_pretrained(tmp_path / "m")
    assert torch.equal(Model.from_pretrained(tmp_path / "m").encode(view).hidden, states)
    with pytest.raises(GraphRecError, match=r"maps to adapt.*targets"):
        attach(of(graph, "bert"), adaptor={"name": "lora", "targets": ["qery"]})
