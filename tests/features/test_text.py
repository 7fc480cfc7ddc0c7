"""The text feature with encoders of random weights, against plain calls of them."""

import pytest
import torch
from torch.nn.functional import normalize

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.encoded import batches
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.graph.spec import GraphSpec


@pytest.fixture(scope="session")
def bert_config(tiny_bert, tokenizer):
    """Give a function from options to a config with the tiny encoder."""

    def make(**options):
        return {"name": "text", "encoder": tiny_bert(), "tokenizer": tokenizer, **options}

    return make


def by_hand(encoder, tokenizer, texts, pooling):
    """Encode texts one by one, without padding."""
    found = []
    for text in texts:
        states = encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        found.append(
            {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling].detach()
        )
    return torch.stack(found)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("train", ["frozen", "all"])
def test_equals_plain_calls_on_one_text_at_a_time(
    graph, made, bert_config, tiny_bert, tokenizer, pooling, train
):
    # Eight tokens at once: the batch is cut in three, and one has padding.
    feature = made(graph, bert_config(pooling=pooling, train=train, batch_tokens=10))
    texts = ["a red pen", "A Pen", "the blue cup of tea"]
    given = by_hand(tiny_bert(), tokenizer, texts, pooling)
    expected = feature.feature.map(given)
    torch.testing.assert_close(feature(3, 0, 1, 0), expected[[2, 0, 1, 0]], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(feature(2), feature.feature.missing.weight)
    unit = made(graph, bert_config(pooling=pooling, train=train, unit=True))
    torch.testing.assert_close(
        unit(0), unit.feature.map(normalize(given[:1])), atol=1e-5, rtol=1e-5
    )


def test_long_texts_lose_their_end_and_keep_the_frame(graph, made, bert_config, tiny_bert):
    feature = made(graph, bert_config(longest=5))
    ids = torch.tensor([[2, 7, 8, 9, 3]])  # [CLS] the blue cup [SEP]
    given = tiny_bert()(input_ids=ids).last_hidden_state.mean(1)
    torch.testing.assert_close(feature(3), feature.feature.map(given), atol=1e-5, rtol=1e-5)


def test_attention_pooling_by_hand(graph, made, bert_config, tiny_bert, tokenizer):
    feature = made(graph, bert_config(train=0, pooling="attention"))
    own = feature.feature
    states = tiny_bert()(**tokenizer("a red pen", return_tensors="pt")).last_hidden_state[0]
    score = torch.tanh(states @ own.attend.weight.T + own.attend.bias) @ own.query.weight[0]
    given = (score.softmax(0).unsqueeze(1) * states).sum(0)
    together = feature(3, 0)[1]  # beside a longer text, hence with padding
    torch.testing.assert_close(together, own.map(given), atol=1e-5, rtol=1e-5)
    feature(0, 3).sum().backward()
    assert own.query.weight.grad.any()
    assert not any(p.grad is not None for p in own.encoder.parameters())


def trained(feature):
    feature(0, 1, 3).square().sum().backward()
    return {n for n, p in feature.feature.named_parameters() if p.grad is not None and p.grad.any()}


def test_what_trains(graph, made, bert_config):
    every = trained(made(graph, bert_config(train="all")))
    assert "encoder.embeddings.word_embeddings.weight" in every
    last = trained(made(graph, bert_config(train=2)))
    of_encoder = {name.split(".")[3] for name in last if name.startswith("encoder.")}
    assert of_encoder == {"1", "2"}
    assert "map.weight" in last
    frozen = made(graph, bert_config())
    assert trained(frozen) == {"map.weight", "map.bias"}
    assert not [n for n in frozen.feature.state_dict() if n.startswith("encoder")]


def test_the_object_given_is_copied_and_not_touched(graph, made, tiny_bert, tokenizer):
    encoder = tiny_bert()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    config = {"name": "text", "encoder": encoder, "tokenizer": tokenizer, "train": "all"}
    feature = made(graph, config)
    with torch.no_grad():
        for parameter in feature.feature.encoder.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[n]) for n, value in encoder.state_dict().items())
    assert made(graph, config)(0).any()


def test_a_frozen_encoder_runs_once_for_a_content(graph, other_graph, made, bert_config, tmp_path):
    calls = []

    class Counting(type(bert_config()["encoder"])):
        def forward(self, *given, **named):
            calls.append(1)
            return super().forward(*given, **named)

    encoder = bert_config()["encoder"]
    encoder.__class__ = Counting
    config = bert_config(encoder=encoder, cache=tmp_path)
    first = made(graph, config)
    assert len(calls) == 1
    first.feature.attach_graph(graph)
    second = made(graph, config)
    assert len(calls) == 1  # from memory, then from disk
    assert torch.equal(first(0, 1, 2, 3), second(0, 1, 2, 3))
    first.feature.attach_graph(other_graph)
    assert len(calls) == 2
    made(graph, config | {"pooling": "cls"})
    made(graph, config | {"longest": 4})
    with torch.no_grad():
        encoder.embeddings.word_embeddings.weight[5] += 1
    changed = made(graph, config)
    assert len(calls) == 5
    assert not torch.allclose(changed(0), first(0))
    assert len(list(tmp_path.iterdir())) == 5


def test_a_saved_feature_is_the_same_elsewhere(graph, made, bert_config, tiny_bert):
    feature = made(graph, bert_config(train="all"))
    with torch.no_grad():
        for parameter in feature.feature.parameters():
            parameter += 0.1
    again = made(graph, bert_config(train="all", encoder=tiny_bert(5)), seed=3)
    assert not torch.allclose(again(0), feature(0))
    again.feature.load_state_dict(feature.feature.state_dict())
    assert torch.equal(again(0, 1, 2, 3), feature(0, 1, 2, 3))


def test_dropout_is_on_in_training_only(graph, made, bert_config):
    feature = made(graph, bert_config(train="all"))
    assert torch.equal(feature(0), feature(0))
    feature.feature.train()
    assert not torch.equal(feature(0), feature(0))


@pytest.mark.parametrize("train", ["frozen", "all"])
def test_in_double_precision_and_lower(graph, made, bert_config, train):
    feature = made(graph, bert_config(train=train))
    single = feature(0, 1, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(feature(0, 1, 2, 3), single, atol=0.02, rtol=0.05)
    feature.feature.double()
    feature.feature.attach_graph(graph)
    assert feature(0).dtype == torch.float64
    torch.testing.assert_close(feature(0, 1, 2, 3).float(), single)


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_encoders_of_other_families(graph, made, tokenizer, family):
    from transformers import GPT2Config, GPT2Model, T5Config, T5Model

    sizes = {"vocab_size": 20}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if family == "t5":
            model = T5Model(
                T5Config(**sizes, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
            ).eval()
            half = model.get_encoder()
        else:
            half = model = GPT2Model(
                GPT2Config(**sizes, n_positions=32, n_embd=16, n_layer=2, n_head=2)
            ).eval()
    config = {"name": "text", "encoder": model, "tokenizer": tokenizer, "longest": 16}
    feature = made(graph, config)
    given = by_hand(half, tokenizer, ["a red pen", "the blue cup of tea"], "mean")
    torch.testing.assert_close(feature(0, 3), feature.feature.map(given), atol=1e-5, rtol=1e-5)
    assert trained(made(graph, config | {"train": 1})) > {"map.weight"}


def test_from_a_folder_without_a_word(graph, made, tiny_bert, tokenizer, tmp_path, capfd):
    tiny_bert().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    capfd.readouterr()
    config = {"name": "text", "encoder": str(tmp_path), "train": "frozen"}
    object_given = {"name": "text", "encoder": tiny_bert(), "tokenizer": tokenizer}
    torch.testing.assert_close(made(graph, config)(0, 3), made(graph, object_given)(0, 3))
    assert "Loading" not in "".join(capfd.readouterr())
    built = featurizer.build(config)
    assert featurizer.build(featurizer.config(built)) == built


def test_a_model_that_is_not_here_is_not_fetched(graph, tmp_path):
    config = {"name": "text", "encoder": str(tmp_path / "nowhere")}
    with pytest.raises(GraphRecError, match=r"nowhere.*download: true"):
        featurizer.build(config).build(GraphSpec.of(graph), "item", 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pooling": "attention"}, "train: 0"),
        ({"tokenizer": None}, "the tokenizer of an encoder given as object"),
        ({"longest": 65}, "longest of at most 64, got 65"),
        ({"longest": 2}, "longest of more than 2 special tokens"),
        ({"column": "price"}, "'price' of kind number"),
        ({"train": "some"}, "train"),
        ({"train": -1}, "train"),
        ({"encoder": 3}, "a Hugging Face model, or its folder or name, got int"),
    ],
)
def test_mistakes_are_named(graph, bert_config, options, said):
    with pytest.raises(GraphRecError, match=said):
        featurizer.build(bert_config(**options)).build(GraphSpec.of(graph), "item", 4)


def test_too_many_layers(graph, made, bert_config):
    with pytest.raises(GraphRecError, match="at most the last 3 layers, got 4"):
        made(graph, bert_config(train=4))


def test_batches_hold_every_row_once_and_little_padding():
    length = torch.randint(1, 30, (200,), generator=torch.Generator().manual_seed(0))
    found = list(batches(length, 64))
    assert torch.cat(found).sort().values.tolist() == list(range(200))
    for rows in found:
        assert len(rows) == 1 or len(rows) * int(length[rows].max()) <= 64
    padded = sum(len(rows) * int(length[rows].max()) for rows in found)
    assert padded < 1.15 * int(length.sum())
    assert not list(batches(length[:0], 64))


def test_a_tokenizer_without_special_tokens(graph, made, tiny_bert):
    """The text is all there is: no frame stands around it."""
    from graphrec_pt.tokens.words import Words

    config = {"name": "text", "encoder": tiny_bert(), "tokenizer": "hashed:14"}
    ids = torch.tensor([Words.of("hashed:14").encode("a red pen")])
    states = tiny_bert()(input_ids=ids).last_hidden_state.mean(1)
    feature = made(graph, config)
    torch.testing.assert_close(feature(0), feature.feature.map(states), atol=1e-5, rtol=1e-5)
