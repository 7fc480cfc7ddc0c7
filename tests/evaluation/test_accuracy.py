"""Metrics by hand, beside ranx and torchmetrics."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.metric import Metric, evaluate, metric, parse_metric, per_user
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.evaluation.ranks import Floats, Ranks
from graphrec_pt.graph.split import Split

ALL = ("hr", "recall", "precision", "f1", "ndcg", "ndcg_retrieved_ideal", "mrr", "map")


def written(**users: Sequence[float]) -> Ranks:
    """Return ranks among ten candidates, written by user."""
    rows = [
        ("test", user, f"{user}{at}", float(rank), 10)
        for user, ranks in users.items()
        for at, rank in enumerate(ranks)
    ]
    columns = ["split", "user", "item", "rank", "candidates"]
    return Ranks(pl.DataFrame(rows, schema=columns, orient="row"))


RANKS = written(b=[9, 2, 3], a=[1], c=[np.inf, 2.5], d=[10])
LOG3, LOG4 = math.log2(3), 2.0


@pytest.mark.parametrize(
    ("name", "values"),
    [  # users a, b, c, d
        ("hr@3", [1, 1, 1, 0]),
        ("recall@3", [1, 2 / 3, 1 / 2, 0]),
        ("precision@3", [1 / 3, 2 / 3, 1 / 3, 0]),
        ("f1@3", [2 / 4, 4 / 6, 2 / 5, 0]),
        (
            "ndcg@3",
            [
                1,
                (1 / LOG3 + 1 / LOG4) / (1 + 1 / LOG3 + 1 / LOG4),
                (1 / math.log2(3.5)) / (1 + 1 / LOG3),
                0,
            ],
        ),
        (
            "ndcg_retrieved_ideal@3",
            [1, (1 / LOG3 + 1 / LOG4) / (1 + 1 / LOG3), 1 / math.log2(3.5), 0],
        ),
        ("mrr", [1, 1 / 2, 1 / 2.5, 1 / 10]),
        ("mrr@3", [1, 1 / 2, 1 / 2.5, 0]),
        ("map", [1, (1 / 2 + 2 / 3 + 3 / 9) / 3, (1 / 2.5) / 2, 1 / 10]),
        ("map@3", [1, (1 / 2 + 2 / 3) / 3, (1 / 2.5) / 2, 0]),
        # b: below its targets stand 6, 6 and 1 of seven others. c: 7.5 of nine, and one lost.
        ("auc", [1, 13 / 21, 7.5 / 9 / 2, 0]),
    ],
)
def test_by_hand(name: str, values: list[float]) -> None:
    assert RANKS.users.to_list() == ["a", "b", "c", "d"]
    np.testing.assert_allclose(per_user(RANKS, name), values, atol=1e-12)
    assert evaluate(RANKS, (name,)) == pytest.approx({name: np.mean(values)})


def test_gauc_weights_users_with_their_targets() -> None:
    auc = per_user(RANKS, "auc")
    weighted = np.average(auc, weights=[1, 3, 2, 1])
    assert evaluate(RANKS, ("gauc",))["gauc"] == pytest.approx(weighted)


def test_rows_may_stand_in_any_order(shop: Split, random_scores: Any) -> None:
    ranks = rank_targets(random_scores(shop, levels=4), shop)
    mixed = Ranks(ranks.table.sample(fraction=1, shuffle=True, seed=0))
    for name in ALL:
        np.testing.assert_allclose(per_user(mixed, f"{name}@7"), per_user(ranks, f"{name}@7"))


@pytest.fixture(scope="module")
def untied(
    shop: Split, random_scores: Any
) -> tuple[Ranks, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Ranks, and per user the scores of all candidates and which of them are targets."""
    table = random_scores(shop, seed=2)
    ranks = rank_targets(table, shop, "test", seen="keep")
    users, items = shop.graph.nodes("user").start, shop.graph.nodes("item").start
    lists = []
    for user in ranks.users:
        node = shop.graph.node_id("user", user)
        wanted = torch.zeros(shop.graph.num_nodes("item"), dtype=torch.bool)
        wanted[shop.test.target[shop.test.source == node] - items] = True
        scores = table.table[node - users].double()
        lists.append((scores - scores.min() + 1, wanted))  # torchmetrics reads ≤ 0 as "no"
    return ranks, lists


@pytest.mark.parametrize("k", [1, 5, 20])
def test_torchmetrics_agrees(untied: Any, k: int) -> None:
    retrieval = pytest.importorskip("torchmetrics.functional.retrieval")
    ranks, lists = untied
    theirs = {
        f"hr@{k}": [retrieval.retrieval_hit_rate(*pair, top_k=k) for pair in lists],
        f"recall@{k}": [retrieval.retrieval_recall(*pair, top_k=k) for pair in lists],
        f"precision@{k}": [retrieval.retrieval_precision(*pair, top_k=k) for pair in lists],
        f"ndcg@{k}": [retrieval.retrieval_normalized_dcg(*pair, top_k=k) for pair in lists],
        f"mrr@{k}": [retrieval.retrieval_reciprocal_rank(*pair, top_k=k) for pair in lists],
        "map": [retrieval.retrieval_average_precision(*pair) for pair in lists],
        "auc": [retrieval.retrieval_auroc(*pair) for pair in lists],
    }
    for name, values in theirs.items():
        np.testing.assert_allclose(per_user(ranks, name), values, atol=1e-6, err_msg=name)


RANX = """
import json, sys, ranx
truth, run, names = json.load(sys.stdin)
found = ranx.evaluate(ranx.Qrels(truth), ranx.Run(run), names, return_mean=False)
print(json.dumps({name: values.tolist() for name, values in found.items()}))
"""


def test_ranx_agrees(untied: Any) -> None:
    if find_spec("ranx") is None:
        pytest.skip("ranx is not installed")
    ranks, lists = untied
    truth, run = {}, {}
    for user, (scores, wanted) in zip(ranks.users, lists, strict=True):
        truth[user] = {str(v): 1 for v in wanted.nonzero().flatten().tolist()}
        run[user] = {str(v): score for v, score in enumerate(scores.tolist())}
    names = ["hit_rate@10", "recall@10", "precision@10", "f1@10", "ndcg@10", "map@10", "mrr"]
    done = subprocess.run(  # uncompiled: it would compile for a minute
        [sys.executable, "-c", RANX],
        input=json.dumps([truth, run, names]),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
    )
    for name, theirs in json.loads(done.stdout).items():
        ours = per_user(ranks, name.replace("hit_rate", "hr"))
        np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=name)


def test_ties_give_the_mean_of_both_orders_for_auc() -> None:
    tied = per_user(written(a=[2.5]), "auc")
    orders = [per_user(written(a=[rank]), "auc") for rank in (2, 3)]
    np.testing.assert_allclose(tied, np.mean(orders, axis=0))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndgc@10", "did you mean 'ndcg'"),
        ("hr", "option 'k'"),
        ("auc@5", "'k'"),
        ("ndcg@0", "'ndcg' k: expected .*greater than or equal to 1"),
        ("ndcg@ten", "a name like 'ndcg@10'"),
        ("ndcg@-1", "a name like 'ndcg@10'"),
        ("hr@11", "k <= 10, the candidates that were ranked, got 11"),
    ],
)
def test_wrong_names(name: str, message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        per_user(RANKS, name)


def test_no_targets_have_no_metric() -> None:
    with pytest.raises(GraphRecError, match="at least one target"):
        evaluate(RANKS.where(pl.col("user") == "nobody"), ("mrr",))


def test_a_metric_of_ones_own() -> None:
    @metric("best_rank")
    class BestRank:
        def values(self, ranks: Ranks) -> Floats:
            return ranks.per_user(np.where(ranks.place == 1, ranks.rank, 0))

    assert isinstance(parse_metric("best_rank"), BestRank)
    np.testing.assert_allclose(per_user(RANKS, "best_rank"), [1, 2, 2.5, 10])
    del metric._members["best_rank"]  # other tests list every metric


def test_every_metric_lies_between_zero_and_one(shop: Split, random_scores: Any) -> None:
    ranks = rank_targets(random_scores(shop, levels=1), shop)
    for name in metric.names():
        if getattr(metric.get(name), "of", "Ranks") != "Ranks":
            continue  # of other outcomes
        chosen: Metric = metric.build({"name": name, "k": 5} if name in ALL else name)
        values = chosen.values(ranks)
        assert values.shape == ranks.users.shape, name
        assert values.min() >= 0, name
        assert name == "gauc" or values.max() <= 1 + 1e-12, name
