"""Tries, against the obvious way to say what may follow."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.tokens.trie import Trie

NAMES = st.lists(
    st.lists(st.integers(0, 5), min_size=1, max_size=5).map(tuple),
    min_size=1,
    max_size=12,
    unique=True,
)


@given(NAMES)
@settings(max_examples=60, deadline=None)
def test_every_prefix_knows_what_may_follow(names: list[tuple[int, ...]]) -> None:
    trie = Trie.of(names)
    assert (len(trie), trie.depth) == (len(names), max(map(len, names)))
    prefixes = {name[:n] for name in names for n in range(len(name) + 1)}
    for prefix in prefixes:
        state = torch.zeros(1, dtype=torch.int64)
        for token in prefix:
            state = trie.step(state, torch.tensor([token]))
        n = len(prefix)
        after = sorted({name[n] for name in names if name[:n] == prefix and len(name) > n})
        assert trie.allowed(state)[1].tolist() == after
        ends = names.index(prefix) if prefix in names else -1
        assert int(trie.name[state]) == ends
        for token in set(range(6)) - set(after):
            assert int(trie.step(state, torch.tensor([token]))) == -1


def test_many_states_at_once() -> None:
    trie = Trie.of([[3, 1], [3, 2], [4]])
    states = trie.step(torch.zeros(3, dtype=torch.int64), torch.tensor([3, 4, 0]))
    ptr, tokens = trie.allowed(states[:2])
    assert (ptr.tolist(), tokens.tolist()) == ([0, 2, 2], [1, 2])
    assert states[2] == -1


def test_names_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(GraphRecError, match="names that differ, got 'Ran' and 'Ran !'"):
        Trie.of([[1], [2, 3], [2, 3]], ["Heat", "Ran", "Ran !"])
    with pytest.raises(GraphRecError, match="'Up', empty"):
        Trie.of([[1], []], ["Heat", "Up"])
    with pytest.raises(GraphRecError, match="at least one name"):
        Trie.of([])
