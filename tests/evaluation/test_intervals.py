"""Intervals and paired tests beside scipy and the theory of means."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_rel

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, draw32
from graphrec_pt.evaluation.intervals import bootstrap, compare, interval, paired_t
from graphrec_pt.evaluation.metric import per_user
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.evaluation.ranks import Ranks
from graphrec_pt.graph.split import Split

KEY = Key(7)


def test_resamples_take_the_users_that_the_bits_say() -> None:
    values = np.array([1.0, 10.0, 100.0])
    found = bootstrap(values, KEY, 6)
    for r in range(6):
        drawn = draw32(KEY, np.arange(3), r).astype(np.uint64) * np.uint64(3) >> np.uint64(32)
        assert found[r] == pytest.approx(values[drawn.astype(int)].mean())


def test_the_spread_is_the_standard_error() -> None:
    values = np.random.default_rng(0).exponential(size=400)
    means = bootstrap(values, KEY, 4000)
    error = values.std() / 20
    assert means.mean() == pytest.approx(values.mean(), abs=4 * error / np.sqrt(4000))
    assert means.std() == pytest.approx(error, rel=0.05)
    low, high = interval(values, KEY, 0.95, 4000)
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.3 * error
    )


def test_several_metrics_are_resampled_together() -> None:
    values = np.random.default_rng(1).random((50, 3))
    together = bootstrap(values, KEY, 10)
    assert together.shape == (10, 3)
    for m in range(3):
        np.testing.assert_allclose(together[:, m], bootstrap(values[:, m], KEY, 10))


def test_fewer_resamples_are_the_first_of_more() -> None:
    values = np.random.default_rng(2).random(30)
    np.testing.assert_array_equal(bootstrap(values, KEY, 5), bootstrap(values, KEY, 50)[:5])
    assert not np.array_equal(bootstrap(values, Key(8), 5), bootstrap(values, KEY, 5))


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).random(30)
    whole = bootstrap(values, KEY, 50)
    monkeypatch.setattr("graphrec_pt.evaluation.intervals._DRAWS", 1)
    np.testing.assert_allclose(bootstrap(values, KEY, 50), whole)


@pytest.fixture(scope="module")
def two(shop: Split, random_scores: Any) -> tuple[Ranks, Ranks]:
    table = random_scores(shop, seed=1)
    worse = rank_targets(table, shop)
    items = shop.graph.nodes("item").start
    table.table[shop.test.source - table.start, shop.test.target - items] += 0.5
    return rank_targets(table, shop), worse


def test_a_better_system_is_told_apart(two: tuple[Ranks, Ranks]) -> None:
    better, worse = two
    found = compare(better, worse, "ndcg@10", KEY)
    a, b = per_user(better, "ndcg@10"), per_user(worse, "ndcg@10")
    assert found.difference == pytest.approx(float((a - b).mean()))
    assert found.p_t == pytest.approx(ttest_rel(a, b).pvalue)
    assert 0 < found.low < found.difference < found.high
    assert found.p_bootstrap == pytest.approx(2 / 1001)
    assert found.users == len(better.users)
    back = compare(worse, better, "ndcg@10", KEY)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert back.p_bootstrap == found.p_bootstrap


def test_a_system_of_several_seeds_is_their_mean(two: tuple[Ranks, Ranks]) -> None:
    better, worse = two
    found = compare([better, worse], [worse, worse, worse], "ndcg@10", KEY)
    a, b = per_user(better, "ndcg@10"), per_user(worse, "ndcg@10")
    assert found.difference == pytest.approx(float((a - b).mean()) / 2)
    assert found.p_t == pytest.approx(ttest_rel((a + b) / 2, b).pvalue)
    alone = compare(better, worse, "ndcg@10", KEY)  # the same resamples of the same users
    assert (found.low, found.high) == pytest.approx((alone.low / 2, alone.high / 2))
    assert compare([better, worse], [worse, better], "mrr", KEY).p_t == 1
    with pytest.raises(GraphRecError, match="the same targets"):
        compare([better, worse.where(pl.col("rank") < 20)], better, "mrr", KEY)
    with pytest.raises(GraphRecError, match="at least one outcome"):
        compare([], better, "mrr", KEY)


def test_a_system_does_not_beat_itself(two: tuple[Ranks, Ranks]) -> None:
    found = compare(two[0], two[0], "mrr", KEY)
    assert (found.difference, found.p_t, found.p_bootstrap) == (0, 1, 1)


def test_p_values_are_uniform_without_a_difference() -> None:
    draw = np.random.default_rng(4)
    p = [paired_t(draw.normal(size=40)) for _ in range(400)]
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.06)


def test_users_are_paired_by_raw_id(two: tuple[Ranks, Ranks]) -> None:
    better, worse = two
    mixed = Ranks(worse.table.sample(fraction=1, shuffle=True, seed=1), worse.policy)
    assert compare(better, mixed, "ndcg@5", KEY) == compare(better, worse, "ndcg@5", KEY)


def test_what_cannot_be_compared(two: tuple[Ranks, Ranks]) -> None:
    better, worse = two
    with pytest.raises(GraphRecError, match="the same targets"):
        compare(better, worse.where(pl.col("rank") < 20), "mrr", KEY)
    with pytest.raises(GraphRecError, match="one policy for 'seen'"):
        compare(better, Ranks(worse.table, {**worse.policy, "seen": "keep"}), "mrr", KEY)
    with pytest.raises(GraphRecError, match="0 < level < 1"):
        interval(np.ones(3), KEY, 95)
    with pytest.raises(GraphRecError, match="at least one user"):
        bootstrap(np.ones(0), KEY)
