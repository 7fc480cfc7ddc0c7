import pytest
import torch
from torch import nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.backbone import backbone
from graphrec_pt.models.prompt import PromptStates
from graphrec_pt.models.transformer import GraphTransformer

SIZES = {"position": 12, "type": 3, "parent": 12}
MODES = ("bidirectional", "causal", "prefix", "permuted")


def network(seed=0, dtype=torch.float32, **options):
    options = {"width": 16, "structure": SIZES, "dropout": 0.0, **options}
    built = GraphTransformer(**options).build(seed).to(dtype)
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if "edge_bias" in name:  # starts at 0; make it matter
                parameter.normal_(generator=torch.Generator().manual_seed(1))
            elif parameter.ndim > 1:
                parameter *= 10  # first weights are so small that attention is all but even
    return built.eval()


def soft(sequences, size=3, width=16, layers=2, heads=2, seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=draw, dtype=dtype).requires_grad_()

    deep = (layers, sequences, heads, size + 1, width // heads)
    return PromptStates(normal(sequences, size, width), normal(*deep), normal(*deep))


def test_a_seed_names_the_weights_and_nothing_else_moves(batch):
    state = torch.get_rng_state()
    built = GraphTransformer(width=16, structure=SIZES, relations=4).build(7)
    assert torch.get_rng_state().equal(state)
    torch.rand(5)
    again = GraphTransformer(width=16, structure=SIZES, relations=4).build(7)
    other = GraphTransformer(width=16, structure=SIZES, relations=4).build(8)
    weights, same = built.state_dict(), again.state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert not torch.equal(built.layers[0].qkv.weight, other.layers[0].qkv.weight)
    assert abs(weights["layers.0.up.weight"].std() - 0.02) < 0.002
    assert abs(weights["layers.0.out.weight"].std() - 0.01) < 0.002  # 0.02 / √(2 · 2 layers)
    assert not weights["structure.tables.of_type.weight"][0].any()
    assert not weights["layers.1.edge_bias.weight"].any()
    assert weights["norm.weight"].equal(torch.ones(16))


@pytest.mark.parametrize(("activation", "inner"), [("gelu", None), ("relu", 24)])
def test_equals_the_encoder_of_torch(make_batch, activation, inner):
    batch = make_batch((7, 7, 7), dtype=torch.float64)
    ours = network(dtype=torch.float64, activation=activation, inner=inner, structure={})
    expected = batch.x.view(3, 7, 16)
    for layer in ours.layers:
        theirs = nn.TransformerEncoderLayer(
            16, 2, inner or 64, 0.0, activation, batch_first=True, norm_first=True
        ).double()
        names = {
            "self_attn.in_proj_weight": "qkv.weight",
            "self_attn.in_proj_bias": "qkv.bias",
            "self_attn.out_proj.weight": "out.weight",
            "self_attn.out_proj.bias": "out.bias",
            "linear1.weight": "up.weight",
            "linear1.bias": "up.bias",
            "linear2.weight": "down.weight",
            "linear2.bias": "down.bias",
            "norm1.weight": "before_attention.weight",
            "norm1.bias": "before_attention.bias",
            "norm2.weight": "before_feed.weight",
            "norm2.bias": "before_feed.bias",
        }
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(3))
        theirs.load_state_dict({their: layer.state_dict()[own] for their, own in names.items()})
        expected = theirs(expected)
    expected = nn.functional.layer_norm(expected, (16,)).view(21, 16)
    torch.testing.assert_close(ours(batch.x, batch.ptr, {}), expected)


def test_number_of_parameters():
    built = network(layers=3, relations=4)
    layer = (16 * 48 + 48) + (16 * 16 + 16) + (16 * 64 + 64) + (64 * 16 + 16) + 2 * 32 + 4 * 2
    structure = (13 + 4 + 13) * 16
    assert sum(p.numel() for p in built.parameters()) == structure + 3 * layer + 32


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("prompted", [False, True])
def test_causal_never_looks_ahead(batch, rotary, prompted):
    built = network(rotary=rotary, mode="causal", relations=4)
    prompt = soft(5) if prompted else None
    out = built(*batch.given, prompt, edges=batch.edges)
    for j in range(len(batch.x)):
        x = batch.x.clone()
        x[j] = 10.0 + torch.arange(16)
        again = built(x, batch.ptr, batch.structure, prompt, edges=batch.edges)
        sequence = int(torch.searchsorted(batch.ptr, j, right=True)) - 1
        touched = torch.zeros(len(x), dtype=torch.bool)
        touched[j : int(batch.ptr[sequence + 1])] = True
        changed = (again != out).any(1)
        assert not changed[~touched].any()
        assert changed[touched].all()


@pytest.mark.parametrize("mode", MODES)
def test_sequences_are_independent(batch, mode):
    built = network(mode=mode, rotary=True, relations=4)
    prompt = soft(5)
    needs = batch.needs(mode)
    out = built(*batch.given, prompt, edges=batch.edges, **needs)
    for b in range(5):
        low, high = int(batch.ptr[b]), int(batch.ptr[b + 1])
        inside = (batch.edges[:, 0] >= low) & (batch.edges[:, 0] < high)
        alone = built(
            batch.x[low:high],
            torch.tensor([0, high - low]),
            {name: column[low:high] for name, column in batch.structure.items()},
            PromptStates(
                prompt.tokens[b : b + 1], prompt.keys[:, b : b + 1], prompt.values[:, b : b + 1]
            ),
            edges=batch.edges[inside] - torch.tensor([low, 0, low]),
            **{n: v[low:high] if n == "order" else v[b : b + 1] for n, v in needs.items()},
        )
        torch.testing.assert_close(alone, out[low:high], rtol=1e-4, atol=1e-5)


def test_everything_given_has_an_effect(batch):
    built = network(rotary=True, relations=4)
    prompt = soft(5)
    out = built(*batch.given)
    moved = {**batch.structure, "type": (batch.structure["type"] + 1) % 3}
    others = [
        built(batch.x, batch.ptr, moved),
        built(*batch.given, PromptStates(tokens=prompt.tokens)),
        built(*batch.given, PromptStates(keys=prompt.keys, values=prompt.values)),
        built(*batch.given, edges=batch.edges),
        built(*batch.given, mode="causal"),
        built(*batch.given, mode="prefix", prefix=batch.prefix),
        built(*batch.given, mode="permuted", order=batch.order),
    ]
    for i, other in enumerate(others):
        assert not torch.allclose(other, out, atol=1e-4), i


def test_rotary_sees_distances_only(batch):
    built = network(rotary=True, structure={})
    column = {"position": batch.structure["position"]}
    far = {"position": batch.structure["position"] + 1000}
    wide = {"position": batch.structure["position"] * 2}
    out = built(batch.x, batch.ptr, column)
    torch.testing.assert_close(built(batch.x, batch.ptr, {}), out)  # counted by itself
    torch.testing.assert_close(built(batch.x, batch.ptr, far), out, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(built(batch.x, batch.ptr, wide), out, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_soft_tokens_equal_tokens_put_there_by_hand(batch, mode):
    built = network(structure={}, mode=mode, rotary=True, relations=4)
    prompt = soft(1)
    pieces, place, positions, order = [], [], [], []
    for low, high in zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True):
        start = sum(len(piece) for piece in pieces) + 3
        place += range(start, start + high - low)
        pieces += [prompt.tokens[0], batch.x[low:high]]
        positions += range(-3, high - low)
        order += [0, 1, 2, *(3 + n for n in batch.order[low:high].tolist())]
    ptr = batch.ptr + 3 * torch.arange(6)
    needs = {"order": torch.tensor(order)} if mode == "permuted" else {}
    needs |= {"prefix": batch.prefix + 3} if mode == "prefix" else {}
    edges = [(place[i], r, place[j]) for i, r, j in batch.edges.tolist()]
    expected = built(
        torch.cat(pieces),
        ptr,
        {"position": torch.tensor(positions)},
        edges=torch.tensor(edges),
        **needs,
    )[place]
    given = PromptStates(tokens=prompt.tokens)
    out = built(*batch.given, given, edges=batch.edges, **batch.needs(mode))
    torch.testing.assert_close(out, expected)


def test_an_edge_biases_what_its_source_sees(batch):
    built = network(layers=1, relations=4)
    out = built(*batch.given, edges=torch.empty(0, 3, dtype=torch.int64))
    one = built(*batch.given, edges=torch.tensor([[7, 2, 9]]))
    assert (one != out).any(1).nonzero().flatten().tolist() == [7]
    bias = built.layers[0].edge_bias.weight
    with torch.no_grad():
        bias[2] = -1e4  # token 7 no longer sees token 9
    x = batch.x.clone()
    x[9] += 5 * torch.arange(16)
    cut = torch.tensor([[7, 2, 9]])
    before, after = (built(v, batch.ptr, batch.structure, edges=cut) for v in (batch.x, x))
    assert before[7].equal(after[7])
    assert not before[8].equal(after[8])


def test_an_empty_prompt_changes_nothing(batch):
    built = network(relations=4)
    nothing = PromptStates(torch.empty(1, 0, 16), *torch.empty(2, 2, 1, 2, 0, 8))
    for mode in MODES:
        needs = batch.needs(mode)
        out = built(*batch.given, nothing, mode=mode, edges=batch.edges, **needs)
        same = built(*batch.given, mode=mode, edges=batch.edges, **needs)
        torch.testing.assert_close(out, same)


def test_frozen_network_trains_its_prompt(batch):
    built = network().requires_grad_(False)
    prompt = soft(5)
    built(*batch.given, prompt).pow(3).sum().backward()
    for given in (prompt.tokens, prompt.keys, prompt.values):
        by_sequence = given.grad.transpose(0, 1) if given.ndim == 5 else given.grad
        has = by_sequence.flatten(1).any(1)
        assert has.tolist() == [True, False, True, True, True]  # the second has no tokens
    assert all(p.grad is None for p in built.parameters())


@pytest.mark.parametrize("prompted", [False, True])
def test_two_streams_leak_nothing(batch, prompted):
    built = network(rotary=True)
    prompt = soft(5) if prompted else None
    start = torch.zeros(len(batch.x), 16) + 0.1
    given = start, batch.ptr, batch.structure, batch.order, prompt
    content, asking = built.two_stream(batch.x, *given)
    torch.testing.assert_close(
        content, built(*batch.given, prompt, mode="permuted", order=batch.order)
    )
    for j in range(len(batch.x)):
        x = batch.x.clone()
        x[j] = 10.0 + torch.arange(16)
        new_content, new_asking = built.two_stream(x, *given)
        sequence = int(torch.searchsorted(batch.ptr, j, right=True)) - 1
        inside = torch.zeros(len(x), dtype=torch.bool)
        inside[int(batch.ptr[sequence]) : int(batch.ptr[sequence + 1])] = True
        later = inside & (batch.order > batch.order[j])
        assert (new_asking != asking).any(1).equal(later)  # not even the token itself
        later[j] = True
        assert (new_content != content).any(1).equal(later)


def test_checkpointing_gives_equal_gradients(batch):
    plain, saving = network(relations=4), network(relations=4, checkpointing=True)
    prompt = soft(5)
    parts = prompt.tokens, prompt.keys, prompt.values

    def gradients(built):
        out = built(*batch.given, prompt, edges=batch.edges)
        return torch.autograd.grad(out.pow(3).sum(), [*built.parameters(), *parts])

    for ours, theirs in zip(gradients(plain), gradients(saving), strict=True):
        assert ours.equal(theirs)
    kept = {}
    for name, built in (("plain", plain), ("saving", saving)):
        sizes = []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        )
        with hooks:
            built(*batch.given)
        kept[name] = sum(sizes)
    assert kept["saving"] < kept["plain"] / 3


def test_dropout_in_training_only(batch):
    built = network(dropout=0.5, attention_dropout=0.5)
    assert built(*batch.given).equal(built(*batch.given))
    built.train()
    assert not built(*batch.given).equal(built(*batch.given))


def test_gradcheck(make_batch):
    batch = make_batch((2, 3), dtype=torch.float64)
    built = network(dtype=torch.float64, relations=4, rotary=True, mode="causal")
    x = batch.x.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: built(x, batch.ptr, batch.structure, edges=batch.edges), (x,), fast_mode=True
    )


def test_no_tokens():
    none = {name: torch.empty(0, dtype=torch.int64) for name in SIZES}
    for ptr in (torch.tensor([0]), torch.tensor([0, 0, 0])):
        for prompt in (None, soft(1)):
            out = network()(torch.empty(0, 16), ptr, none, prompt)
            assert out.shape == (0, 16)


def test_config_goes_through_the_registry():
    config = backbone.build({"name": "graph_transformer", "width": 32, "rotary": True})
    assert config == GraphTransformer(width=32, rotary=True)
    assert backbone.build(backbone.config(config)) == config
    with pytest.raises(GraphRecError, match="did you mean 'width'"):
        backbone.build({"name": "graph_transformer", "widht": 32})
    with pytest.raises(GraphRecError, match="heads that divide 64, got 3"):
        backbone.build({"name": "graph_transformer", "heads": 3})
    with pytest.raises(GraphRecError, match="even width for rotary, got 3"):
        backbone.build({"name": "graph_transformer", "width": 6, "heads": 2, "rotary": True})


def test_bad_input(batch):
    built = network(relations=4)
    x, ptr, structure = batch.given
    with pytest.raises(GraphRecError, match=r"token vectors \[T, 16\]"):
        built(x[:, 1:], ptr, structure)
    with pytest.raises(GraphRecError, match="a column 'type', got none"):
        built(x, ptr, {"position": structure["position"], "parent": structure["parent"]})
    with pytest.raises(GraphRecError, match=r"type in \[-1, 3\), got 4; try a larger size"):
        built(x, ptr, {**structure, "type": structure["type"] + 2})
    with pytest.raises(GraphRecError, match=r"type as int64 \[19\]"):
        built(x, ptr, {**structure, "type": structure["type"][1:]})
    with pytest.raises(GraphRecError, match="ptr ascending from 0 to 19"):
        built(x, ptr[:-1], structure)
    with pytest.raises(GraphRecError, match=r"relations of edges in \[0, 4\), got 4"):
        built(x, ptr, structure, edges=torch.tensor([[0, 4, 1]]))
    with pytest.raises(GraphRecError, match=r"edges between tokens in \[0, 19\), got -1"):
        built(x, ptr, structure, edges=torch.tensor([[0, 0, -1]]))
    with pytest.raises(GraphRecError, match=r"soft tokens \[5 or 1, P, 16\]"):
        built(x, ptr, structure, PromptStates(tokens=torch.ones(2, 3, 16)))
    with pytest.raises(GraphRecError, match="prompt keys of 2 layers, got 3"):
        built(x, ptr, structure, soft(5, layers=3))
    with pytest.raises(GraphRecError, match="both or neither"):
        PromptStates(keys=torch.ones(2, 1, 2, 3, 8))
    with pytest.raises(GraphRecError, match=r"order int64 \[19\]"):
        built(x, ptr, structure, mode="permuted")
