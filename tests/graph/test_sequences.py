"""Histories laid end to end: pairs, counts of transitions, and ranks in groups by hand."""

import numpy as np

from graphrec_pt.graph.sequences import Sequences, rank_in_group, transition_counts

# the histories 0 1 2 and 1 2
READ = Sequences(
    np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 1, 2]), np.array([2, 1, 0, 1, 0]), (2, 3)
)


def test_pairs_stay_inside_a_history() -> None:
    first, second = READ.pairs(1)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (1, 2), (1, 2)]
    assert [len(part) for part in READ.pairs(9)] == [0, 0]


def test_transitions_fall_with_distance() -> None:
    counts = transition_counts(READ, 2).toarray()
    assert counts.tolist() == [[0, 1, 0.5], [0, 0, 2], [0, 0, 0]]
    assert transition_counts(READ, 2, falloff=0.0).toarray()[0, 2] == 1
    assert transition_counts(READ, 1).toarray()[0, 2] == 0


def test_ranks_begin_anew_in_every_run() -> None:
    assert rank_in_group(np.array([4, 4, 4, 7, 2, 2])).tolist() == [0, 1, 2, 0, 0, 1]
    assert rank_in_group(np.array([], np.int64)).tolist() == []
