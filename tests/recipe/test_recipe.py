"""Recipes as files: what they resolve to, options changed on the way, every mistake at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from graphrec_pt import GraphRecError
from graphrec_pt.core.errors import ConfigErrors
from graphrec_pt.core.registry import name_of
from graphrec_pt.recipe.files import load_recipe, override_option, recipe_files, write_recipe
from graphrec_pt.recipe.recipe import Recipe

NAMES = [file.name.removesuffix(".yaml") for file in recipe_files()]


@pytest.mark.parametrize("name", NAMES)
def test_what_ships_is_valid_and_resolves_to_itself(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.title
    assert recipe.paper
    write_recipe(recipe, tmp_path / "resolved.yaml")
    again = load_recipe(tmp_path / "resolved.yaml")
    assert again.resolved() == recipe.resolved()


def test_overrides_reach_everything() -> None:
    changed = load_recipe(
        "sasrec",
        [
            "stages.0.epochs=2.5",
            "stages.0.linearizer.window=7",
            "stages.0.objectives.0.candidates.how=bce",
            "data.card=movielens-100k",
            "data.split.name=ratio",
            "seeds=[3, 4]",
            "options.precision=bf16",
        ],
    )
    assert changed.stages[0].epochs == 2.5
    assert changed.stages[0].linearizer.window == 7
    assert changed.stages[0].objectives[0].objective.candidates.how == "bce"
    assert changed.data.card == "movielens-100k"
    assert name_of(changed.data.split) == "ratio"
    assert changed.seeds == (3, 4)
    assert changed.options.precision == "bf16"
    assert changed.options.watch == "ndcg@10"  # what is not said stays as it was


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "key=value"),
        ("=3", "key=value"),
        ("stages..epochs=3", "key=value"),
        ("stages.7.epochs=3", "a number below 1, got '7'"),
        ("stages.first.epochs=3", "a number below 1, got 'first'"),
        ("name.first=x", "options under 'name'"),
        ("title=[unclosed", "a value in YAML"),
    ],
)
def test_overrides_that_lead_nowhere(override: str, message: str) -> None:
    content: dict[str, Any] = {"name": "x", "stages": [{"sampler": "history"}]}
    with pytest.raises(GraphRecError) as error:
        override_option(content, override)
    assert message in str(error.value)


def test_every_mistake_at_once() -> None:
    wrong = [
        "stages.0.sampler.windw=20",
        "stages.0.batc=3",
        "stages.0.objectives.0.name=next_itm",
        "model.backbone.name=grph",
        "data.split=leave_one",
        "evaluate.metrics=[ndgc@10]",
        "options.wach=1",
    ]
    with pytest.raises(ConfigErrors) as error:
        load_recipe("sasrec", wrong)
    lines = str(error.value).splitlines()
    assert len(lines) == len(wrong)
    for hint in ("window", "batch", "next_item", "leave_one_out", "ndcg", "watch"):
        assert any(f"did you mean '{hint}'" in line for line in lines), hint
    places = {line.partition(":")[0].split(" ")[0] for line in lines}
    nested = {"stages.0", "stages.0.sampler", "stages.0.objectives.0", "model.backbone"}
    assert nested | {"data.split", "evaluate.metrics"} <= places


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {}}, "a card or a graph, got neither"),
        ({"data": {"card": "x", "graph": "y"}}, "a card or a graph, got both"),
        ({"data": {"graph": "y", "without": ["buys"]}}, "a card, whose relations it names"),
        ({"stages": []}, "at least 1 item"),
        ({"stages": "history"}, "stages: expected a list, got 'history'"),
        ({"stages": ["history"]}, "stages.0: expected options and their values, got 'history'"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"options": {"seed": 3}}, "seeds in a list of their own"),
        ({"options": {"watch": "hr@3"}}, "options.watch: expected one of the metrics"),
        ({"evaluate": {"baselines": ["popularty"]}}, "did you mean 'popularity'"),
    ],
)
def test_what_does_not_fit_together(change: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphRecError) as error:
        Recipe.checked({**load_recipe("sasrec").resolved(), **change}, "mine.yaml")
    assert message in str(error.value)


def test_the_last_stage_ranks_and_names_differ() -> None:
    content = load_recipe("sasrec").resolved()
    walk = {"sampler": "k_hop", "linearizer": "subgraph", "objectives": ["masked_edge"]}
    content["stages"] = [content["stages"][0], {**walk, "name": "train"}]
    with pytest.raises(ConfigErrors) as error:
        Recipe.checked(content, "mine.yaml")
    assert "stages of different names, got 'train'" in str(error.value)
    assert "stages.1: expected an objective that ranks, got masked_edge; try one of answer" in str(
        error.value
    )


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="did you mean 'sasrec'"):
        load_recipe("sasrek")
    with pytest.raises(GraphRecError, match="an existing file"):
        load_recipe(tmp_path / "none.yaml")
    for text, message in (("- a\n", "a mapping, got list"), ("a: [", "expected YAML")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(GraphRecError, match=message):
            load_recipe(tmp_path / "bad.yaml")


def test_nothing_is_run_that_a_file_names(tmp_path: Path) -> None:
    content = load_recipe("sasrec").resolved()
    content["stages"][0]["sampler"] = {"name": "os.path"}
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(GraphRecError, match="which would run code"):
        load_recipe(tmp_path / "odd.yaml")
