"""Whether a recipe fits a data set, found out before any data is read."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphrec_pt.core.errors import ConfigErrors, GraphRecError
from graphrec_pt.core.registry import trusting
from graphrec_pt.data.card import load_card
from graphrec_pt.data.sketch import sketch
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import DEFAULT_SPLIT
from graphrec_pt.recipe.data import check_fits, split_of
from graphrec_pt.recipe.files import recipe_content
from graphrec_pt.recipe.recipe import Recipe

LANGUAGE_MODEL = "hugging face"
"""Who raises errors about weights that are not on this machine: data has no part in them."""


def sketch_of(card: str | Path) -> Graph:
    """Return a small random graph as recipes see the data of a card by default."""
    plan = load_card(card)
    return sketch(plan.without(plan.all_time))


def misfits(
    recipe: str | Path,
    card: str | Path,
    overrides: Sequence[str] = (),
    *,
    graph: Graph | None = None,
    trust_code: bool = False,
) -> tuple[GraphRecError, ...]:
    """Return why a recipe cannot run on the data of a card; nothing where it can.

    The recipe is checked, with the names of the card in place of its roles, against a small random
    graph that has the card's types, relations and columns. What depends on the rows themselves,
    such as the length of histories, shows in ``graphrec run --dry-run``.

    Args:
        recipe: Name of a recipe, or its YAML file.
        card: Name of a card, or its YAML file.
        overrides: Options to change, as in :func:`~graphrec_pt.recipe.files.load_recipe`.
        graph: :func:`sketch_of` the card, where it is at hand.
        trust_code: Let the recipe name code by dotted path or plug-in, which is then run.
    """
    try:
        changes = [f"data.card={json.dumps(str(card))}", *overrides]
        content = _offline(recipe_content(recipe, changes))
        with trusting(trust_code):
            chosen = Recipe.checked(content, str(recipe))
        drawn = sketch_of(card) if graph is None else graph
        made = split_of(chosen.data, drawn)
        if not len(made.valid) or not len(made.test):
            # Drawn edges need not fit a protocol of groups or of published parts.
            data = chosen.data.model_copy(update={"split": DEFAULT_SPLIT})
            made = replace(split_of(data, drawn), protocol=made.protocol)
        check_fits(chosen, made)
    except ConfigErrors as errors:
        return tuple(error for error in errors.errors if error.who != LANGUAGE_MODEL)
    except GraphRecError as error:
        return () if error.who == LANGUAGE_MODEL else (error,)
    return ()


def _offline(content: Any) -> Any:
    """Return a recipe's content with every ``download: true`` switched off."""
    if isinstance(content, dict):
        return {
            key: False if key == "download" else _offline(value) for key, value in content.items()
        }
    return [_offline(entry) for entry in content] if isinstance(content, list) else content
