import pickle

import pytest

from graphrec_pt.core.errors import ConfigErrors, GraphRecError, did_you_mean, raise_all


def test_one_line_who_expected_got_try() -> None:
    error = GraphRecError("walk", "roots below 10", 12, "graph.node_id(…)")
    assert str(error) == "walk: expected roots below 10, got 12; try graph.node_id(…)"
    assert str(GraphRecError("walk", "roots")) == "walk: expected roots"


def test_line_breaks_of_causes_are_folded() -> None:
    assert "\n" not in str(GraphRecError("a", "b", "several\nlines", "c\nd"))


def test_all_errors_at_once() -> None:
    first, second = GraphRecError("a", "x"), GraphRecError("b", "y")
    with pytest.raises(ConfigErrors) as caught:
        raise_all([first, second])
    assert str(caught.value) == "a: expected x\nb: expected y"
    with pytest.raises(GraphRecError, match="a: expected x"):
        raise_all([first])
    raise_all([])


def test_errors_survive_another_process() -> None:
    error = GraphRecError("a", "b", "c", "d")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    both = ConfigErrors([error, error])
    assert str(pickle.loads(pickle.dumps(both))) == str(both)


def test_did_you_mean() -> None:
    assert did_you_mean("gener", ["genre", "item"]) == "did you mean 'genre'?"
    assert did_you_mean("zzz", ["b", "a"]) == "one of a, b"
    assert did_you_mean("zzz", []) == ""
