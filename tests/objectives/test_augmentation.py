"""Other versions of a history."""

from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.augmentation import Augmentation
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

PAST, EVENTS = {"name": "history"}, {"name": "history"}


def rows(tokens: Tokens) -> list[list[int]]:
    ends = zip(tokens.ptr[:-1].tolist(), tokens.ptr[1:].tolist(), strict=True)
    return [tokens.id[low:high].tolist() for low, high in ends]


def versions(
    ring: Graph, making: Any, augment: Augmentation, epoch: int = 0, **options: bool
) -> tuple[list[list[int]], Tokens]:
    """Return the items of every history, and another version of it."""
    preparation = making.prepared(ring, PAST, {**EVENTS, **options}, torch.arange(24))
    examples = making.examples(preparation, torch.arange(24), epoch=epoch)
    return rows(examples.tokens), augment.apply(ring, examples.tokens, examples.draws)


def test_crop_keeps_a_stretch(ring: Graph, making: Any) -> None:
    starts = set()
    whole, version = versions(ring, making, Augmentation(operations=("crop",)))
    for before, after in zip(whole, rows(version), strict=True):
        at = before.index(after[0])
        assert after == before[at : at + 3]  # .6 of six events
        starts.add(at)
    assert starts == {0, 1, 2, 3}
    assert version.position.tolist() == [0, 1, 2] * 24


def test_mask_hides_some(ring: Graph, making: Any) -> None:
    whole, version = versions(ring, making, Augmentation(operations=("mask",), mask=0.5))
    hidden = version.kind == Kind.SPECIAL
    assert torch.bincount(version.sequence_of()[hidden]).tolist() == [3] * 24
    assert set(version.id[hidden].tolist()) == {int(Special.MASK)}
    kept = torch.tensor(whole).flatten()[~hidden]
    assert torch.equal(version.id[~hidden], kept)


def test_reorder_shuffles_a_stretch(ring: Graph, making: Any) -> None:
    orders = set()
    for epoch in range(4):
        augment = Augmentation(operations=("reorder",), reorder=0.5)
        whole, version = versions(ring, making, augment, epoch)
        for before, after in zip(whole, rows(version), strict=True):
            assert sorted(before) == sorted(after)
            moved = [n for n in range(6) if before[n] != after[n]]
            assert not moved or moved[-1] - moved[0] <= 2  # three events side by side
            orders.add(tuple(before.index(item) for item in after))
    assert len(orders) > 12  # of 1 + 4 · 5 − 3 overlaps


def test_drop_leaves_some_out_and_one_at_least(ring: Graph, making: Any) -> None:
    whole, version = versions(ring, making, Augmentation(operations=("drop",), drop=0.34))
    for before, after in zip(whole, rows(version), strict=True):
        assert len(after) == 4
        assert after == [item for item in before if item in after]
    _, version = versions(ring, making, Augmentation(operations=("drop",), drop=0.99))
    assert version.lengths().tolist() == [1] * 24


def test_roots_stay_and_positions_are_counted_anew(ring: Graph, making: Any) -> None:
    for name in ("crop", "mask", "reorder", "drop"):
        augment = Augmentation(operations=(name,))
        _, version = versions(ring, making, augment, root=True, eos=True)
        assert version.id[version.ptr[:-1]].tolist() == list(range(24))
        assert version.id[version.ptr[1:] - 1].tolist() == [int(Special.EOS)] * 24
        assert torch.equal(version.position, version.places())


def test_text_goes_with_its_node(shop: Graph, making: Any, letters: Any) -> None:
    text = {"name": "text", "tokenizer": letters, "base": EVENTS}
    users = torch.arange(15)
    examples = making.examples(making.prepared(shop, PAST, text, users), users)
    titles = {}
    for node, _ in zip(*examples.tokens.nodes(), strict=True):
        title = shop.tables["item"]["title"][int(node) - 16]
        titles[int(node)] = [ord(letter) for letter in title or ""]
    for name in ("crop", "reorder", "drop"):
        version = Augmentation(operations=(name,)).apply(shop, examples.tokens, examples.draws)
        expected: list[int] = []
        for node in version.id[version.kind == Kind.NODE].tolist():
            expected += [node, *titles[node]]
        assert version.id.tolist() == expected, name
    hidden = Augmentation(operations=("mask",)).apply(shop, examples.tokens, examples.draws)
    gone = set((hidden.kind == Kind.SPECIAL).nonzero().flatten().tolist())
    assert gone
    words = examples.tokens.word[sorted(gone)]  # type: ignore[index]
    same = examples.tokens.sequence_of()[sorted(gone)]
    assert len(gone) > len(set(zip(same.tolist(), words.tolist(), strict=True)))
    thinned = Augmentation(operations=("words",), words=0.5)
    shorter = thinned.apply(shop, examples.tokens, examples.draws)
    assert torch.equal(*(t.id[t.kind == Kind.NODE] for t in (shorter, examples.tokens)))
    many, few = (int((t.kind == Kind.TEXT).sum()) for t in (examples.tokens, shorter))
    assert 0.3 * many < few < 0.7 * many


def test_chances(ring: Graph, making: Any) -> None:
    augment = Augmentation(operations=("mask", "drop"), chances=(0, 3), drop=0.5)
    _, version = versions(ring, making, augment)
    assert version.lengths().tolist() == [3] * 24
    _, version = versions(ring, making, Augmentation(operations=("mask", "drop"), drop=0.5))
    assert set(version.lengths().tolist()) == {3, 6}
    for wrong in ((1.0,), (-1.0, 2.0), (0.0, 0.0)):
        config = {"operations": ["mask", "drop"], "chances": wrong}
        with pytest.raises(GraphRecError, match="chance"):
            objective.build({"name": "history_contrast", "augment": config})
