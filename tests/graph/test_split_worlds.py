"""Splits of small worlds where the answer is known."""

import numpy as np
import torch

from graphrec_pt.data.build import build
from graphrec_pt.graph.split import split

BUYS = {
    "nodes": {"user": {}, "item": {}},
    "edges": {
        "buys": {
            "table": "t",
            "source": "user.user",
            "target": "item.item",
            "time": "time",
            "interaction": True,
        }
    },
}


def test_last_id_plus_one_scores_no_better_than_chance() -> None:
    """Ids by first appearance leak: whoever guesses id + 1 is right. Permuted ids do not."""
    rng = np.random.default_rng(0)
    users, length, items = 300, 8, 3000
    # Items are first met in order, as when ids are given while a log is read.
    item = np.concatenate([np.arange(u * 8, u * 8 + length) % items for u in range(users)])
    repeat = rng.random(len(item)) < 0.3
    item[repeat] = rng.integers(0, items, repeat.sum())
    rows = {"user": np.repeat(range(users), length), "item": item, "time": range(len(item))}

    def hits(seed: int | None) -> float:
        cut = split(build(BUYS, {"t": rows}, seed=seed))
        history = cut.history("test").edges("buys")
        last = dict(zip(history.source.tolist(), history.target.tolist(), strict=True))
        guesses = [last[user] + 1 for user in cut.test.source.tolist()]
        return float(
            np.mean([g == t for g, t in zip(guesses, cut.test.target.tolist(), strict=True)])
        )

    assert hits(None) > 0.4  # the leak is real in this world
    assert hits(0) <= 3 / users  # chance is 1/3000 a user; three hits of 300 have p < 1e-4


def test_leave_one_out_by_hand() -> None:
    rows = {"user": [1, 1, 1, 1, 2, 2], "item": [4, 3, 2, 1, 1, 2], "time": [4, 3, 2, 1, 1, 2]}
    cut = split(build(BUYS, {"t": rows}))
    raw = cut.graph.raw_id
    assert [raw(int(i)) for i in cut.valid.target] == ["3"]
    assert [raw(int(i)) for i in cut.test.target] == ["4"]
    assert cut.train.num_edges("buys") == 4  # user 2 has two events and stays in training


def test_ratio_by_hand() -> None:
    rows = {"user": [0] * 10, "item": range(10), "time": range(10)}
    cut = split(build(BUYS, {"t": rows}), {"name": "ratio", "valid": 0.1, "test": 0.2})
    raw = cut.graph.raw_id
    assert sorted(raw(int(i)) for i in cut.test.target) == ["8", "9"]
    assert sorted(raw(int(i)) for i in cut.valid.target) == ["7"]


def test_untimed_histories_are_held_out_at_random() -> None:
    rows = {"a": [user for user in range(200) for _ in range(5)], "b": list(range(5)) * 200}
    plan = {
        "nodes": {"u": {}, "i": {}},
        "edges": {"e": {"table": "t", "source": "u.a", "target": "i.b", "interaction": True}},
    }
    cut = split(build(plan, {"t": rows}), seed=4)
    counts = np.bincount(cut.test.target.numpy() - 200, minlength=5)
    assert counts.sum() == 200
    assert ((counts - 40) ** 2 / 40).sum() < 33.4  # chi-square, 4 degrees, p = 1e-6
    assert not torch.equal(cut.stage, split(cut.graph, seed=5).stage)


def test_ids_do_not_tell_which_of_events_at_one_time_is_held_out() -> None:
    """Everything happened at one time, so any event of a user is as likely to be the last."""
    rng = np.random.default_rng(0)
    users, length, items = 600, 8, 200
    item = np.stack([rng.permutation(items)[:length] for _ in range(users)])  # [users, length]
    rows = {
        "user": np.repeat(range(users), length),
        "item": item.ravel(),
        "time": np.zeros(users * length, np.int64),
    }
    for seed in (None, 0):
        whole = build(BUYS, {"t": rows}, seed=seed)
        cut = split(whole)
        edges = whole.edges("buys")
        among = edges.target.view(users, length).argsort(1).argsort(1)  # rank by id in a history
        assert edges.source.view(users, length).unique(dim=1).shape[1] == 1
        held = among[:, -1]
        assert (edges.target.view(users, length)[:, -1] == cut.test.target).all()
        # each of the eight ranks about 75 times; by the ids it would be the last one always
        assert int(torch.bincount(held, minlength=length).min()) > 40
        # nor does a step tend to go to a later id
        up = (edges.target.view(users, length).diff(dim=1) > 0).double().mean()
        assert abs(float(up) - 0.5) < 0.03
