"""Baselines that repeat training texts, by hand."""

from math import sqrt

import torch

from graphrec_pt.evaluation.text_baseline import KnownTexts, text_baseline
from graphrec_pt.evaluation.text_baselines import by_likeness
from graphrec_pt.graph.split import Split

TEXTS = ["a loud amp", "a very loud amp", "a loud amp", "so so", "nice cable"]


def known(shop: Split) -> KnownTexts:
    """Texts of the first users about the first two items: four of item 0, one of item 1."""
    items = shop.train.nodes("item")
    users = shop.train.nodes("user")
    target = [items[0]] * 4 + [items[1]]
    return KnownTexts([users[n] for n in range(5)], target, TEXTS, shop.train, "rates")


def said(name: object, shop: Split, user: int = 9, edges: int = 1) -> list[list[str]]:
    """Return what a baseline writes about items 0, 1 and one without texts."""
    learnt = text_baseline.build(name).fit(known(shop))  # type: ignore[arg-type]
    items, users = shop.train.nodes("item"), shop.train.nodes("user")
    edge = torch.arange(edges)
    source = torch.full((edges,), users[user])
    return [learnt.write(source, torch.full((edges,), items[item]), edge) for item in (0, 1, 7)]


def test_commonest_text(shop: Split) -> None:
    assert said("commonest_text", shop) == [["a loud amp"], ["nice cable"], ["a loud amp"]]


def test_constant_text(shop: Split) -> None:
    """The likeness of "a loud amp", which stands twice, is 1 + 1 + 6/7 beside 6/7 + 6/7 + 1."""
    assert said("constant_text", shop) == [["a loud amp"]] * 3
    assert said({"name": "constant_text", "most": 1}, shop)[2] == ["a loud amp"]


def test_medoid_text(shop: Split) -> None:
    assert said("medoid_text", shop)[0] == ["a loud amp"]
    assert said({"name": "medoid_text", "most": 1}, shop)[0] == ["so so"]  # the latest one
    # Mean F1 to the others: b shares words with both, a and c with b alone.
    assert by_likeness(["x y", "x y z w", "z w"])[0] == "x y z w"


def test_random_text(shop: Split) -> None:
    first = said("random_text", shop, edges=200)
    assert set(first[0]) == set(TEXTS[:4])
    assert abs(first[0].count("a loud amp") - 100) < 30  # two of four texts
    assert set(first[1]) == {"nice cable"}
    assert set(first[2]) == set(TEXTS)
    assert first == said("random_text", shop, edges=200)
    assert first != said({"name": "random_text", "seed": 1}, shop, edges=200)


def test_neighbor_text(shop: Split) -> None:
    """The author with the highest cosine of training items, computed the slow way."""
    texts, items = known(shop), shop.train.nodes("item")

    def bought(user: int) -> set[int]:
        return set(shop.train.neighbors(user, "rates").tolist())

    user = shop.train.nodes("user")[9]

    def cosine(row: int) -> float:
        other = bought(texts.source[row])
        return len(bought(user) & other) / sqrt(len(bought(user)) * len(other))

    best = max(range(4), key=lambda row: (cosine(row), row))
    assert said("neighbor_text", shop) == [[TEXTS[best]], ["nice cable"], ["a loud amp"]]
    # Nobody's own text is repeated to them.
    author = said("neighbor_text", shop, user=4)
    assert author[1] == ["a loud amp"]
    assert items[1] in texts.target


def test_nothing_to_repeat(shop: Split) -> None:
    none = KnownTexts([], [], [], shop.train, "rates")
    one = torch.zeros(1, dtype=torch.int64)
    for name in text_baseline.names():
        assert text_baseline.build(name).fit(none).write(one, one, one) == [""]
