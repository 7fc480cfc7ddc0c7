from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError

FILES = {
    "x-nverts.txt": "2\n1\n",
    "x-simplices.txt": "4\n5\n4\n",
    "x-times.txt": "10\n20\n",
    "x-node-labels.txt": "4 four\n5 five and more\n",
}


def test_members_and_labels(read: Any) -> None:
    tables = read("simplices", FILES)
    assert tables["members"].rows() == [(1, 4, 10), (1, 5, 10), (2, 4, 20)]
    assert tables["vertices"].rows() == [("4", "four"), ("5", "five and more")]


def test_files_that_disagree(read: Any) -> None:
    with pytest.raises(GraphRecError, match=r"expected 3 vertices and 2 times.*got 2 and 2"):
        read("simplices", {**FILES, "x-simplices.txt": "4\n5\n"})


def test_a_missing_file_is_named(read: Any) -> None:
    with pytest.raises(GraphRecError, match=r"expected a file …-times.txt, got x-nverts.txt"):
        read("simplices", {k: v for k, v in FILES.items() if "times" not in k})
