"""Old addresses of modules still import, and give the very same module."""

import subprocess
import sys
from importlib import import_module

import pytest

from graphrec_pt.core.moved import OldAddresses


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("graphrec_pt.graph.raw", "graphrec_pt.data.raw"),
        ("graphrec_pt.graph.readers", "graphrec_pt.data.readers"),
        ("graphrec_pt.graph.convert.pyg", "graphrec_pt.data.convert.pyg"),
        ("graphrec_pt.graph.scratch", "graphrec_pt.core.scratch"),
    ],
)
def test_an_old_address_gives_the_same_module(old: str, new: str) -> None:
    assert import_module(old) is import_module(new)
    assert import_module(new).__name__ == import_module(new).__spec__.name == new


def test_it_does_not_matter_which_address_is_asked_first() -> None:
    code = "import graphrec_pt.graph.card as a, graphrec_pt.data.card as b; assert a is b"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_module_that_is_nowhere_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"graphrec_pt\.graph\.nothing"):
        import_module("graphrec_pt.graph.nothing")


def test_one_finder_however_often_it_is_installed() -> None:
    before = [finder for finder in sys.meta_path if isinstance(finder, OldAddresses)]
    OldAddresses("graphrec_pt.graph", ["graphrec_pt.data"]).install()
    assert [f for f in sys.meta_path if isinstance(f, OldAddresses)] == before
