"""Scores of written texts against references, as functions of token lists.

Papers on explanations and dialogues use different scores under one name; here each variant has a
name of its own. All values are shares; papers print BLEU and ROUGE times 100.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import exp, log
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.ranks import Floats

Text = Sequence[str]
"""The tokens of one text."""
Gram = tuple[str, ...]
Vectors = npt.NDArray[np.floating]
TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
TINY = float(np.finfo(np.float64).tiny)
"""What a precision of 0 counts as inside the logarithm of a sentence BLEU, as in NLTK."""


def tokens_of(text: str) -> list[str]:
    """Return the tokens of a text: lower-cased words and single punctuation marks.

    Scores depend on the tokens, so they compare only between systems that were measured alike.

    Example:
        >>> tokens_of("It's loud, very loud!")
        ["it's", 'loud', ',', 'very', 'loud', '!']
    """
    return TOKEN.findall(text.lower())


def ngrams(text: Text, n: int) -> Counter[Gram]:
    """Count the n-grams of a text."""
    return Counter(zip(*(text[k:] for k in range(n)), strict=False))


class BleuCounts(NamedTuple):
    """What BLEU is computed from, one row per text; sums of rows give the BLEU of several texts.

    Args:
        matches: float64 ``[n, K]``, n-grams that the reference has too, at most as often.
        totals: float64 ``[n, K]``, n-grams of the text.
        length: float64 ``[n]``, tokens of the text.
        reference: float64 ``[n]``, tokens of the reference.
    """

    matches: Floats
    totals: Floats
    length: Floats
    reference: Floats


def bleu_counts(texts: Sequence[Text], references: Sequence[Text], k: int) -> BleuCounts:
    """Count matching n-grams of each text, of the orders 1 to `k`."""
    _check_pairs(texts, references)
    matches, totals = np.zeros((len(texts), k)), np.zeros((len(texts), k))
    for row, (text, reference) in enumerate(zip(texts, references, strict=True)):
        for n in range(1, k + 1):
            matches[row, n - 1] = (ngrams(text, n) & ngrams(reference, n)).total()
            totals[row, n - 1] = max(len(text) - n + 1, 0)
    lengths = [np.array([len(each) for each in some], np.float64) for some in (texts, references)]
    return BleuCounts(matches, totals, *lengths)


def bleu_of_counts(counts: BleuCounts) -> Floats:
    """Return ``BP · exp(1/K Σ_n log p_n)`` of sums of counts: ``[..., K]`` to ``[...]``.

    No smoothing: the BLEU is 0 if an order has no match. ``BP = min(1, exp(1 − r / c))``.
    """
    matches, totals, length, reference = counts
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(matches / totals).mean(axis=-1)
        short = np.minimum(1 - reference / length, 0)
        value = np.exp(logs + short)
    result: Floats = np.where((matches > 0).all(axis=-1), value, 0.0)
    return result


def corpus_bleu(texts: Sequence[Text], references: Sequence[Text], k: int = 4) -> float:
    """Return the BLEU of a corpus (Papineni et al., ACL 2002), as PEPLER, PETER and P5 report it.

    Counts are added up over the corpus before precisions are taken; orders weigh the same.

    Example:
        >>> corpus_bleu([["a", "b", "c"]], [["a", "b", "d"]], k=2)
        0.5773502691896257
    """
    counts = bleu_counts(texts, references, k)
    return float(bleu_of_counts(BleuCounts(*(each.sum(axis=0) for each in counts))))


def sentence_bleu(
    text: Text, reference: Text, k: int = 4, variant: Literal["single", "smoothed"] = "single"
) -> float:
    """Return the BLEU of one text, as papers on dialogues do before they take the mean.

    Args:
        text: What was written.
        reference: What it is compared with.
        k: The order, or the highest one.
        variant: ``single`` uses the precision of order `k` alone (the released code of KGSF and
            UniCRS); ``smoothed`` all orders to `k`, with the seventh smoothing of Chen and Cherry
            (WMT 2014) at its default of 5, as MESE does.
    """
    if not text or not ngrams(text, 1) & ngrams(reference, 1):
        return 0.0
    precision = [_precision(text, reference, n) for n in range(1, k + 1)]
    short = min(1 - len(reference) / len(text), 0)
    if variant == "single":
        return exp(short) * max(precision[-1], TINY)
    logs = [log(max(each, TINY)) for each in _smoothed(precision, text, reference)]
    return exp(short + sum(logs) / k)


def rouge_n(text: Text, reference: Text, n: int, *, sets: bool = False) -> float:
    """Return ROUGE-n (Lin, 2004): F1 of matching n-grams.

    Args:
        text: What was written.
        reference: What it is compared with.
        n: Length of the n-grams.
        sets: Count each different n-gram once, as the code that PEPLER and P5 took from a
            translation system does.
    """
    ours, theirs = ngrams(text, n), ngrams(reference, n)
    if sets:
        ours, theirs = Counter(set(ours)), Counter(set(theirs))
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(text: Text, reference: Text, *, beta: Literal["one", "ratio"] = "one") -> float:
    """Return ROUGE-L (Lin, 2004): ``(1 + β²) R P / (R + β² P)`` of the longest common subsequence.

    Args:
        text: What was written.
        reference: What it is compared with.
        beta: ``one`` is F1; ``ratio`` is ``β = P / R``, as in the code that PEPLER and P5 use.
    """
    common = longest_common(text, reference)
    if not common:
        return 0.0
    precision, recall = common / len(text), common / len(reference)
    square = 1.0 if beta == "one" else (precision / recall) ** 2
    return (1 + square) * precision * recall / (recall + square * precision)


def longest_common(one: Text, other: Text) -> int:
    """Return the length of the longest common subsequence."""
    best = [0] * (len(other) + 1)
    for token in one:
        before = 0
        for place, candidate in enumerate(other, start=1):
            kept = best[place]
            best[place] = before + 1 if token == candidate else max(kept, best[place - 1])
            before = kept
    return best[-1]


def distinct(
    texts: Sequence[Text], n: int, per: Literal["sentences", "ngrams", "each"] = "ngrams"
) -> float:
    """Return Distinct-n, how varied texts are.

    Args:
        texts: What was written.
        n: Length of the n-grams.
        per: ``sentences`` divides the different n-grams of all texts by the number of texts that
            are not empty (KGSF, UniCRS, MESE; may exceed 1); ``ngrams`` by the number of n-grams
            (Li et al., NAACL 2016); ``each`` is the mean of the latter over single texts.
    """
    counts = [ngrams(text, n) for text in texts]
    if per == "each":
        shares = [len(each) / each.total() for each in counts if each]
        return sum(shares) / len(shares) if shares else 0.0
    different = len(set[Gram]().union(*counts)) if counts else 0
    whole = sum(map(bool, texts)) if per == "sentences" else sum(each.total() for each in counts)
    return different / whole if whole else 0.0


def usr(texts: Sequence[Text]) -> float:
    """Return the share of different texts among all (unique sentence ratio; Li et al., 2020)."""
    return len({tuple(text) for text in texts}) / len(texts) if texts else 0.0


def fmr(features: Sequence[Iterable[str]], gold: Sequence[Iterable[str]]) -> float:
    """Return the feature matching ratio: how many texts name a feature of their reference.

    Texts whose reference names no feature are left out.
    """
    _check_pairs(features, gold)
    hits = [bool({*f} & {*g}) for f, g in zip(features, gold, strict=True) if {*g}]
    return sum(hits) / len(hits) if hits else 0.0


def fcr(features: Sequence[Iterable[str]], vocabulary: int) -> float:
    """Return the feature coverage ratio: the share of the vocabulary that any text names."""
    return len(set[str]().union(*features)) / vocabulary if vocabulary else 0.0


def div(features: Sequence[Iterable[str]]) -> float:
    """Return ``2 / (N (N − 1)) Σ_{i<j} |F_i ∩ F_j|``; *lower* is more diverse."""
    named = Counter(name for each in features for name in set(each))
    pairs = len(features) * (len(features) - 1) / 2
    return sum(count * (count - 1) / 2 for count in named.values()) / pairs if pairs else 0.0


def entr(texts: Sequence[Text], orders: int = 3) -> float:
    """Return the mean entropy, in nats, of the distributions of 1-grams to 3-grams (PRAG)."""
    total = 0.0
    for n in range(1, orders + 1):
        counts = np.array(list(sum((ngrams(t, n) for t in texts), Counter[Gram]()).values()))
        if len(counts):
            share = counts / counts.sum()
            total -= float((share * np.log(share)).sum())
    return total / orders


def bertscore(text: Vectors, reference: Vectors) -> float:
    """Return the F1 of greedy matching by cosine (BERTScore, Zhang et al., ICLR 2020).

    Args:
        text: ``[n, D]``, the vector of each token of a text, from an encoder of your choice.
        reference: ``[m, D]``, of its reference.
    """
    if not len(text) or not len(reference):
        return 0.0
    ours, theirs = (
        each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12)
        for each in (text, reference)
    )
    cosine = ours @ theirs.T  # [n, m]
    precision, recall = float(cosine.max(axis=1).mean()), float(cosine.max(axis=0).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def mauve(texts: Vectors, references: Vectors, seed: int = 0) -> float:
    """Return MAUVE (Pillutla et al., NeurIPS 2021) of two sets of texts by their given vectors.

    Args:
        texts: ``[N, D]``, one vector per text.
        references: ``[M, D]``, one vector per reference.
        seed: Of the clustering.

    Raises:
        GraphRecError: Without the library ``mauve-text``.
    """
    try:
        from mauve import compute_mauve
    except ImportError as error:
        hint = "pip install mauve-text faiss-cpu"
        raise GraphRecError("mauve", "the library mauve-text", "none", hint) from error
    result = compute_mauve(
        p_features=texts, q_features=references, seed=seed, verbose=False, device_id=-1
    )
    return float(result.mauve)


def _precision(text: Text, reference: Text, n: int) -> float:
    matches = (ngrams(text, n) & ngrams(reference, n)).total()
    return matches / max(len(text) - n + 1, 1)


def _smoothed(precision: list[float], text: Text, reference: Text) -> list[float]:
    """Return precisions after the fourth and then the fifth smoothing of Chen and Cherry."""
    zeros, filled = 0, []
    for n, value in enumerate(precision, start=1):
        if value == 0 and len(text) > 1:
            zeros += 1
            value = log(len(text)) / (5 * 2**zeros) / max(len(text) - n + 1, 1)
        filled.append(value)
    following = [*filled[1:], _precision(text, reference, 5)]
    before, smooth = filled[0] + 1, []
    for value, after in zip(filled, following, strict=True):
        before = (before + value + after) / 3
        smooth.append(before)
    return smooth


def _f1(common: float, ours: float, theirs: float) -> float:
    return 2 * common / (ours + theirs) if common else 0.0


def _check_pairs(one: Sequence[object], other: Sequence[object]) -> None:
    if len(one) != len(other):
        got = f"{len(one)} and {len(other)}"
        raise GraphRecError("text scores", "one reference for each text", got)
