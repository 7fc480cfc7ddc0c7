"""Recipe files: shipped ones, the user's own, and overrides of their options."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from graphrec_pt.core.documents import YAML_BYTES, parse_yaml, parse_yaml_mapping, read_text
from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.registry import trusting
from graphrec_pt.core.scratch import write_text
from graphrec_pt.data.card import load_card, shipped
from graphrec_pt.models.model_config import ModelConfig
from graphrec_pt.recipe.recipe import Data, Evaluation, Recipe
from graphrec_pt.recipe.roles import with_roles
from graphrec_pt.training.options import Options
from graphrec_pt.training.stage import Optimization, Stage

NAMED = ("sampler", "linearizer", "backbone", "strategy", "split", "schedule")
"""Options that may be a bare name, which is the mapping ``{name: …}``."""

OF_RUN = "recipe.yaml"
"""The recipe in the folder of a run."""


def recipe_files() -> Iterator[Traversable]:
    """Yield the YAML files of all shipped recipes, by name."""
    files = (f for f in shipped("recipes").iterdir() if f.name.endswith(".yaml"))
    yield from sorted(files, key=lambda f: f.name)


def recipe_file(name: str | Path) -> Traversable:
    """Return the file of the shipped recipe called `name`, the YAML file at a path, or a run's.

    Raises:
        GraphRecError: When there is none.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise GraphRecError("recipe", "an existing file", repr(str(name)), "checking the path")
        return path
    known = {f.name.removesuffix(".yaml"): f for f in recipe_files()}
    file = known.get(str(name)) or known.get(str(name).replace("-", "_").lower())
    if file is not None:
        return file
    if (path / OF_RUN).is_file():
        return path / OF_RUN
    expected, got = "a known recipe, a YAML file or the folder of a run", repr(str(name))
    hint = did_you_mean(str(name), known)
    if path.is_dir():
        got, hint = f"a folder without {OF_RUN}", ""
    raise GraphRecError("recipe", expected, got, hint)


def load_recipe(
    name: str | Path,
    overrides: Sequence[str] = (),
    *,
    quick: bool = False,
    trust_code: bool = False,
) -> Recipe:
    """Return a recipe, by the name of a shipped one, from a YAML file or the folder of a run.

    The names of its data take the place of its roles (:mod:`graphrec_pt.recipe.roles`).

    Args:
        name: Name of the recipe.
        overrides: Options to change, such as ``stages.0.epochs=3``; values are YAML.
        quick: Take the recipe's quick setting; `overrides` win over its options.
        trust_code: Let it name code by dotted path or plug-in, which is then run.

    Raises:
        GraphRecError: When there is no such recipe; for all its mistakes at once.

    Example:
        >>> recipe = load_recipe("sasrec", ["data.card=toy-shop", "stages.0.epochs=1"])
        >>> recipe.stages[0].epochs
        1.0
    """
    file = recipe_file(name)
    content = recipe_content(name, overrides, quick=quick)
    with trusting(trust_code):
        return Recipe.checked(content, file.name)


def recipe_content(
    name: str | Path, overrides: Sequence[str] = (), *, quick: bool = False
) -> dict[str, Any]:
    """Return the content of a recipe's file with its options changed and its roles filled.

    Args:
        name: As for :func:`load_recipe`.
        overrides: Likewise.
        quick: Likewise.

    Raises:
        GraphRecError: When there is no such recipe or it has no quick setting, and for roles that
            its data lacks.
    """
    file = recipe_file(name)
    content = _content(file)
    if quick:
        changes = content.get("quick")
        if not isinstance(changes, list) or not changes:
            hint = "KEY=VALUE options such as stages.0.epochs=3"
            raise GraphRecError(file.name, "a quick setting (`quick:`)", "none", hint)
        overrides = [*map(str, changes), *overrides]
        content["setting"] = "quick"
    of_data = [override for override in overrides if override.startswith("data.")]
    for override in of_data:  # first: the data says what the names of other options are
        override_option(content, override)
    content = with_roles(content, file.name)
    for override in overrides:
        if override not in of_data:
            _check_place(override)
            override_option(content, override)
    return with_roles(content, file.name)


def _check_place(override: str) -> None:
    """Raise for an option that is not where the override puts it; says where it is."""
    path, _, text = override.partition("=")
    if path == "device":
        hint = "leaving it out: a GPU is used where there is one; options.cpu=true keeps to the CPU"
        raise GraphRecError("override", "an option of the recipe", repr(path), hint)
    if home := _place_of(path):
        expected = "an option of the recipe's top level"
        raise GraphRecError("override", expected, repr(path), f"{home}={text}")


def override_option(content: dict[str, Any], override: str) -> None:
    """Set an option of a recipe's content, in place.

    Args:
        content: As YAML gives it.
        override: ``path=value``: names and numbers of list entries with dots between them, and a
            value in YAML. What is not there yet is made.

    Raises:
        GraphRecError: For another form, numbers that no entry has, and paths through a value.
    """
    path, equals, text = override.partition("=")
    if not equals or not all(path.split(".")):
        hint = "stages.0.epochs=3"
        raise GraphRecError("override", "key=value", repr(override), hint)
    value = parse_yaml(text, path, "a value in YAML")
    *way, last = path.split(".")
    place: Any = content
    for number, part in enumerate(way):
        place = _entry(place, part, path, way[number - 1] if number else "")
    if isinstance(place, list):
        place[_number(place, last, path)] = value
    else:
        place[last] = value


def _place_of(name: str) -> str | None:
    """Return where an option stands that was given without the names of its place; else None."""
    if "." in name or name in Recipe.model_fields:
        return None
    places = (
        ("stages.0", Stage),
        ("stages.0.optimization", Optimization),
        ("options", Options),
        ("evaluate", Evaluation),
        ("data", Data),
        ("model", ModelConfig),
    )
    homes = (f"{place}.{name}" for place, model in places if name in model.model_fields)
    return next(homes, None)


def _entry(place: Any, part: str, path: str, under: str) -> Any:
    """Return the entry that a part of a path names, made if it is missing."""
    key: Any = _number(place, part, path) if isinstance(place, list) else part
    if isinstance(place, dict) and place.get(key) is None:
        place[key] = {}
    entry = place[key]
    if isinstance(entry, str) and (part in NAMED or under == "objectives"):
        entry = place[key] = {"name": entry}
    if not isinstance(entry, dict | list):
        raise GraphRecError(path, f"options under {part!r}", repr(entry))
    return entry


def _number(place: Sequence[Any], part: str, path: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        expected = f"a number below {len(place)}" if place else "an entry, and the list has none"
        raise GraphRecError(path, expected, repr(part))
    return int(part)


def check_recipe(name: str | Path, *, trust_code: bool = False) -> Recipe:
    """Return a recipe after checking it and its card, without reading data.

    Args:
        name: Name of the recipe.
        trust_code: As for :func:`load_recipe`.

    Raises:
        GraphRecError: For all its mistakes at once.
    """
    recipe = load_recipe(name, trust_code=trust_code)
    if recipe.data.card is not None:
        load_card(recipe.data.card)
    return recipe


def recipe_text(recipe: Recipe) -> str:
    """Return the resolved form of a recipe as YAML."""
    return yaml.safe_dump(recipe.resolved(), sort_keys=False, allow_unicode=True, width=100)


def write_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write the resolved form of a recipe."""
    write_text(path, recipe_text(recipe))


def summary(file: Traversable) -> Mapping[str, Any]:
    """Return name, title and paper of a recipe's file, without validating the rest."""
    content = _content(file)
    name = file.name.removesuffix(".yaml")
    return {"name": name, "title": content.get("title", ""), "paper": content.get("paper", "")}


def recipe_source(name: str | Path) -> str:
    """Return the YAML of a recipe as it is written; see :func:`recipe_file`."""
    return _text(recipe_file(name))


def _content(file: Traversable) -> dict[str, Any]:
    return parse_yaml_mapping(_text(file), file.name)


def _text(file: Traversable) -> str:
    if isinstance(file, Path):
        return read_text(file, YAML_BYTES)
    return file.read_text(encoding="utf-8")
