"""Where a run starts from: a model that was trained before, on this or on another graph."""

import logging
from typing import Any

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import config_of
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.backbone import Backbone
from graphrec_pt.models.model import Model
from graphrec_pt.models.transfer import transfer
from graphrec_pt.recipe.recipe import Recipe

logger = logging.getLogger(__name__)
_BY_GRAPH = ("structure", "relations")


def first_model(recipe: Recipe, graph: Graph, seed: int) -> Model:
    """Return the model that a run takes from its ``start``.

    From another graph everything goes over that does not belong to its nodes, see
    :func:`~graphrec_pt.models.transfer.transfer`; features are those of the recipe.

    Args:
        recipe: With a ``start``.
        graph: What training may see.
        seed: Of new weights.
    """
    structure = getattr(recipe.model.backbone, "structure", {})
    sizes = {name: size for name, size in structure.items() if size is not None}
    features = recipe.model.features
    model, report = transfer(
        saved_model(recipe), graph, features=features, structure=sizes, seed=seed
    )
    logger.info("started from %s:\n%s", recipe.start, report)
    return model


def saved_model(recipe: Recipe) -> Model:
    """Return the model that a recipe starts from.

    Raises:
        GraphRecError: When it is not there, or its backbone is not that of the recipe.
    """
    assert recipe.start is not None
    model = Model.from_pretrained(recipe.start)
    has, wanted = (_plain(each) for each in (model.config.backbone, recipe.model.backbone))
    for name in sorted(has.keys() | wanted.keys()):
        if has.get(name) != wanted.get(name):
            hint = f"model.backbone.{name}={has.get(name)}"
            expected = f"a backbone with {name}: {wanted.get(name)}"
            raise GraphRecError(f"start {recipe.start}", expected, has.get(name), hint)
    return model


def _plain(chosen: Backbone) -> dict[str, Any]:
    """Return the options of a backbone, but for those that a graph tells."""
    return {name: value for name, value in config_of(chosen).items() if name not in _BY_GRAPH}
