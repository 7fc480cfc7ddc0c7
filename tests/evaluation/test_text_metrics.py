"""Metrics of written texts: as the functions on whole corpora, and over resamples."""

from collections.abc import Callable, Sequence
from math import exp
from typing import Any

import numpy as np
import polars as pl
import pytest

from graphrec_pt import GraphRecError, Key
from graphrec_pt.evaluation import text_scores as scores
from graphrec_pt.evaluation.intervals import compare, resampled
from graphrec_pt.evaluation.metric import evaluate, measurable, per_user, statistic
from graphrec_pt.evaluation.outcome import write_outcomes
from graphrec_pt.evaluation.written import COLUMNS, Written, read_written, written_table
from graphrec_pt.training.weights import lower_is_better

WORDS = ["the", "amp", "is", "loud", "my", "strap", "feels", "good", "this", "pedal", "hums"]
NAMES = ("amp", "strap", "pedal")


def drawn(seed: int = 0, users: int = 12, likely: bool = True, missing: bool = True) -> Written:
    """Texts of few words about pairs; some references are missing and some texts empty."""
    draw = np.random.default_rng(seed)
    pairs = [(f"u{u}", f"i{n}") for u in range(users) for n in range(1 + u % 4)]

    def text(least: int) -> str:
        return " ".join(draw.choice(WORDS, draw.integers(least, 12)))

    rows = []
    for n, (user, item) in enumerate(pairs):
        told, gold = text(0), text(1)
        rows.append(
            {
                "user": user,
                "item": item,
                "reference": None if missing and n % 7 == 3 else gold,
                "text": told,
                "features": sorted({*told.split()} & {*NAMES}),
                "gold": sorted({*gold.split()} & {*NAMES}),
                "items": told.split().count("amp"),
                "gold_items": gold.split().count("amp"),
                "stated": 3,
                "grounded": n % 4,
            }
        )
    table = pl.DataFrame(rows, schema_overrides={"reference": pl.String})
    there = table["reference"].is_not_null()
    nll = (draw.random(len(table)) * 30 + 1).tolist(), (there * draw.integers(1, 9, len(table)))
    policy = {"history": "train + valid", "features": "5", "references": "some"}
    return Written(
        written_table("test", table, (nll[0], nll[1].to_list()) if likely else None), policy
    )


def parts(outcome: Written) -> tuple[list[list[str]], list[list[str]]]:
    known = outcome.table.filter(pl.col("reference").is_not_null())
    return tuple([text.split() for text in known[name]] for name in ("text", "reference"))  # type: ignore[return-value]


def mean(score: Callable[[list[str], list[str]], float]) -> Callable[[Written], float]:
    def of(outcome: Written) -> float:
        values: list[float] = [
            score(text, gold) for text, gold in zip(*parts(outcome), strict=True)
        ]
        return float(sum(values)) / len(values)

    return of


def column(outcome: Written, name: str) -> list[Any]:
    return outcome.table[name].to_list()


def nll(outcome: Written) -> float:
    return float(sum(each for each in column(outcome, "nll") if each is not None))


def texts(outcome: Written) -> list[list[str]]:
    return [text.split() for text in column(outcome, "text")]


EXPECTED: dict[str, Callable[[Written], float]] = {
    "bleu@1": lambda w: scores.corpus_bleu(*parts(w), 1),
    "bleu@2": lambda w: scores.corpus_bleu(*parts(w), 2),
    "bleu_single@2": mean(lambda a, b: scores.sentence_bleu(a, b, 2, "single")),
    "bleu_smoothed@4": mean(lambda a, b: scores.sentence_bleu(a, b, 4, "smoothed")),
    "rouge@1": mean(lambda a, b: scores.rouge_n(a, b, 1)),
    "rouge_sets@2": mean(lambda a, b: scores.rouge_n(a, b, 2, sets=True)),
    "rouge_l": mean(scores.rouge_l),
    "rouge_l_ratio": mean(lambda a, b: scores.rouge_l(a, b, beta="ratio")),
    "distinct@2": lambda w: scores.distinct(texts(w), 2, "ngrams"),
    "distinct_sentences@1": lambda w: scores.distinct(texts(w), 1, "sentences"),
    "distinct_each@1": lambda w: scores.distinct(texts(w), 1, "each"),
    "usr": lambda w: scores.usr(texts(w)),
    "fmr": lambda w: scores.fmr(column(w, "features"), column(w, "gold")),
    "fcr": lambda w: scores.fcr(column(w, "features"), 5),
    "div": lambda w: scores.div(column(w, "features")),
    "entr": lambda w: scores.entr(texts(w)),
    "ppl": lambda w: exp(nll(w) / sum(n for n in column(w, "tokens") if n)),
    "ppl_byte": lambda w: exp(nll(w) / sum(len(r.encode()) for r in column(w, "reference") if r)),
    "item_ratio": lambda w: sum(column(w, "items")) / sum(map(bool, column(w, "text"))),
    "item_agreement": lambda w: float(
        np.mean(
            [a > 0 for a, b in zip(column(w, "items"), column(w, "gold_items"), strict=True) if b]
        )
    ),
    "grounded": lambda w: sum(column(w, "grounded")) / (3 * len(w)),
    "facts": lambda w: 3.0,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_metrics_are_their_functions(name: str) -> None:
    outcome = drawn()
    assert evaluate(outcome, [name])[name] == pytest.approx(EXPECTED[name](outcome))


@pytest.mark.parametrize("name", EXPECTED)
def test_values_of_a_user_are_the_metric_of_its_texts(name: str) -> None:
    outcome = drawn(1)
    values = per_user(outcome, name)
    for user, value in zip(outcome.users, values, strict=True):
        mine = outcome.where(pl.col("user") == user)
        if name.startswith(("distinct@", "distinct_sentences", "usr", "fcr")):
            continue  # a text that somebody else wrote, too, counts for both in part
        if np.isnan(value):
            continue
        assert value == pytest.approx(EXPECTED[name](mine)), user


@pytest.mark.parametrize(
    "name",
    [each for each in EXPECTED if not each.startswith(("distinct@", "distinct_s", "usr", "fcr"))],
)
def test_weights_are_repeats_of_users(name: str) -> None:
    """A user that counts twice counts like two users with the same texts; none is its own pair."""
    outcome = drawn(2)
    counts = np.random.default_rng(0).integers(0, 3, len(outcome.users))
    found = float(statistic(outcome, name)(counts[None].astype(float))[0])
    copies = [
        outcome.table.filter(pl.col("user") == user).with_columns(user=pl.lit(f"{user}-{copy}"))
        for user, count in zip(outcome.users, counts, strict=True)
        for copy in range(count)
    ]
    whole = Written(pl.concat(copies), outcome.policy)
    expected = EXPECTED[name](whole)
    if name == "div":  # copies of one text are no pairs here
        names = [set(each) for each in column(whole, "features")]
        who = [
            (u.split("-")[0], i)
            for u, i in zip(column(whole, "user"), column(whole, "item"), strict=True)
        ]
        shared = [
            len(names[a] & names[b])
            for a in range(len(names))
            for b in range(a)
            if who[a] != who[b]
        ]
        assert found == pytest.approx(sum(shared) / len(shared))
        return
    assert found == pytest.approx(expected)


def test_what_is_different_keeps_its_share_in_resamples() -> None:
    outcome = drawn(3, users=40)
    for name in ("usr", "distinct@2", "distinct_sentences@1", "fcr"):
        means = resampled(outcome, [name], Key(0).named("t"), 400)[:, 0]
        assert means.mean() == pytest.approx(EXPECTED[name](outcome), rel=0.05)


def test_two_systems_are_compared_user_by_user() -> None:
    ours, theirs = drawn(4), drawn(4, likely=False)
    found = compare(ours, theirs, "bleu@1", Key(0).named("t"), 50)
    assert (found.difference, found.p_bootstrap, found.p_t) == (0, 1, 1)
    other = Written(theirs.table.with_columns(reference=pl.lit("else")), theirs.policy)
    with pytest.raises(GraphRecError, match="the same targets"):
        compare(ours, other, "bleu@1", Key(0).named("t"), 50)


def test_a_system_without_likelihoods_has_no_perplexity() -> None:
    names = ["bleu@1", "ppl", "ppl_byte"]
    assert measurable(drawn(), names) == names
    assert measurable(drawn(likely=False), names) == ["bleu@1"]
    with pytest.raises(GraphRecError, match="a system with likelihoods"):
        evaluate(drawn(likely=False), ["ppl"])


def test_lower_is_better() -> None:
    assert [lower_is_better(name) for name in ("ppl", "valid/ppl_byte", "div", "rmse")] == [
        True
    ] * 4
    names = ("bleu@4", "usr", "diversity", "linking_diversity", "entr", "train/glossary")
    assert not any(map(lower_is_better, names))


def test_a_file_keeps_everything(tmp_path: Any) -> None:
    outcome = drawn(5)
    write_outcomes(tmp_path / "texts.parquet", [outcome])
    again = read_written(tmp_path / "texts.parquet")["test"]
    assert again.table.equals(outcome.table)
    assert again.policy == outcome.policy
    with pytest.raises(GraphRecError, match=r"gone\.parquet: expected a Parquet file"):
        read_written(tmp_path / "gone.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": pl.lit(None, pl.String)}, "a text in every row"),
        ({"nll": pl.lit(float("inf"))}, "finite likelihoods"),
        ({"tokens": pl.lit(0, pl.Int64)}, "at least one token"),
        (
            {"split": pl.when(pl.col("item") == "i0").then(pl.lit("a")).otherwise(pl.lit("b"))},
            "one split",
        ),
    ],
)
def test_wrong_tables(change: dict[str, pl.Expr], message: str) -> None:
    table = drawn().table.with_columns(**change).select(*COLUMNS)
    with pytest.raises(GraphRecError, match=message):
        Written(table)


def test_missing_columns() -> None:
    with pytest.raises(GraphRecError, match="expected the columns split, user, item, reference"):
        Written(drawn().table.drop("nll"))


def test_texts_that_are_all_empty() -> None:
    table = drawn().table.with_columns(
        text=pl.lit(""), **{name: pl.lit(0, pl.Int64) for name in ("stated", "grounded", "items")}
    )
    outcome = Written(table.with_columns(features=pl.lit([], pl.List(pl.String))), drawn().policy)
    zero: Sequence[str] = [name for name in EXPECTED if not name.startswith(("ppl", "usr"))]
    found = evaluate(outcome, zero)
    assert found == dict.fromkeys(zero, 0.0)
