"""The command line as a user meets it: what it prints, where, and how it exits."""

import json
import os
import re
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from graphrec_pt.cli import main
from graphrec_pt.cli.data import view
from graphrec_pt.data.card import card_files, load_card
from graphrec_pt.data.describe import describe
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema
from tests import small_graph

toy_graph = small_graph.toy_graph  # a fixture


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    folder = tmp_path / "graphs" / "toy"
    assert main(["data", "build", "toy-shop", "--raw", str(tmp_path), "--out", str(folder)]) == 0
    return folder


def test_ls_names_every_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "ls"]) == 0
    said = capsys.readouterr()
    assert "movielens-100k" in said.out
    assert said.err == ""
    assert main(["data", "ls", "--json"]) == 0
    assert "toy-shop" in {card["name"] for card in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "cp1252"])
def test_output_in_any_encoding(encoding: str) -> None:
    command = [sys.executable, "-m", "graphrec_pt", "data", "ls"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"movielens-100k" in done.stdout


def test_ls_through_a_pipe_crops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "ls"]) == 0
    lines = {line.split()[0]: line.rstrip() for line in capsys.readouterr().out.splitlines()}
    for file in card_files():
        card = load_card(file.name.removesuffix(".yaml"))
        assert card.title in lines[card.name]
        for what, count in list(card.expect.items())[:3]:
            assert f"{what} {count:,}" in lines[card.name]
    assert lines["movielens-1m"].endswith("downloaded")


def test_ls_in_a_narrow_terminal_keeps_names_and_ways(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes it a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    for width in ("80", "60"):
        monkeypatch.setenv("COLUMNS", width)
        assert main(["data", "ls"]) == 0
        said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        assert all(len(line) <= int(width) for line in said.splitlines())
        assert "…" not in said
        for name, way in (("movielens-latest-small", "downloaded"), ("toy-shop", "in the card")):
            assert any(line.startswith(name) and way in line for line in said.splitlines())


def test_build_describes_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "toy"
    assert main(["data", "build", "toy-shop", "--raw", str(tmp_path), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "fingerprint" in said
    assert f"saved in {out}\n" in said
    assert (out / "graph.json").exists()


def test_describe_as_json(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["data", "describe", str(toy), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fingerprint"]
    assert main(["data", "describe", str(toy)]) == 0
    assert "user" in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
def test_the_view_shows_what_matters(toy_graph: Graph, width: int) -> None:
    console = Console(width=width, record=True, file=StringIO())
    console.print(view(describe(toy_graph)))
    text = console.export_text()
    for part in ("user → item", "0 3 2 3", "density 50.00%", "tag", "1 repeat ", "made_by"):
        assert part in text
    assert all(len(line.rstrip()) <= width for line in text.splitlines())


def test_an_empty_graph_has_a_view() -> None:
    types = NodeType(name="u"), NodeType(name="i")
    relation = Relation(name="r", source="u", target="i", interaction=True)
    schema = Schema(nodes=types, relations=(relation,))
    tables = {name: pl.DataFrame({"id": []}, {"id": pl.String}) for name in ("u", "i")}
    none = EdgeList(*np.zeros((3, 0), np.int64))
    empty = Graph(schema, assemble(schema, [0, 0], {"r": none}).csr, tables)
    console = Console(width=80, record=True, file=StringIO())
    console.print(view(describe(empty)))
    assert "u → i" in console.export_text()


@pytest.mark.parametrize(("name", "starts"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_draw_writes_a_picture(toy: Path, tmp_path: Path, name: str, starts: bytes) -> None:
    node = "user:ann" if "ann" in _users(toy) else f"user:{_users(toy)[0]}"
    assert main(["data", "draw", str(toy), "--node", node, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(starts)


def _users(toy: Path) -> list[str]:
    from graphrec_pt import open_graph

    return [str(raw) for raw in open_graph(toy).tables["user"]["id"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "build", "movielens-100kk"], "did you mean 'movielens-100k'"),
        (["data", "build", "missing.yaml"], "card: expected an existing file"),
        (["data", "build", "mind", "--raw", "/nowhere/at/all"], "expected a folder of raw files"),
        (["data", "describe", "/nowhere/at/all"], "expected a saved graph"),
        (["data", "bild"], "No such command 'bild'"),
        (["data", "draw", "x"], "Missing option"),
        (["--nonsense"], "No such option"),
        (["data", "build", "toy-shop", "--seed", "many"], "should be a valid integer"),
    ],
)
def test_mistakes_take_one_line_and_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("ann", "--node: expected TYPE:RAWID"),
        ("usr:ann", "did you mean 'user'"),
        ("user:nobody", "expected a known user id"),
    ],
)
def test_draw_says_which_node_is_meant(
    toy: Path, node: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    picture = tmp_path / "a.png"
    assert main(["data", "draw", str(toy), "--node", node, "--out", str(picture)]) == 2
    assert message in capsys.readouterr().err
    assert not picture.exists()


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ValueError, match="known data set"):
        main(["data", "build", "no-such-card", "--debug"])


def test_our_own_faults_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(folder: Path) -> None:
        raise RuntimeError("a wheel\ncame off")

    monkeypatch.setattr("graphrec_pt.graph.store.open_graph", broken)
    assert main(["data", "describe", "x"]) == 1
    assert "RuntimeError: a wheel came off; try --debug" in capsys.readouterr().err


def test_help_without_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: graphrec" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("graphrec_pt ")


def test_interrupt_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while a graph is written: one line, exit 130, no folder."""
    code = (
        "import os, sys; from graphrec_pt.graph import store; from graphrec_pt.cli import main\n"
        f"def pressed(*a, **k): os.kill(os.getpid(), {int(signal.SIGINT)})\n"
        "store.np.save = pressed\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    out = tmp_path / "graphs" / "toy"
    arguments = ["data", "build", "toy-shop", "--raw", str(tmp_path), "--out", str(out)]
    command = [sys.executable, "-c", code, *arguments]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 130
    assert child.stderr.strip().splitlines()[-1] == "interrupted; nothing half-written is left"
    assert list((tmp_path / "graphs").iterdir()) == []
