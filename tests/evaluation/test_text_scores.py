"""Scores of texts against other libraries, and by hand."""

import warnings
from collections.abc import Sequence
from math import log

import numpy as np
import pytest

from graphrec_pt import GraphRecError
from graphrec_pt.evaluation.text_scores import (
    bertscore,
    bleu_counts,
    corpus_bleu,
    distinct,
    div,
    entr,
    fcr,
    fmr,
    mauve,
    rouge_l,
    rouge_n,
    sentence_bleu,
    tokens_of,
    usr,
)

Texts = list[list[str]]


def drawn(seed: int, many: int = 40, words: int = 12) -> tuple[Texts, Texts]:
    """Texts of few words, so that n-grams match; some are shorter than four tokens."""
    draw = np.random.default_rng(seed)

    def some() -> Texts:
        sizes = draw.integers(1, 14, many)
        return [[f"w{n}" for n in draw.integers(0, words, size)] for size in sizes]

    references = some()
    texts = [
        [token if draw.random() < 0.7 else other for token, other in zip(a, b, strict=False)] or a
        for a, b in zip(references, some(), strict=True)
    ]
    return texts, references


def joined(texts: Sequence[Sequence[str]]) -> list[str]:
    return [" ".join(text) for text in texts]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_corpus_bleu_is_that_of_sacrebleu(k: int) -> None:
    from sacrebleu.metrics.bleu import BLEU

    for seed in range(3):
        texts, references = drawn(seed)
        oracle = BLEU(tokenize="none", smooth_method="none", max_ngram_order=k, force=True)
        expected = oracle.corpus_score(joined(texts), [joined(references)]).score / 100
        assert corpus_bleu(texts, references, k) == pytest.approx(expected, abs=1e-9)


def test_corpus_bleu_by_hand() -> None:
    # 2 of 3 words and 1 of 2 pairs match; the text is as long as the reference.
    assert corpus_bleu([["a", "b", "c"]], [["a", "b", "d"]], 2) == pytest.approx((1 / 3) ** 0.5)
    # One token of a reference of three: BP = exp(1 − 3).
    assert corpus_bleu([["a"]], [["a", "b", "d"]], 1) == pytest.approx(np.exp(-2))
    assert corpus_bleu([["a", "b"]], [["b", "a"]], 2) == 0  # no pair matches: no smoothing
    assert corpus_bleu([[]], [["a"]], 1) == 0
    assert corpus_bleu([["the"] * 7], [["the", "cat", "the"]], 1) == pytest.approx(2 / 7)


def test_counts_of_parts_add_up() -> None:
    counts = bleu_counts(*drawn(1), 4)
    whole = [each.sum(axis=0) for each in counts]
    texts, references = drawn(1)
    parts, rest = (
        bleu_counts(texts[some], references[some], 4) for some in (slice(20), slice(20, None))
    )
    for total, one, two in zip(whole, parts, rest, strict=True):
        assert np.array_equal(total, one.sum(axis=0) + two.sum(axis=0))


@pytest.mark.parametrize("variant", ["single", "smoothed"])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_sentence_bleu_is_that_of_nltk(variant: str, k: int) -> None:
    from nltk.translate import bleu_score

    if variant == "single":
        weights = tuple(float(n == k) for n in range(1, k + 1))
        smooth = bleu_score.SmoothingFunction().method0
    else:
        weights, smooth = (1 / k,) * k, bleu_score.SmoothingFunction().method7
    for text, reference in zip(*drawn(2), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = bleu_score.sentence_bleu(
                [reference], text, weights=weights, smoothing_function=smooth
            )
        found = sentence_bleu(text, reference, k, variant)  # type: ignore[arg-type]
        assert found == pytest.approx(expected, abs=1e-9), (text, reference)


def test_rouge_is_that_of_google() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    for text, reference in zip(*drawn(3), strict=True):
        expected = scorer.score(" ".join(reference), " ".join(text))
        assert rouge_n(text, reference, 1) == pytest.approx(expected["rouge1"].fmeasure)
        assert rouge_n(text, reference, 2) == pytest.approx(expected["rouge2"].fmeasure)
        assert rouge_l(text, reference) == pytest.approx(expected["rougeL"].fmeasure)


def test_rouge_of_sets_by_hand() -> None:
    text, reference = ["a", "a", "b"], ["a", "c", "c", "c"]
    assert rouge_n(text, reference, 1) == pytest.approx(2 * 1 / (3 + 4))
    assert rouge_n(text, reference, 1, sets=True) == pytest.approx(2 * 1 / (2 + 2))
    # P = 2/3, R = 2/4, β = 4/3: (1 + 16/9) · 1/3 / (1/2 + 16/9 · 2/3).
    found = rouge_l(["a", "x", "b"], ["a", "b", "c", "d"], beta="ratio")
    assert found == pytest.approx((25 / 9 / 3) / (1 / 2 + 32 / 27))
    assert rouge_l(["x"], ["y"]) == rouge_n([], ["y"], 1) == rouge_l([], ["y"]) == 0


def test_distinct_in_each_variant() -> None:
    texts = [["a", "b"], ["a", "b", "a"], []]
    assert distinct(texts, 1, "sentences") == 2 / 2  # the empty text is no sentence
    assert distinct(texts, 1, "ngrams") == 2 / 5
    assert distinct(texts, 1, "each") == pytest.approx((1 + 2 / 3) / 2)
    assert distinct(texts, 2, "ngrams") == 2 / 3
    assert distinct([], 1) == distinct([[]], 1, "each") == 0


def test_scores_of_explanations_by_hand() -> None:
    assert usr([["a"], ["a"], ["b"], []]) == 3 / 4
    features: list[set[str]] = [{"x", "y"}, {"x"}, set(), {"x", "y"}]
    gold: list[set[str]] = [{"y"}, {"z"}, {"x"}, set()]
    assert fmr(features, gold) == 1 / 3  # the last reference names none
    assert fcr(features, 5) == 2 / 5
    # Pairs: 01 share x, 03 share both, 13 share x, all others none.
    assert div(features) == pytest.approx((1 + 2 + 1) / 6)
    quick = sum(len(a & b) for n, a in enumerate(features) for b in features[:n]) / 6
    assert div(features) == pytest.approx(quick)
    assert div([{"x"}]) == 0


def test_entropy_by_hand() -> None:
    texts = [["a", "b"], ["a", "c"]]
    one = -(0.5 * log(0.5) + 2 * 0.25 * log(0.25))
    assert entr(texts) == pytest.approx((one + log(2) + 0) / 3)


def test_bertscore_by_hand() -> None:
    text, reference = np.array([[2.0, 0], [0, 1]]), np.array([[1.0, 0], [1, 1], [0, 3]])
    recall = (1 + 0.5**0.5 + 1) / 3
    assert bertscore(text, reference) == pytest.approx(2 * recall / (1 + recall))
    assert bertscore(text, text) == pytest.approx(1)
    assert bertscore(text[:0], reference) == 0


def test_mauve_tells_equal_from_different() -> None:
    pytest.importorskip("mauve")
    draw = np.random.default_rng(0)
    ours = draw.normal(size=(120, 4)).astype(np.float32)
    near = draw.normal(size=(120, 4)).astype(np.float32)
    assert mauve(ours, near) > 0.8 > 0.2 > mauve(ours, near + 20)


def test_tokens() -> None:
    assert tokens_of("It's LOUD – 9v, ок!") == ["it's", "loud", "–", "9v", ",", "ок", "!"]
    assert tokens_of("  ") == []


def test_pairs_that_do_not_match() -> None:
    with pytest.raises(GraphRecError, match="one reference for each text, got 1 and 0"):
        corpus_bleu([["a"]], [])
