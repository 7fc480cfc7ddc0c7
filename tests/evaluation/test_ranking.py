"""Ranks by hand, beside a slow obvious ranking, and what must not matter."""

from typing import Any

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.negatives import Sampled
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.evaluation.ranks import Ranks
from graphrec_pt.evaluation.seen import repeats, seen_policies
from graphrec_pt.graph.split import Split, split
from graphrec_pt.predict.scorer import Factorised

SAID = {
    "ann": {"a": 9, "b": 8, "e": 3, "d": 2},  # a, b and c seen; e above d
    "bob": {"b": 5, "f": 1},  # b, c, d, e seen
    "cat": {"c": 4, "d": 4, "e": 4, "f": 4},  # a, b seen; four at once
}


def by_target(ranks: Ranks) -> dict[tuple[str, str], tuple[float, int]]:
    rows = ranks.table.select("user", "item", "rank", "candidates").iter_rows()
    return {(user, item): (rank, candidates) for user, item, rank, candidates in rows}


def test_ranks_by_hand_with_seen_items_masked(corner: Split, scored: Any) -> None:
    ranks = rank_targets(scored(corner, SAID), corner, "test")
    assert by_target(ranks) == {
        ("ann", "d"): (2.0, 3),  # d, e, f are left; e is above
        ("bob", "b"): (np.inf, 2),  # seen, so no candidate
        ("bob", "f"): (1.0, 2),  # a and f are left
        ("cat", "c"): (2.5, 4),  # the mean of places 1 to 4
        ("cat", "d"): (2.5, 4),
    }
    assert ranks.policy == {"seen": "mask", "history": "train + valid"}


def test_ranks_by_hand_with_seen_items_kept(corner: Split, scored: Any) -> None:
    ranks = rank_targets(scored(corner, SAID), corner, "test", seen="keep")
    assert by_target(ranks) == {
        ("ann", "d"): (4.0, 6),
        ("bob", "b"): (1.0, 6),
        ("bob", "f"): (2.0, 6),
        ("cat", "c"): (2.5, 6),
        ("cat", "d"): (2.5, 6),
    }


def test_validation_sees_training_alone(corner: Split, scored: Any) -> None:
    ranks = rank_targets(scored(corner, {"ann": {"d": 1}}), corner, "valid")
    assert by_target(ranks)["ann", "c"] == (3.0, 4)  # d above; c, e, f equal
    assert ranks.policy["history"] == "train"


def test_repeats_ask_for_both_policies(corner: Split) -> None:
    assert repeats(corner) == 1
    assert seen_policies(corner) == ("mask", "keep")
    assert seen_policies(corner, "valid") == ("mask",)


def slow_ranks(split: Split, table: torch.Tensor, seen: str) -> dict[tuple[str, str], Any]:
    graph, history = split.graph, split.history("test")
    users, items = graph.nodes("user"), graph.nodes("item")
    met: dict[int, set[int]] = {user: set() for user in users}
    edges = history.edges(split.relation)
    for user, item in zip(edges.source.tolist(), edges.target.tolist(), strict=True):
        met[user].add(item)
    found = {}
    for user, item in zip(split.test.source.tolist(), split.test.target.tolist(), strict=True):
        row = table[user - users.start].tolist()
        left = [v for v in items if seen == "keep" or v not in met[user]]
        mine = row[item - items.start]
        above = sum(row[v - items.start] > mine for v in left)
        equal = sum(row[v - items.start] == mine for v in left if v != item)
        rank = 1 + above + equal / 2 if item in left else np.inf
        found[graph.raw_id(user), graph.raw_id(item)] = (rank, len(left))
    return found


@pytest.mark.parametrize("seen", ["mask", "keep"])
@pytest.mark.parametrize("levels", [None, 2], ids=["untied", "tied"])
def test_ranks_agree_with_counting(
    shop: Split, random_scores: Any, seen: Any, levels: int | None
) -> None:
    table = random_scores(shop, levels=levels)
    ranks = rank_targets(table, shop, "test", seen=seen)
    assert by_target(ranks) == slow_ranks(shop, table.table, seen)


@pytest.mark.parametrize("cells", [1, 80 * 7, 1 << 30])
def test_the_block_does_not_matter(shop: Split, random_scores: Any, cells: int) -> None:
    table = random_scores(shop, levels=3)
    whole = rank_targets(table, shop, "test")
    assert rank_targets(table, shop, "test", cells=cells).table.equals(whole.table)


def test_only_a_block_is_asked_for(shop: Split, random_scores: Any) -> None:
    table, asked = random_scores(shop), []

    class Watched:
        def scores(self, nodes: torch.Tensor) -> torch.Tensor:
            asked.append(len(nodes))
            return table.scores(nodes)

    rank_targets(Watched(), shop, "test", cells=80 * 7)
    assert max(asked) == 7
    assert sum(asked) == len(torch.unique(shop.test.source))


def test_infinite_scores_are_ranked(corner: Split, scored: Any) -> None:
    table = scored(corner, {"cat": {"c": -torch.inf, "e": -torch.inf, "f": torch.inf}})
    ranks = by_target(rank_targets(table, corner, "test"))
    assert ranks["cat", "c"] == (3.5, 4)  # shares the last two places with e
    assert ranks["cat", "d"] == (2.0, 4)


def test_factorised_scores_are_inner_products(shop: Split) -> None:
    users, items = shop.graph.nodes("user"), shop.graph.nodes("item")
    draw = torch.Generator().manual_seed(1)
    # Small whole numbers: products are exact and often tie.
    queries = torch.randint(-2, 3, (len(users), 4), generator=draw).float()
    table = torch.randint(-2, 3, (len(items), 4), generator=draw).float()
    bias = torch.randint(-1, 2, (len(items),), generator=draw).float()
    scorer = Factorised(torch.arange(users.start, users.stop), queries, table, bias)
    ranks = rank_targets(scorer, shop, "test")
    assert by_target(ranks) == slow_ranks(shop, queries @ table.T + bias, "mask")


def test_a_perfect_scorer_gets_one(shop: Split, random_scores: Any) -> None:
    table = random_scores(shop)
    users, items = shop.graph.nodes("user").start, shop.graph.nodes("item").start
    table.table[shop.test.source - users, shop.test.target - items] += 100
    found = evaluate(rank_targets(table, shop, "test", seen="keep"), ("ndcg@10", "mrr", "auc"))
    assert found == pytest.approx({"ndcg@10": 1, "mrr": 1, "auc": 1})


def test_a_random_scorer_hits_k_of_the_catalogue(world: Any, random_scores: Any) -> None:
    rows = [(f"u{u}", f"i{(u + t) % 50}", t, "") for u in range(2000) for t in range(3)]
    cut = split(world(rows), "leave_one_out")
    found = evaluate(rank_targets(random_scores(cut), cut, "test"), ("hr@10", "auc"))
    chance = 10 / 48  # two of the fifty are seen
    assert found["hr@10"] == pytest.approx(chance, abs=4 * np.sqrt(chance / 2000))
    assert found["auc"] == pytest.approx(0.5, abs=4 * 0.29 / np.sqrt(2000))


def test_a_constant_scorer_wins_nothing_by_ties(shop: Split, random_scores: Any) -> None:
    table = random_scores(shop)
    table.table.zero_()
    found = evaluate(rank_targets(table, shop, "test"), ("hr@10", "ndcg@10"))
    assert found == {"hr@10": 0, "ndcg@10": 0}


def test_the_next_id_wins_nothing_after_permutation(world: Any) -> None:
    # Raw ids count first appearances, as in many published files.
    rows, fresh = [], 0
    for user in range(300):
        for time in range(4):
            rows.append((f"u{user:03}", f"i{fresh:04}", time, ""))
            fresh += 1

    class Successor:
        def __init__(self, cut: Split) -> None:
            history = cut.history("test")
            self.start = history.nodes("item").start
            self.size = history.num_nodes("item")
            self.last = {u: history.neighbors(u, "buys").max() for u in history.nodes("user")}

        def scores(self, nodes: torch.Tensor) -> torch.Tensor:
            out = torch.zeros(len(nodes), self.size)
            for row, node in enumerate(nodes.tolist()):
                out[row, (self.last[node] + 1 - self.start) % self.size] = 1
            return out

    leaking, honest = (split(world(rows, seed=seed), "leave_one_out") for seed in (None, 0))
    assert evaluate(rank_targets(Successor(leaking), leaking), ("hr@1",))["hr@1"] == 1
    assert evaluate(rank_targets(Successor(honest), honest), ("hr@1",))["hr@1"] < 0.02


@pytest.mark.parametrize("popular", [False, True])
def test_sampled_negatives_were_never_chosen(shop: Split, popular: bool) -> None:
    sampled = Sampled(10, popular, seed=3)
    source, edge = shop.test.source, shop.test.edge
    drawn = sampled.draw(shop, source, edge) + shop.graph.nodes("item").start
    assert drawn.shape == (len(source), 10)
    for node, row in zip(source.tolist(), drawn.tolist(), strict=True):
        assert len(set(row)) == 10
        assert not set(row) & set(shop.graph.neighbors(node, shop.relation).tolist())
    some = torch.arange(0, len(source), 3)
    again = sampled.draw(shop, source[some], edge[some]) + shop.graph.nodes("item").start
    assert torch.equal(again, drawn[some])
    other = Sampled(10, popular, seed=4).draw(shop, source, edge)
    assert not torch.equal(other + shop.graph.nodes("item").start, drawn)


def test_popular_negatives_are_more_popular(shop: Split) -> None:
    items = shop.graph.nodes("item")
    degree = torch.bincount(shop.train.edges("rates").target - items.start, minlength=len(items))
    mean = {
        popular: degree[Sampled(5, popular).draw(shop, shop.test.source, shop.test.edge)]
        .double()
        .mean()
        for popular in (False, True)
    }
    assert mean[True] > 1.2 * mean[False]


def test_sampled_ranks_say_so(shop: Split, random_scores: Any) -> None:
    table, sampled = random_scores(shop, levels=2), Sampled(20, seed=5)
    ranks = rank_targets(table, shop, "test", sampled=sampled)
    assert set(ranks.candidates) == {21}
    name = "compat:sampled20_uniform_seed5:hr@5"
    assert evaluate(ranks, ("hr@5",)).keys() == {name}
    # The same by hand for the first target.
    row = ranks.table.row(0, named=True)
    user = shop.graph.node_id("user", row["user"])
    item = shop.graph.node_id("item", row["item"]) - shop.graph.nodes("item").start
    mine = (shop.test.source == user) & (shop.test.target - shop.graph.nodes("item").start == item)
    edge = shop.test.edge[mine].min().unsqueeze(0)
    others = table.scores(torch.tensor([user]))[0][sampled.draw(shop, torch.tensor([user]), edge)]
    own = table.scores(torch.tensor([user]))[0, item]
    assert row["rank"] == 1 + (others > own).sum() + (others == own).sum() / 2


def test_what_is_wrong_is_said(corner: Split, scored: Any) -> None:
    table = scored(corner, SAID)
    table.table[corner.graph.node_id("user", "bob") - table.start, 2] = torch.nan
    with pytest.raises(GraphRecError, match="scores without NaN, got NaN for 'bob'"):
        rank_targets(table, corner)
    table.table = table.table[:, :3]
    with pytest.raises(GraphRecError, match=r"float scores \[3, 6\], got torch.float32 \[3, 3\]"):
        rank_targets(table, corner)
    with pytest.raises(GraphRecError, match="'valid' or 'test'"):
        rank_targets(table, corner, "train")  # type: ignore[arg-type]
    with pytest.raises(GraphRecError, match="'mask' or 'keep'"):
        rank_targets(table, corner, seen="hide")  # type: ignore[arg-type]
    with pytest.raises(GraphRecError, match="3 negatives for each target, got"):
        rank_targets(table, corner, sampled=Sampled(3))
    with pytest.raises(GraphRecError, match="count >= 1"):
        Sampled(0)


def test_a_split_without_targets_is_refused(world: Any, random_scores: Any) -> None:
    cut = split(world([("u", "a", 0, ""), ("u", "b", 1, "")]), "leave_one_out")
    with pytest.raises(GraphRecError, match="targets at test, got none"):
        rank_targets(random_scores(cut), cut)


def test_factors_must_fit() -> None:
    with pytest.raises(GraphRecError, match=r"queries \[Q, D\]"):
        Factorised(torch.arange(2), torch.ones(2, 3), torch.ones(4, 2))
    with pytest.raises(GraphRecError, match="ascending nodes"):
        Factorised(torch.tensor([1, 0]), torch.ones(2, 3), torch.ones(4, 3))
    with pytest.raises(GraphRecError, match="have a query vector"):
        Factorised(torch.arange(2), torch.ones(2, 3), torch.ones(4, 3)).scores(torch.tensor([5]))
