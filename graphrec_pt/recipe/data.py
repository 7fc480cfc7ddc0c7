"""The data of a recipe: its graph, its split, and whether the recipe fits them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphrec_pt.core.errors import ConfigErrors, GraphRecError, raise_all
from graphrec_pt.core.registry import config_of
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.data.fetch import fetch
from graphrec_pt.graph.derive import derivation
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import protocol
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import Split, split
from graphrec_pt.graph.store import open_graph
from graphrec_pt.recipe.pretrained import saved_model
from graphrec_pt.recipe.recipe import Data, Recipe
from graphrec_pt.training.trainer import check_stages

Tell = Callable[[str, int, int], None]
"""Told what is being done, how many steps are done, and how many there are."""
CACHE = Path("~/.cache/graphrec_pt")
"""Folder of downloaded raw files."""


def graph_of(
    data: Data, raw: str | Path | None = None, *, cache: Path = CACHE, tell: Tell | None = None
) -> Graph:
    """Return the graph that a recipe names, built in memory where it is not stored.

    Args:
        data: Data of a recipe.
        raw: Folder of raw files; without it they are downloaded.
        cache: Where downloads are kept.
        tell: Told what is being done.
    """
    if data.graph is not None:
        return open_graph(data.graph)
    assert data.card is not None
    card = load_card(data.card)
    card = card.without(card.all_time if data.without is None else data.without)
    if raw is None:
        fetch(card, raw := cache.expanduser() / card.name, tell)
    return build_card(card, raw, seed=data.seed, progress=tell)


def raw_folder(data: Data, cache: Path = CACHE) -> Path | None:
    """Return where the downloaded raw files of a recipe are kept; None for a saved graph."""
    return None if data.card is None else cache.expanduser() / load_card(data.card).name


def split_of(data: Data, graph: Graph) -> Split:
    """Return the graph of a recipe, split as the recipe says.

    A relation that the recipe derives takes the place of one of the same name that the card
    derives.
    """
    schema = graph.schema
    named = [config_of(each) for each in data.derive]
    names = {each.relation(schema).name for each in data.derive}
    kept = [
        config
        for config in schema.derive
        if derivation.build(config).relation(schema).name not in names
    ]
    recorded = {"derive": (*kept, *named)}  # done by the split, for every view
    graph = replace(graph, schema=schema.model_copy(update=recorded)) if data.derive else graph
    return split(graph, data.split, seed=data.seed)


def check_fits(recipe: Recipe, made: Split) -> None:
    """Raise unless a recipe fits its data; nothing was trained yet.

    Raises:
        GraphRecError: For types, relations, columns and metapaths that the graph does not have, and
            tokens that no linearizer of the recipe makes: every mistake at once.
    """
    errors: list[GraphRecError] = []
    with _gathering(errors):
        check_stages(recipe.stages, made.train)
    with _gathering(errors):
        spec = GraphSpec.of(made.train)
        config = recipe.model.sized(spec)
        config.features.build(spec, config.backbone.width)
    with _gathering(errors):
        if recipe.start is not None:
            saved_model(recipe)
    for when, targets in (("validation", made.valid), ("test", made.test)):
        if not len(targets):
            errors.append(_no_targets(recipe, made, when))
    with _gathering(errors):
        recipe.evaluate.asked.check_split(made, recipe.evaluate.metrics)
    raise_all(errors)


def _no_targets(recipe: Recipe, made: Split, when: str) -> GraphRecError:
    """Return the error for a split that holds nothing out, with what the data lacks for it."""
    config = recipe.data.split
    used = config if isinstance(config, str) else protocol.config(protocol.build(config))["name"]
    graph, relation = made.graph, made.relation
    edges = graph.num_edges(relation)
    longest = int(graph.degree(relation).max()) if edges else 0
    got = f"none from {used!r}: {relation!r} has {edges:,} edges, the longest history {longest:,}"
    others = ", ".join(name for name in protocol.names() if name != used)
    hint = f"more data, or another `data.split` ({others})"
    return GraphRecError("data.split", f"targets at {when}", got, hint)


def baselines_of(recipe: Recipe, made: Split) -> dict[str, dict[str, Any]]:
    """Return the baselines by name, those that fit the data where the recipe names none."""
    task, chosen = recipe.evaluate.asked, recipe.evaluate.baselines
    if chosen is None:
        chosen = tuple(task.family.build(name) for name in task.baselines(made))
    configs: dict[str, dict[str, Any]] = {}
    for config in map(config_of, chosen):
        again = sum(other["name"] == config["name"] for other in configs.values())
        configs[f"{config['name']} {again + 1}" if again else config["name"]] = config
    return configs


@contextmanager
def _gathering(found: list[GraphRecError]) -> Iterator[None]:
    try:
        yield
    except ConfigErrors as errors:
        found += errors.errors
    except GraphRecError as error:
        found.append(error)
