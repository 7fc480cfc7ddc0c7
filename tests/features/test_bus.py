"""Segments that see one another's first states, against attention written out."""

import pytest
import torch
from torch.nn.functional import gelu

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.bus import bus_states
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.graph.spec import GraphSpec


def written_out(encoder, segments):
    """Return the states of each segment of one text: a loop over layers, segments and heads."""
    states = [encoder.embeddings(torch.tensor([ids]))[0] for ids in segments]
    for depth, layer in enumerate(encoder.encoder.layer):
        own, states = states, []
        for number, x in enumerate(own):
            bus = [] if depth == 0 else [each[:1] for n, each in enumerate(own) if n != number]
            keys = torch.cat([x, *bus])
            attend, heads = layer.attention, encoder.config.num_attention_heads
            width = x.shape[1] // heads
            mixed = []
            for head in range(heads):
                part = slice(head * width, (head + 1) * width)
                q = attend.self.query(x)[:, part]
                k, v = attend.self.key(keys)[:, part], attend.self.value(keys)[:, part]
                mixed.append((q @ k.T / width**0.5).softmax(1) @ v)
            out = attend.output
            x = out.LayerNorm(out.dense(torch.cat(mixed, 1)) + x)
            wide = gelu(layer.intermediate.dense(x))
            states.append(layer.output.LayerNorm(layer.output.dense(wide) + x))
    return states


TEXTS = [[[2, 4, 5, 3], [2, 6, 3], [2, 7, 8, 9, 3]], [[2, 10, 3], [2, 11, 12, 3]], [[2, 4, 3]]]


@pytest.fixture
def dense():
    ids = torch.zeros(3, 3, 5, dtype=torch.int64)
    seen = torch.zeros(3, 3, 5, dtype=torch.bool)
    for text, segments in enumerate(TEXTS):
        for number, tokens in enumerate(segments):
            ids[text, number, : len(tokens)] = torch.tensor(tokens)
            seen[text, number, : len(tokens)] = True
    return ids, seen, seen.any(2)


def test_equals_attention_written_out(tiny_bert, dense):
    encoder = tiny_bert()
    found = bus_states(encoder, *dense)
    assert found.shape == (3, 3, 5, 16)
    for text, segments in enumerate(TEXTS):
        for number, expected in enumerate(written_out(encoder, segments)):
            mine = found[text, number, : len(expected)]
            torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)


def test_the_encoder_is_left_as_it_was(tiny_bert, dense):
    encoder = tiny_bert()
    ids, seen, _ = dense
    before = encoder(input_ids=ids[:, 0], attention_mask=seen[:, 0].long()).last_hidden_state
    bus_states(encoder, *dense)
    after = encoder(input_ids=ids[:, 0], attention_mask=seen[:, 0].long()).last_hidden_state
    assert torch.equal(before, after)


@pytest.mark.parametrize("train", ["frozen", "all"])
def test_the_feature_pools_words_to_segments_and_segments_to_texts(
    graph, made, tiny_bert, tokenizer, train
):
    options = {"segments": "bus", "segment": 4, "longest": 8, "train": train, "batch_tokens": 12}
    config = {"name": "text", "encoder": tiny_bert(), "tokenizer": tokenizer, **options}
    feature = made(graph, config)
    encoder = tiny_bert()
    # Two words a segment and two segments a text: "a red" + "pen", "a pen", "the blue" + "cup of".
    texts = [[[2, 4, 5, 3], [2, 6, 3]], [[2, 4, 6, 3]], [[2, 7, 8, 3], [2, 9, 11, 3]]]
    means = [
        torch.stack([states.mean(0) for states in written_out(encoder, segments)]).mean(0)
        for segments in texts
    ]
    expected = feature.feature.map(torch.stack(means))
    torch.testing.assert_close(feature(0, 1, 3), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(feature(2), feature.feature.missing.weight)


def test_learned_weights_of_words_and_segments_train(graph, made, tiny_bert, tokenizer):
    options = {"segments": "bus", "segment": 4, "train": 0, "pooling": "attention"}
    config = {"name": "text", "encoder": tiny_bert(), "tokenizer": tokenizer, **options}
    feature = made(graph, config).feature
    feature(torch.tensor([0, 1, 2, 3]), None).square().sum().backward()
    learned = ("attend.weight", "query.weight", "attend_segments.weight", "query_segments.weight")
    for name in learned:
        assert feature.get_parameter(name).grad.abs().sum() > 0, name


def test_the_first_layers_alone(graph, made, tiny_bert, tokenizer):
    config = {"name": "text", "encoder": tiny_bert(), "tokenizer": tokenizer, "layers": 2}
    feature = made(graph, config)
    short = tiny_bert()
    short.encoder.layer = short.encoder.layer[:2]
    states = short(**tokenizer("a Pen", return_tensors="pt")).last_hidden_state[0]
    torch.testing.assert_close(feature(1), feature.feature.map(states.mean(0, keepdim=True)))
    with pytest.raises(GraphRecError, match="at most the first 3 layers"):
        made(graph, {**config, "layers": 4})


def test_options_that_do_not_fit(graph, tiny_bert, tokenizer):
    config = {"name": "text", "encoder": tiny_bert(), "tokenizer": tokenizer, "segments": "bus"}
    with pytest.raises(GraphRecError, match="pooling of segments"):
        featurizer.build({**config, "pooling": "last"})
    with pytest.raises(GraphRecError, match="segment of more than 2"):
        featurizer.build({**config, "segment": 2}).build(GraphSpec.of(graph), "item", 4)
