"""graphrec_pt: graph-centric pre-training for recommender systems.

Everything a recommender knows becomes one typed, time-stamped graph; samplers walk it,
linearizers turn what was sampled into tokens, and a transformer is pre-trained on them.
Names load when they are used, so importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from graphrec_pt.core.moved import OldAddresses
from graphrec_pt.core.version import __version__ as __version__

if TYPE_CHECKING:
    from graphrec_pt.core.errors import GraphRecError as GraphRecError
    from graphrec_pt.core.key import Key as Key
    from graphrec_pt.data.build import build as build
    from graphrec_pt.data.build import build_card as build_card
    from graphrec_pt.data.card import Card as Card
    from graphrec_pt.data.card import load_card as load_card
    from graphrec_pt.data.describe import describe as describe
    from graphrec_pt.data.plan import Plan as Plan
    from graphrec_pt.data.reader import reader as reader
    from graphrec_pt.evaluation.baseline import baseline as baseline
    from graphrec_pt.evaluation.metric import metric as metric
    from graphrec_pt.evaluation.task import task as task
    from graphrec_pt.evaluation.values import value_baseline as value_baseline
    from graphrec_pt.features.featurizer import Feature as Feature
    from graphrec_pt.features.featurizer import Propagator as Propagator
    from graphrec_pt.features.featurizer import featurizer as featurizer
    from graphrec_pt.features.featurizer import propagation as propagation
    from graphrec_pt.features.node_features import Features as Features
    from graphrec_pt.graph.derive import derivation as derivation
    from graphrec_pt.graph.derive import derive as derive
    from graphrec_pt.graph.graph import Graph as Graph
    from graphrec_pt.graph.protocol import SplitPart as SplitPart
    from graphrec_pt.graph.protocol import protocol as protocol
    from graphrec_pt.graph.split import Split as Split
    from graphrec_pt.graph.split import split as split
    from graphrec_pt.graph.store import open_graph as open_graph
    from graphrec_pt.graph.store import save_graph as save_graph
    from graphrec_pt.models.adaptor import adaptor as adaptor
    from graphrec_pt.models.backbone import backbone as backbone
    from graphrec_pt.models.head import Head as Head
    from graphrec_pt.models.head import head as head
    from graphrec_pt.models.model import Model as Model
    from graphrec_pt.models.prompts.family import prompt as prompt
    from graphrec_pt.models.view import View as View
    from graphrec_pt.objectives.objective import Examples as Examples
    from graphrec_pt.objectives.objective import Objective as Objective
    from graphrec_pt.objectives.objective import StatefulObjective as StatefulObjective
    from graphrec_pt.objectives.objective import TrainingExamples as TrainingExamples
    from graphrec_pt.objectives.objective import objective as objective
    from graphrec_pt.objectives.readout import PairReadout as PairReadout
    from graphrec_pt.objectives.readout import QueryReadout as QueryReadout
    from graphrec_pt.predict.predictor import Predictor as Predictor
    from graphrec_pt.recipe.files import load_recipe as load_recipe
    from graphrec_pt.recipe.folder import open_run as open_run
    from graphrec_pt.recipe.recipe import Recipe as Recipe
    from graphrec_pt.recipe.run import run_recipe as run_recipe
    from graphrec_pt.sampling.loader import Loader as Loader
    from graphrec_pt.sampling.sample import Paths as Paths
    from graphrec_pt.sampling.sample import Subgraphs as Subgraphs
    from graphrec_pt.sampling.sampler import Sets as Sets
    from graphrec_pt.sampling.sampler import sampler as sampler
    from graphrec_pt.serve.recommender import Recommender as Recommender
    from graphrec_pt.serve.recommender import from_pretrained as from_pretrained
    from graphrec_pt.serve.report.write import write_report as write_report
    from graphrec_pt.tokens.kind import Kind as Kind
    from graphrec_pt.tokens.linearizer import Linearizer as Linearizer
    from graphrec_pt.tokens.linearizer import linearizer as linearizer
    from graphrec_pt.tokens.tokens import Tokens as Tokens
    from graphrec_pt.training.schedule import schedule as schedule
    from graphrec_pt.training.stage import Stage as Stage
    from graphrec_pt.training.strategy import Strategy as Strategy
    from graphrec_pt.training.strategy import strategy as strategy
    from graphrec_pt.training.trainer import Trainer as Trainer


# Cards, readers, the build and the bridges stood in graph/ until 0.1.
OldAddresses("graphrec_pt.graph", ["graphrec_pt.data", "graphrec_pt.core"]).install()

_NAMES = {
    "core.errors": "GraphRecError",
    "core.key": "Key",
    "data.build": "build build_card",
    "data.card": "Card load_card",
    "data.describe": "describe",
    "data.plan": "Plan",
    "data.reader": "reader",
    "evaluation.baseline": "baseline",
    "evaluation.metric": "metric",
    "evaluation.task": "task",
    "evaluation.values": "value_baseline",
    "features.featurizer": "Feature Propagator featurizer propagation",
    "features.node_features": "Features",
    "graph.derive": "derivation derive",
    "graph.graph": "Graph",
    "graph.protocol": "SplitPart protocol",
    "graph.split": "Split split",
    "graph.store": "open_graph save_graph",
    "models.adaptor": "adaptor",
    "models.backbone": "backbone",
    "models.head": "Head head",
    "models.model": "Model",
    "models.prompts.family": "prompt",
    "models.view": "View",
    "objectives.objective": "Examples Objective StatefulObjective TrainingExamples objective",
    "objectives.readout": "PairReadout QueryReadout",
    "predict.predictor": "Predictor",
    "recipe.files": "load_recipe",
    "recipe.folder": "open_run",
    "recipe.recipe": "Recipe",
    "recipe.run": "run_recipe",
    "sampling.loader": "Loader",
    "sampling.sample": "Paths Subgraphs",
    "sampling.sampler": "Sets sampler",
    "serve.recommender": "Recommender from_pretrained",
    "serve.report.write": "write_report",
    "tokens.kind": "Kind",
    "tokens.linearizer": "Linearizer linearizer",
    "tokens.tokens": "Tokens",
    "training.schedule": "schedule",
    "training.stage": "Stage",
    "training.strategy": "Strategy strategy",
    "training.trainer": "Trainer",
}
"""Module → public names in it."""

_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'graphrec_pt' has no attribute {name!r}")
    return getattr(import_module(f"graphrec_pt.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
