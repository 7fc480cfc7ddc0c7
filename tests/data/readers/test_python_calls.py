"""Calls in Python code: what names stand for, and files that cannot be read."""

import ast
from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.data.raw import find_files
from graphrec_pt.data.reader import reader
from graphrec_pt.data.readers.python_calls import calls_of

CODE = """
import numpy as np, os.path
from networkx import Graph
from . import near
from ..far import thing as other

def first(x, known):
    graph = Graph()
    graph.add_node(np.sum(x))
    known.add(len(x))
    mixed = Graph() if x else None
    mixed = Graph()
    mixed.clear()
    def inner():
        return os.path.join(near.name(), other())
    return inner
"""


def test_names_lead_back_to_imports() -> None:
    found = dict(calls_of(ast.parse(CODE), ["top", "below"]))
    assert found == {
        7: ["networkx.Graph", "networkx.Graph.add_node", "numpy.sum", "networkx.Graph",
            "networkx.Graph"],
        14: ["os.path.join", "top.below.near.name", "top.far.thing"],
    }  # fmt: skip


def test_nothing_runs_and_what_cannot_be_read_is_counted(read: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    good = f"import a\nopen({str(mark)!r}, 'w')\ndef f():\n    a.b()\n    a.c()\n"
    deep = "x = " + "(" * 5000 + ")" * 5000
    files = {"good.py": good, "deep.py": deep, "null.py": "x = '\0'", "no.py": "def f(:"}
    config = {"name": "python_calls", "library": "a", "least": 1}
    tables = read(config, files)
    assert not mark.exists()
    problems = dict(tables["files"].select("file", "problem").iter_rows())
    assert problems.pop("good.py") is None
    assert set(problems) == {"deep.py", "null.py", "no.py"}
    assert all(problem.startswith("line 1: ") for problem in problems.values())
    assert tables["calls"]["api"].to_list() == ["a.b", "a.c"]
    assert tables["apis"]["domain"].to_list() == ["yes", "yes"]


@pytest.mark.parametrize("tests", [False, True])
def test_files_of_all_depths_count_and_tests_on_demand(tmp_path: Path, tests: bool) -> None:
    for place in ("one.py", "p/__init__.py", "p/q/__init__.py", "p/q/r.py", "p/tests/t.py"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("import a\ndef f():\n    a.b()\n    a.b()\n")
    config = {"name": "python_calls", "library": "a", "tests": tests}
    tables = reader.build(config).read(find_files(tmp_path, "**/*.py"))
    named = {"one.py": "one", "p/__init__.py": "p", "p/q/__init__.py": "p", "p/q/r.py": "p"}
    found = dict(tables["files"].select("file", "project").iter_rows())
    assert {file: found[file] for file in named} == named
    assert len(found) == len(named) + tests
