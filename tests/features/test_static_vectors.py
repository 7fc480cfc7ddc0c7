"""A fixed table of word vectors, and the table that a sentence encoder gives."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.static_vectors import distil_words


@pytest.fixture
def encoder(tiny_bert, tokenizer, tmp_path):
    tiny_bert().save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


def test_a_text_is_the_mean_of_its_words(graph, made, tokenizer, tmp_path):
    table = torch.arange(14 * 3).view(14, 3).float()
    tokenizer.save_pretrained(tmp_path)
    save_file({"words": table}, tmp_path / "words.safetensors")
    config = {"name": "static_vectors", "folder": str(tmp_path), "columns": ["title"]}
    feature = made(graph, config)
    texts = torch.stack([table[[4, 5, 6]].mean(0), table[[4, 6]].mean(0)])  # "a red pen", "A Pen"
    torch.testing.assert_close(feature.feature.given[:2], texts)
    torch.testing.assert_close(feature(0, 1), feature.feature.map(texts))
    torch.testing.assert_close(feature(2), feature.feature.missing.weight)
    both = made(graph, {**config, "columns": ["title", "note"]}).feature
    torch.testing.assert_close(both.given[0], table[[4, 5, 6, 12]].mean(0))  # and "new"
    torch.testing.assert_close(both.given[2], table[[13, 6]].mean(0))  # "old pen"


def test_a_word_is_encoded_as_a_text_of_its_own(encoder, tiny_bert, tmp_path):
    """With all components kept, products of the vectors are those of the centred encodings."""
    distil_words(encoder, tmp_path / "words", width=16, batch=5)
    found = load_file(tmp_path / "words" / "words.safetensors")["words"]
    ids = torch.tensor([[2, word, 3] for word in range(14)])
    with torch.no_grad():
        states = torch.stack(
            [tiny_bert()(input_ids=each[None]).last_hidden_state[0].mean(0) for each in ids]
        )
    centred = states - states.mean(0)
    weighted = centred * torch.log(torch.arange(2, 16).float()).unsqueeze(1)
    torch.testing.assert_close(found @ found.T, weighted @ weighted.T, atol=1e-4, rtol=1e-3)


def test_the_first_components_are_kept(encoder, tmp_path):
    distil_words(encoder, tmp_path / "all", width=16)
    distil_words(encoder, tmp_path / "few", width=3)
    every, few = (
        load_file(tmp_path / name / "words.safetensors")["words"] for name in ("all", "few")
    )
    torch.testing.assert_close(every[:, :3], few)
    spread = (every / torch.log(torch.arange(2, 16).float()).unsqueeze(1)).square().sum(0)
    assert torch.all(spread.diff() <= 1e-3)


def test_the_folder_is_what_the_featurizer_reads(encoder, graph, made, tmp_path):
    distil_words(encoder, tmp_path / "words", width=4)
    feature = made(graph, {"name": "static_vectors", "folder": str(tmp_path / "words")})
    assert feature(0, 1, 2, 3).isfinite().all()


def test_mistakes_are_named(encoder, graph, made, tmp_path):
    with pytest.raises(GraphRecError, match="a width of at most 16"):
        distil_words(encoder, tmp_path / "words", width=17)
    with pytest.raises(GraphRecError, match="graphrec distil"):
        made(graph, {"name": "static_vectors", "folder": str(tmp_path / "nothing")})
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(GraphRecError):
        distil_words(encoder, tmp_path / "there", width=4)
