"""The adaptor with tiny BERT, RoBERTa, GPT-2, Llama and T5 of random weights."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.backbone import backbone
from graphrec_pt.models.prompt import PromptStates

SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = {**SIZE, "intermediate_size": 24, "vocab_size": 30, "initializer_range": 0.4}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
MODELS = {
    "bert": {**SMALL, **QUIET, "max_position_embeddings": 32},
    "roberta": {**SMALL, **QUIET, "max_position_embeddings": 34},
    "gpt2": {**SIZE, "vocab_size": 30, "max_position_embeddings": 32, "initializer_range": 0.4},
    "llama": {**SMALL, "num_key_value_heads": 1},
    "t5": {**SIZE, "d_kv": 8, "d_ff": 24, "vocab_size": 30, "dropout_rate": 0.0},
}
MODES = ("bidirectional", "causal", "prefix", "permuted")
ONE_STACK = ("bert", "roberta", "gpt2", "llama")
DONE = [(family, mode) for family in ONE_STACK for mode in MODES]
DONE += [("t5", mode) for mode in MODES]


def network(family, seed=0, **options):
    config = {"name": "hugging_face", "model": {"model_type": family, **MODELS[family]}}
    return backbone.build(config | {"structure": {"position": 32}} | options).build(seed).eval()


def soft(sequences, size=3, width=16, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn((sequences, size, width), generator=draw).requires_grad_()


def deep(net, sequences, size=2, seed=1):
    draw = torch.Generator().manual_seed(seed)
    layers, heads, wide = net.prompt_shape
    shape = (layers, sequences, heads, size, wide)
    return [torch.randn(shape, generator=draw).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize(("family", "mode"), DONE)
def test_a_batch_equals_its_sequences_one_by_one(make_batch, family, mode):
    lengths = (5, 1, 9, 4)
    batch = make_batch(lengths)
    net = network(family)
    together = net(*batch.given, mode=mode, **batch.needs(mode))
    assert together.shape == batch.x.shape
    for b, length in enumerate(lengths):
        rows = slice(int(batch.ptr[b]), int(batch.ptr[b + 1]))
        needs = {"permuted": {"order": batch.order[rows]}, "prefix": {"prefix": batch.prefix[[b]]}}
        alone = net(
            batch.x[rows],
            torch.tensor([0, length]),
            {"position": batch.structure["position"][rows]},
            mode=mode,
            **needs.get(mode, {}),
        )
        torch.testing.assert_close(alone, together[rows], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("family", "mode"), DONE)
def test_who_sees_whom(make_batch, family, mode):
    """Gradients of each output reach exactly the inputs that the mode allows."""
    batch = make_batch((6,))
    x = batch.x.clone().requires_grad_()
    out = network(family)(x, batch.ptr, {}, mode=mode, **batch.needs(mode))
    for i in range(6):
        (gradient,) = torch.autograd.grad(out[i].square().sum(), x, retain_graph=True)
        reached = (gradient != 0).any(1).tolist()
        for j in range(6):
            sees = {
                "bidirectional": True,
                "causal": j <= i,
                "prefix": j <= i or j < 2,
                "permuted": bool(batch.order[j] <= batch.order[i]),
            }[mode]
            assert reached[j] == sees, (i, j)


@pytest.mark.parametrize("family", MODELS)
def test_a_later_token_changes_nothing_before_it(make_batch, family):
    batch = make_batch((7, 7))
    net, mode = network(family), "prefix" if family == "t5" else "causal"
    before = net(*batch.given, mode=mode, **batch.needs(mode))
    changed = batch.x.clone()
    changed[4] = changed[4].flip(0)
    after = net(changed, batch.ptr, batch.structure, mode=mode, **batch.needs(mode))
    assert torch.equal(before[:4], after[:4])
    assert torch.equal(before[7:], after[7:])
    assert not torch.isclose(before[4:7], after[4:7]).all(1).any()


@pytest.mark.parametrize(("family", "mode"), [("bert", "bidirectional"), ("gpt2", "causal")])
def test_equals_a_plain_call_of_the_model(make_batch, family, mode):
    batch = make_batch((6, 6))
    net = network(family)
    plain = net.model(inputs_embeds=batch.x.view(2, 6, 16)).last_hidden_state.view(12, 16)
    torch.testing.assert_close(net(*batch.given, mode=mode), plain, atol=1e-5, rtol=1e-5)


def test_equals_a_plain_call_of_roberta_by_word(make_batch):
    """Positions start after the padding: shown with word ids, which RoBERTa counts itself."""
    net = network("roberta", words=True)
    words = torch.tensor([5, 6, 7, 8])
    with torch.no_grad():
        net.model.set_input_embeddings(net.words)
        plain = net.model(input_ids=words[None]).last_hidden_state[0]
    ours = net(net.text_embedding(words), torch.tensor([0, 4]), {})
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)


def test_equals_a_plain_call_of_an_encoder_decoder(make_batch):
    batch = make_batch((7, 7))
    net = network("t5")
    x = batch.x.view(2, 7, 16)
    plain = net.model(inputs_embeds=x[:, :3], decoder_inputs_embeds=x[:, 3:])
    states = [plain.encoder_last_hidden_state, plain.last_hidden_state]
    given = {"mode": "prefix", "prefix": torch.tensor([3, 3])}
    ours = net(*batch.given, **given).view(2, 7, 16)
    torch.testing.assert_close(ours, torch.cat(states, 1), atol=1e-5, rtol=1e-5)
    encoded = net(*batch.given, mode="prefix", prefix=torch.tensor([7, 9])).view(2, 7, 16)
    alone = net.model.get_encoder()(inputs_embeds=x).last_hidden_state
    torch.testing.assert_close(encoded, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", MODELS)
def test_soft_tokens_are_seen_by_all_and_trained(batch, family):
    net = network(family)
    mode = {} if family != "t5" else {"mode": "prefix", "prefix": batch.prefix}
    tokens = soft(len(batch.ptr) - 1)
    plain = net(*batch.given, **mode)
    out = net(*batch.given, PromptStates(tokens), **mode)
    assert out.shape == plain.shape
    assert not torch.isclose(out, plain).all(1).any()
    last = int(batch.ptr[-1]) - 1
    (gradient,) = torch.autograd.grad(out[last].square().sum(), tokens)
    assert gradient[-1].any()
    assert not gradient[:-1].any()
    shared = soft(1)
    one, many = net(*batch.given, PromptStates(shared), **mode), shared.expand(5, -1, -1)
    torch.testing.assert_close(one, net(*batch.given, PromptStates(many), **mode))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_soft_tokens_take_no_position_away(batch, family):
    net = network(family, structure={"position": 32})
    name = "position_embeddings" if family == "bert" else "wpe"
    table = next(m for n, m in net.model.named_modules() if n.endswith(name))
    seen = []
    handle = table.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(*batch.given)
    net(*batch.given, PromptStates(soft(1)))
    handle.remove()
    plain, prompted = seen[-2], seen[-1]
    assert torch.equal(prompted[:, :3], torch.zeros_like(prompted[:, :3]))
    real = torch.arange(plain.shape[1]) < batch.ptr.diff().unsqueeze(1)
    assert torch.equal(prompted[:, 3:][real], plain[real])


@pytest.mark.parametrize("family", ONE_STACK)
@pytest.mark.parametrize("mode", ["bidirectional", "causal"])
def test_per_layer_prompts(batch, family, mode):
    net = network(family)
    keys, values = deep(net, 5)
    plain = net(*batch.given, mode=mode)
    out = net(*batch.given, PromptStates(keys=keys, values=values), mode=mode)
    assert not torch.isclose(out, plain).all(1).any()
    last = int(batch.ptr[-1]) - 1
    for side in (keys, values):
        (gradient,) = torch.autograd.grad(out[last].square().sum(), side, retain_graph=True)
        assert gradient[:, -1].flatten(1).any(1).all()
        assert not gradient[:, :-1].any()
    both = PromptStates(soft(5), keys, values)
    assert net(*batch.given, both, mode=mode).shape == plain.shape


def test_a_per_layer_prompt_by_hand(make_batch):
    """With values 0 and keys that match nothing, a prompt takes a known share of attention."""
    batch = make_batch((4,))
    net = network("bert")
    layers, heads, wide = net.prompt_shape
    zeros = torch.zeros(layers, 1, heads, 1, wide)
    attention = net.model.encoder.layer[0].attention.self
    with torch.no_grad():
        for parameter in attention.query.parameters():
            parameter.zero_()  # every score is 0: attention is even
    found = []
    handle = attention.register_forward_hook(lambda _, given, out: found.append(out[0]))
    net(*batch.given)
    plain = found[-1]
    net(*batch.given, PromptStates(keys=zeros, values=zeros))
    handle.remove()
    torch.testing.assert_close(found[-1], plain * 4 / 5, atol=1e-5, rtol=1e-5)


def test_another_width_is_mapped(make_batch):
    batch = make_batch((3, 5))
    net = network("bert", width=16 * 2)
    x = torch.cat([batch.x, batch.x], 1).requires_grad_()
    out = net(x, batch.ptr, batch.structure, PromptStates(soft(2, width=32)))
    assert out.shape == (8, 32)
    out.sum().backward()
    assert x.grad.any()
    assert net.into.weight.grad.any()
    assert net.into.weight.std() > 0.1


def test_structure_is_added(make_batch):
    batch = make_batch((3, 5))
    net = network("bert", structure={"position": 32, "type": 3})
    table = net.structure.tables["of_type"]
    typed = batch.x + table(batch.structure["type"] + 1)
    plain = network("bert")
    plain.model.load_state_dict(net.model.state_dict())
    torch.testing.assert_close(
        net(*batch.given), plain(typed, batch.ptr, batch.structure), atol=1e-5, rtol=1e-5
    )


def test_members_of_a_set_share_a_position(make_batch):
    batch = make_batch((4,))
    net, one_place = network("bert"), {"position": torch.zeros(4, dtype=torch.int64)}
    out = net(batch.x, batch.ptr, one_place)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(net(batch.x[order], batch.ptr, one_place), out[order])
    with pytest.raises(GraphRecError, match="counts tokens itself"):
        network("t5")(batch.x, batch.ptr, one_place)


def test_weights_are_a_function_of_the_seed():
    state = torch.get_rng_state()
    one, same, other = network("bert", 1), network("bert", 1), network("bert", 2)
    assert torch.equal(torch.get_rng_state(), state)
    weights, again = one.state_dict(), same.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    name = "model.encoder.layer.0.output.dense.weight"
    assert not torch.equal(weights[name], other.state_dict()[name])
    assert abs(weights[name].std() - 0.4) < 0.05


def test_every_weight_is_reached(make_batch):
    batch = make_batch((3, 5))
    for family in MODELS:
        net = network(family)
        mode = {"mode": "prefix", "prefix": batch.prefix} if family == "t5" else {}
        net(*batch.given, **mode).square().sum().backward()
        idle = [n for n, p in net.named_parameters() if p.grad is None]
        assert not idle, family


def test_pretrained_weights_and_words(tmp_path, make_batch, capfd):
    batch = make_batch((3, 5))
    from transformers import T5Config, T5Model

    theirs = T5Model(T5Config(**MODELS["t5"])).eval()
    theirs.save_pretrained(tmp_path)
    capfd.readouterr()
    config = {"name": "hugging_face", "model": str(tmp_path), "structure": {}, "words": True}
    net = backbone.build(config).build(0).eval()
    plain = theirs.get_encoder()(inputs_embeds=batch.x[None, :3]).last_hidden_state[0]
    torch.testing.assert_close(net(*batch.given)[:3], plain, atol=1e-5, rtol=1e-5)
    assert torch.equal(net.text_embedding.weight, theirs.shared.weight)
    storages = [value.data_ptr() for value in net.state_dict().values()]
    assert len(set(storages)) == len(storages)  # nothing is there twice, as safetensors demands
    fresh = backbone.build(config | {"pretrained": False}).build(0)
    assert not torch.equal(fresh.text_embedding.weight, theirs.shared.weight)
    assert not "".join(capfd.readouterr())


def test_config_survives_json():
    config = {"name": "hugging_face", "model": {"model_type": "gpt2", **MODELS["gpt2"]}}
    built = backbone.build(config)
    assert built.width == 16
    assert backbone.build(backbone.config(built)) == built


def test_nothing_comes_of_nothing():
    net = network("bert")
    out = net(torch.zeros(0, 16), torch.tensor([0, 0]), {})
    assert out.shape == (0, 16)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model": {"model_type": "brt"}}, "did you mean.*'bert'"),
        ({"model": {}}, "try bert, gpt2, t5"),
        ({"model": {"model_type": "bert", "hiden_size": 8}}, "did you mean 'hidden_size'"),
        ({"model": {"model_type": "bert", **SMALL}, "width": 8, "words": True}, "width 16"),
        ({"model": "no/such/place"}, "download: true"),
    ],
)
def test_bad_configs_are_named(config, said):
    with pytest.raises(GraphRecError, match=said):
        backbone.build({"name": "hugging_face", **config})


def test_bad_input_is_named(batch):
    net = network("gpt2")
    for family, options, said in [
        ("gpt2", {"mode": "permuted_query", "order": batch.order}, "a mode of one stream"),
        ("gpt2", {"mode": "prefix"}, "prefix int64"),
        ("t5", {"mode": "prefix", "prefix": batch.prefix * 0}, "at least one token"),
        (
            "t5",
            {
                "prompt": PromptStates(
                    keys=torch.ones(2, 1, 2, 3, 8), values=torch.ones(2, 1, 2, 3, 8)
                )
            },
            "mode 'bidirectional' with a per-layer prompt, got t5",
        ),
    ]:
        with pytest.raises(GraphRecError, match=said):
            network(family)(*batch.given, **options)
    keys = torch.zeros(3, 1, 2, 1, 8)
    with pytest.raises(GraphRecError, match=r"prompt keys \[2, 5 or 1, 2, P, 8\]"):
        net(*batch.given, PromptStates(keys=keys, values=keys))
    with pytest.raises(GraphRecError, match=r"token vectors \[T, 16\]"):
        net(batch.x[:, :4], batch.ptr, batch.structure)
    with pytest.raises(GraphRecError, match="positions below 32, got 40"):
        net(batch.x, batch.ptr, {"position": batch.structure["position"] + 32})
    with pytest.raises(GraphRecError, match="graph_transformer"):
        net.two_stream()


def test_a_model_that_does_not_obey_is_refused(batch):
    class Deaf(torch.nn.Module):
        """Looks both ways whatever the mask says."""

        def forward(self, inputs_embeds, attention_mask):
            mixed = inputs_embeds + inputs_embeds.mean(1, keepdim=True)
            return type("Out", (), {"last_hidden_state": mixed})

    net = network("bert")
    deaf = Deaf()
    deaf.weight = torch.nn.Parameter(torch.zeros(1))
    net.model = deaf
    assert net(*batch.given, mode="bidirectional").shape == batch.x.shape
    with pytest.raises(GraphRecError, match=r"mode 'causal', got bert \(it sees what is hidden\)"):
        net(*batch.given, mode="causal")
    deaf.forward = lambda inputs_embeds, attention_mask: type(
        "Out", (), {"last_hidden_state": inputs_embeds}
    )
    net._obeyed.clear()
    with pytest.raises(GraphRecError, match="it does not see all"):
        net(*batch.given, mode="bidirectional")
