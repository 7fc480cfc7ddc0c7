import pickle
from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError

SESSIONS = [[1, 70000, 1], [300], [2**31 - 1, 2]]
ROWS = [
    ("a/0", 1, 0, "a"),
    ("a/0", 70000, 1, "a"),
    ("a/0", 1, 2, "a"),
    ("a/1", 300, 0, "a"),
    ("a/2", 2**31 - 1, 0, "a"),
    ("a/2", 2, 1, "a"),
]


class Harmful:
    def __reduce__(self) -> Any:
        return (print, ("ran",))


def rows(table: Any) -> list[Any]:
    return list(table.select("session", "item", "position", "file").rows())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickled_lists_are_interpreted(read: Any, protocol: int) -> None:
    content = pickle.dumps(SESSIONS, protocol)
    assert rows(read("nested_lists", {"a.txt": content})["sessions"]) == ROWS


@pytest.mark.parametrize("content", [str(SESSIONS), f"({str(SESSIONS)[1:-1]})"])
def test_text_lists(read: Any, content: str) -> None:
    assert rows(read("nested_lists", {"a.txt": content})["sessions"]) == ROWS


@pytest.mark.parametrize("harmful", [[Harmful()], [[1, Harmful()]], [["text"]], [[1.5]], {"a": 1}])
def test_any_other_opcode_is_refused(read: Any, harmful: Any, capsys: Any) -> None:
    with pytest.raises(GraphRecError, match=r"a.txt byte \d+: expected only lists"):
        read("nested_lists", {"a.txt": pickle.dumps(harmful, 2)})
    assert "ran" not in capsys.readouterr().out


def test_truncated_pickle_is_told(read: Any) -> None:
    content = pickle.dumps(SESSIONS, 2)
    with pytest.raises(GraphRecError, match="expected complete lists of whole numbers"):
        read("nested_lists", {"a.txt": content[:-8]})


def test_prefixes_become_the_sessions_they_come_from(read: Any) -> None:
    # Sessions 1 2 3, then 1 2 (another one, though a prefix of the first), then 4 5.
    pair = ([[1, 2], [1], [1], [4]], [3, 2, 2, 5])
    table = read("nested_lists", {"a.txt": pickle.dumps(pair, 2)})["sessions"]
    found = table.group_by("session", maintain_order=True).agg("item")["item"].to_list()
    assert found == [[1, 2, 3], [1, 2], [4, 5]]
