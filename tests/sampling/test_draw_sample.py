"""Pictures of samples, from Python and from the command line."""

from pathlib import Path

import pytest

from graphrec_pt.cli import main
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.picture import Picture
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.store import save_graph
from graphrec_pt.sampling.draw_sample import draw_sample

PATHS = "{name: path_subgraph, metapaths: [[rates, rated_by, rates]], edges: true}"


def words(picture: Picture) -> set[str]:
    return {pill.label for pill in picture.pills} | {text for *_, text, _ in picture.texts}


def test_a_sample_is_drawn(train: Graph) -> None:
    seen = words(draw_sample(train, "history", [0]))
    items = train.neighbors(0, "rates").tolist()
    assert {train.raw_id(0), "history", *(train.raw_id(item) for item in items)} <= seen
    everything = words(draw_sample(train, {"name": "k_hop", "fanout": [9, 9]}, [0]))
    few = words(draw_sample(train, {"name": "k_hop", "fanout": [9, 9]}, [0], limit=3))
    assert len(few) < len(everything)


def test_roots_must_fit_the_sampler(train: Graph) -> None:
    with pytest.raises(GraphRecError, match="one node, got 2"):
        draw_sample(train, "history", [0, 1])
    draw_sample(train, "ego", [12, 13, 14])


@pytest.mark.parametrize(
    ("nodes", "chosen"),
    [
        (["user:u0"], "random_walk"),
        (["user:u2"], "{name: metapath, relations: [rates, rated_by], repeats: 4}"),
        (["user:u0", "item:i3"], PATHS),
        (["code:c0", "code:c2"], "ego"),
        (["user:u11"], "k_hop"),
    ],
)
def test_command_line(train: Graph, tmp_path: Path, nodes: list[str], chosen: str) -> None:
    save_graph(train, tmp_path / "g")
    picture = tmp_path / "a.svg"
    asked = [word for node in nodes for word in ("--node", node)]
    command = ["data", "draw", str(tmp_path / "g"), *asked, "--out", str(picture)]
    assert main([*command, "--sampler", chosen]) == 0
    assert picture.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("nodes", "chosen", "message"),
    [
        (["user:u0"], "histroy", "did you mean 'history'"),
        (["user:u0"], "{name: k_hop, fanout: [0]}", "greater than or equal to 1"),
        (["item:i0"], "history", "roots of type 'user'"),
        (["user:u0"], PATHS, "two nodes, the ends of the paths, got 1"),
        (["user:u0"], "{name: ", "a name or a YAML mapping"),
        (["user:u0"], "os.path", "a registered name, got the dotted path"),
        (["user:u0", "user:u1"], None, "one node without --sampler"),
    ],
)
def test_mistakes(
    train: Graph,
    tmp_path: Path,
    nodes: list[str],
    chosen: str | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_graph(train, tmp_path / "g")
    asked = [word for node in nodes for word in ("--node", node)]
    command = ["data", "draw", str(tmp_path / "g"), *asked, "--out", str(tmp_path / "a.png")]
    assert main(command if chosen is None else [*command, "--sampler", chosen]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
