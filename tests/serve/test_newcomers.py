"""A trained model on a newer graph: new items by content, new users by events, told apart."""

from pathlib import Path

import pytest

from graphrec_pt import (
    GraphRecError,
    Predictor,
    Recommender,
    from_pretrained,
    open_run,
    run_recipe,
)
from graphrec_pt.cli import main
from graphrec_pt.data.append import append
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.store import save_graph
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.refit import refit_run
from tests.serve.shop import SMALL, write_shop

CONTENT = "model.features.by_type.item=[id, content]"


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Graph]:
    """The folder of the shop, and its graph a week later: a user and two items are new."""
    folder = write_shop(tmp_path_factory.mktemp("shop"))
    week = tmp_path_factory.mktemp("week")
    lines = (folder / "items.csv").read_text().splitlines()[1:]
    one, two = sorted({line.split(",")[-1] for line in lines})[:2]
    (week / "items.csv").write_text(
        f"price,item,title,brand\n3,new1,A new thing,{one}\n4,new2,Another,{two}\n"
    )
    (week / "sales.csv").write_text(
        "user,item,time\nfresh,i3,1900000000\nfresh,i7,1900000001\nu1,new2,1900000002\n"
    )
    card = load_card(folder / "corner.yaml")
    return folder, append(build_card(card, folder), card, week)


def trained(folder: Path, out: Path, *changes: str) -> Run:
    options = [f"data.card={folder / 'corner.yaml'}", *SMALL, "stages.0.epochs=1", *changes]
    run_recipe(load_recipe("sasrec", options), out, raw=folder)
    run = open_run(out)
    refit_run(run)
    return run


@pytest.fixture(scope="module")
def by_content(
    later: tuple[Path, Graph], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Recommender]:
    run = trained(later[0], tmp_path_factory.mktemp("runs") / "content", CONTENT)
    return run, from_pretrained(run).on(later[1])


def test_a_new_user_is_known_by_events(by_content: tuple[Run, Recommender]) -> None:
    run, recommender = by_content
    given = recommender.recommend(["fresh"], 5)[0]
    assert (given.by, given.history) == ("model", ("i3", "i7"))
    old = from_pretrained(run).recommend([["i3", "i7"]], 5)[0]
    known = [item for item in given.items if not item.id.startswith("new")]
    for item in known:
        if item.id in {other.id for other in old.items}:
            score = next(other.score for other in old.items if other.id == item.id)
            # Near, not equal: frequencies of words are those of the newer graph.
            assert item.score == pytest.approx(score, rel=0.05)


def test_new_items_are_ranked_by_their_content(by_content: tuple[Run, Recommender]) -> None:
    _, recommender = by_content
    given = recommender.recommend(["u2"], 10, only=["title=A new thing|Another"])[0]
    assert {item.id for item in given.items} == {"new1", "new2"}
    scores = {item.score for item in given.items}
    assert len(scores) == 2  # their brands differ, and so do their scores
    assert "2 of item" in recommender.edges
    assert "1 of user" in recommender.edges


def test_new_items_without_content_are_never_recommended(
    later: tuple[Path, Graph], tmp_path: Path
) -> None:
    run = trained(later[0], tmp_path / "run")  # ids alone
    recommender = from_pretrained(run).on(later[1])
    lists = recommender.recommend(["u1", "u2", "fresh"], 32)
    shown = {item.id for given in lists for item in given.items}
    assert not shown & {"new1", "new2"}
    assert len(shown) == 30


def test_the_command_line_reads_the_newer_graph(
    by_content: tuple[Run, Recommender],
    later: tuple[Path, Graph],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_graph(later[1], tmp_path / "graph")
    folder = str(by_content[0].folder)
    assert main(["recommend", folder, "--user", "fresh", "--graph", str(tmp_path / "graph")]) == 0
    assert "nodes that the model was not trained on" in capsys.readouterr().out
    assert main(["recommend", folder, "--user", "fresh"]) == 2
    assert "expected a known user id, got 'fresh'" in capsys.readouterr().err


def test_a_graph_without_the_relation_is_told(
    by_content: tuple[Run, Recommender], later: tuple[Path, Graph]
) -> None:
    text = (later[0] / "corner.yaml").read_text().replace("  buys:", "  likes:")
    (later[0] / "other.yaml").write_text(text)
    other = build_card(load_card(later[0] / "other.yaml"), later[0])
    with pytest.raises(GraphRecError, match="the relation 'buys', got likes"):
        from_pretrained(by_content[0]).on(other)


def test_a_graph_with_other_nodes_is_refused_unless_the_model_is_carried_over(
    by_content: tuple[Run, Recommender], later: tuple[Path, Graph]
) -> None:
    """Node numbers differ between the graphs: the lists would be wrong, or an IndexError."""
    model = by_content[0].model()
    with pytest.raises(
        GraphRecError, match=r"the 40 nodes of 'user', got a graph of 41.*on\(graph"
    ):
        Predictor(model, later[1])
