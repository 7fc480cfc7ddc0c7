"""graphrec_pt: graph-centric pre-training for recommender systems.

Everything a recommender knows becomes one typed, time-stamped graph; samplers walk it,
linearizers turn what was sampled into tokens, and a transformer is pre-trained on them.
Names load when they are used, so importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from graphrec_pt.core.moved import OldAddresses

if TYPE_CHECKING:
    from graphrec_pt.core.errors import GraphRecError
    from graphrec_pt.core.key import Key
    from graphrec_pt.data.build import build, build_card
    from graphrec_pt.data.card import Card, load_card
    from graphrec_pt.data.describe import describe
    from graphrec_pt.data.plan import Plan
    from graphrec_pt.data.reader import reader
    from graphrec_pt.features.featurizer import featurizer
    from graphrec_pt.features.node_features import Features
    from graphrec_pt.features.propagation import propagation
    from graphrec_pt.graph.derive import derivation, derive
    from graphrec_pt.graph.graph import Graph
    from graphrec_pt.graph.protocol import protocol
    from graphrec_pt.graph.split import Split, split
    from graphrec_pt.graph.store import open_graph, save_graph
    from graphrec_pt.models.adaptor import adaptor
    from graphrec_pt.models.backbone import backbone
    from graphrec_pt.models.model import Model
    from graphrec_pt.models.prompts.family import prompt
    from graphrec_pt.objectives.objective import objective
    from graphrec_pt.recipe.files import load_recipe
    from graphrec_pt.recipe.folder import open_run
    from graphrec_pt.recipe.recipe import Recipe
    from graphrec_pt.recipe.run import run_recipe
    from graphrec_pt.sampling.loader import Loader
    from graphrec_pt.sampling.sample import Paths, Subgraphs
    from graphrec_pt.sampling.sampler import sampler
    from graphrec_pt.serve.recommender import Recommender, from_pretrained
    from graphrec_pt.serve.report.write import write_report
    from graphrec_pt.tokens.linearizer import linearizer
    from graphrec_pt.tokens.tokens import Tokens
    from graphrec_pt.training.schedule import schedule
    from graphrec_pt.training.stage import Stage
    from graphrec_pt.training.strategy import strategy
    from graphrec_pt.training.trainer import Trainer

__version__ = "0.1.0"

# Cards, readers, the build and the bridges stood in graph/ until 0.1.
OldAddresses("graphrec_pt.graph", ["graphrec_pt.data", "graphrec_pt.core"]).install()

_HOMES = {
    "Card": "data.card",
    "Features": "features.node_features",
    "Graph": "graph.graph",
    "GraphRecError": "core.errors",
    "Key": "core.key",
    "Loader": "sampling.loader",
    "Model": "models.model",
    "Paths": "sampling.sample",
    "Plan": "data.plan",
    "Recipe": "recipe.recipe",
    "Recommender": "serve.recommender",
    "Split": "graph.split",
    "Stage": "training.stage",
    "Subgraphs": "sampling.sample",
    "Tokens": "tokens.tokens",
    "Trainer": "training.trainer",
    "adaptor": "models.adaptor",
    "backbone": "models.backbone",
    "build": "data.build",
    "build_card": "data.build",
    "derivation": "graph.derive",
    "derive": "graph.derive",
    "describe": "data.describe",
    "featurizer": "features.featurizer",
    "from_pretrained": "serve.recommender",
    "linearizer": "tokens.linearizer",
    "load_card": "data.card",
    "load_recipe": "recipe.files",
    "objective": "objectives.objective",
    "open_graph": "graph.store",
    "open_run": "recipe.folder",
    "prompt": "models.prompts.family",
    "propagation": "features.propagation",
    "protocol": "graph.protocol",
    "reader": "data.reader",
    "run_recipe": "recipe.run",
    "sampler": "sampling.sampler",
    "save_graph": "graph.store",
    "schedule": "training.schedule",
    "split": "graph.split",
    "strategy": "training.strategy",
    "write_report": "serve.report.write",
}

__all__ = [
    "Card",
    "Features",
    "Graph",
    "GraphRecError",
    "Key",
    "Loader",
    "Model",
    "Paths",
    "Plan",
    "Recipe",
    "Recommender",
    "Split",
    "Stage",
    "Subgraphs",
    "Tokens",
    "Trainer",
    "adaptor",
    "backbone",
    "build",
    "build_card",
    "derivation",
    "derive",
    "describe",
    "featurizer",
    "from_pretrained",
    "linearizer",
    "load_card",
    "load_recipe",
    "objective",
    "open_graph",
    "open_run",
    "prompt",
    "propagation",
    "protocol",
    "reader",
    "run_recipe",
    "sampler",
    "save_graph",
    "schedule",
    "split",
    "strategy",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'graphrec_pt' has no attribute {name!r}")
    return getattr(import_module(f"graphrec_pt.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
