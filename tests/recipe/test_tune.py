"""A search changes options by validation alone, goes on, and keeps the best recipe."""

from pathlib import Path

import pytest

from graphrec_pt import GraphRecError, load_recipe
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.evaluation.tasks.ranking import Ranking
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.recipe import Recipe
from graphrec_pt.recipe.search_space import Range, ranges_of
from graphrec_pt.serve.report.tuning import write_tuning
from tests.serve.shop import SMALL, write_shop

pytest.importorskip("optuna")

from graphrec_pt.recipe.tune import tune

SPACE = ("optim.lr=1e-3..1e-1:log", "model.width=8,16")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Graph]:
    folder = write_shop(tmp_path_factory.mktemp("shop"))
    card = folder / "corner.yaml"
    recipe = load_recipe("sasrec", [f"data.card={card}", *SMALL, "stages.0.epochs=2"])
    return recipe, build_card(load_card(card), folder)


def test_a_search_never_judges_the_test(
    shop: tuple[Recipe, Graph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, graph = shop
    judge, judged = Ranking.judge, []

    def watched(self: Ranking, system: object, made: object, when: str, *more: object) -> object:
        judged.append(when)
        return judge(self, system, made, when, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Ranking, "judge", watched)
    found = tune(recipe, SPACE, tmp_path / "s", trials=3, graph=graph)
    assert judged == ["valid"] * 6  # two epochs of three trials
    assert len(found.trials) == 3
    metrics = [trial.metric for trial in found.trials]
    best = max(found.trials, key=lambda trial: trial.metric or 0)
    assert found.best.stages[0].optimization.lr == best.values["stages.0.optimization.lr"]
    assert found.best.model.backbone.width == best.values["model.backbone.width"]
    assert best.metric == max(each for each in metrics if each is not None)
    assert load_recipe(tmp_path / "s" / "best.yaml") == found.best
    again = tune(recipe, SPACE, tmp_path / "s", trials=4, graph=graph)
    assert len(judged) == 8  # one more trial
    assert list(again.trials[:3]) == list(found.trials)
    assert not list((tmp_path / "s").glob("trial-*"))
    page = write_tuning(again).read_text()
    assert "The test targets were not judged" in page.replace("\n", " ")
    assert page.count("<circle") == 8  # two options of four trials
    with pytest.raises(GraphRecError, match="one with another space"):
        tune(recipe, SPACE[:1], tmp_path / "s", trials=4, graph=graph)


def test_the_same_options_again(shop: tuple[Recipe, Graph], tmp_path: Path) -> None:
    recipe, graph = shop
    one, two = (tune(recipe, SPACE, tmp_path / n, trials=2, graph=graph) for n in ("a", "b"))
    assert one.trials == two.trials


@pytest.mark.slow
def test_workers_share_the_trials(shop: tuple[Recipe, Graph], tmp_path: Path) -> None:
    recipe, graph = shop
    found = tune(recipe, SPACE, tmp_path / "s", trials=3, workers=2, graph=graph)
    assert 3 <= len(found.trials) <= 4  # a worker ends the trial that it has begun


def test_ranges(shop: tuple[Recipe, Graph]) -> None:
    content = shop[0].resolved()
    assert ranges_of(["optim.lr=1e-4..1e-2:log"], content) == (
        Range("stages.0.optimization.lr", 1e-4, 1e-2, whole=False, log=True),
    )
    assert ranges_of(["stages.0.batch=16..64"], content)[0].whole
    assert ranges_of(["model.layers=1,2"], content)[0] == Range(
        "model.backbone.layers", values=(1, 2)
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("optim.lrr=1..2", "did you mean 'lr'"),
        ("optim.lr=1e-2..1e-4", "LOW < HIGH"),
        ("optim.lr=0..1:log", "0 < LOW < HIGH"),
        ("optim.lr=1e-3", "two values or more, or a range"),
        ("optim.lr", "KEY=LOW..HIGH or KEY=A,B"),
        ("modell.width=1,2", "an option of the recipe"),
    ],
)
def test_wrong_ranges_are_told(shop: tuple[Recipe, Graph], text: str, told: str) -> None:
    with pytest.raises(GraphRecError, match=told):
        ranges_of([text], shop[0].resolved())
