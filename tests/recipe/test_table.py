"""The tables of recipes/README.md say what the recipes are."""

import re
from pathlib import Path

import pytest

from graphrec_pt.core.registry import name_of
from graphrec_pt.recipe.files import load_recipe, recipe_files

README = (Path(__file__).parents[2] / "recipes" / "README.md").read_text(encoding="utf-8")
NAMES = [file.name.removesuffix(".yaml") for file in recipe_files()]


def rows(header: str) -> dict[str, list[str]]:
    """Return recipe → cells of the table that begins with a header."""
    table = README.partition(header)[2].partition("\n\n")[0]
    cells = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `")]
    return {
        name: [cell.strip() for cell in row]
        for row in cells
        for name in re.findall(r"`(\w+)`", row[0])
    }


PAPERS = rows("| recipe | paper |")
SHAPES = rows("| recipe | strategy | objectives | data |")
MEASURED = rows("| recipe | command | seeds |")


def test_the_tables_name_every_recipe_and_no_other() -> None:
    assert set(PAPERS) == set(NAMES)
    assert set(SHAPES) == set(NAMES)
    assert set(MEASURED) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_strategies_and_objectives_are_those_of_the_recipe(name: str) -> None:
    recipe = load_recipe(name)
    _, strategies, objectives, *_ = SHAPES[name]
    assert any(stage.strategy.name in strategies for stage in recipe.stages)
    for stage in recipe.stages:
        for term in stage.objectives:
            assert name_of(term.objective) in objectives
