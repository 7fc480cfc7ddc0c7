"""All families of components: where a plug-in, the command line and the site find them."""

from dataclasses import dataclass
from typing import cast

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.registry import Registry
from graphrec_pt.data.reader import Reader, reader
from graphrec_pt.evaluation.baseline import Baseline, baseline
from graphrec_pt.evaluation.metric import Metric, metric
from graphrec_pt.evaluation.task import Task, task
from graphrec_pt.evaluation.text_baseline import TextBaseline, text_baseline
from graphrec_pt.evaluation.values import ValueBaseline, value_baseline
from graphrec_pt.features.featurizer import Featurizer, Propagation, featurizer, propagation
from graphrec_pt.graph.derive import Derivation, derivation
from graphrec_pt.graph.protocol import SplitProtocol, protocol
from graphrec_pt.models.adaptor import Adaptor, adaptor
from graphrec_pt.models.backbone import Backbone, backbone
from graphrec_pt.models.head import Head, head
from graphrec_pt.models.prompts.family import PromptConfig, prompt
from graphrec_pt.objectives.objective import Objective, objective
from graphrec_pt.sampling.sampler import Sampler, sampler
from graphrec_pt.tokens.identifiers import Identifier, identifier
from graphrec_pt.tokens.linearizer import Linearizer, linearizer
from graphrec_pt.training.schedule import Schedule, schedule
from graphrec_pt.training.strategy import Strategy, strategy


@dataclass(frozen=True)
class Family:
    """A family of components.

    Args:
        registry: Name → class.
        interface: What a member implements.
        role: What a member does, to follow its name.
    """

    registry: Registry[object]
    interface: type[object]
    role: str

    @property
    def sentence(self) -> str:
        """What a member does, as a sentence without its full stop."""
        article = "An" if self.registry.family[0] in "aeiou" else "A"
        return f"{article} {self.registry.family} {self.role}"


FAMILIES: dict[str, Family] = {
    registry.family: Family(cast(Registry[object], registry), interface, role)
    for registry, interface, role in (
        (reader, Reader, "turns raw files of a special format into tables"),
        (protocol, SplitProtocol, "says which interactions are held out"),
        (derivation, Derivation, "computes a relation from the interactions that a view may see"),
        (sampler, Sampler, "walks the graph from roots and returns paths or subgraphs"),
        (linearizer, Linearizer, "turns what was sampled into token sequences"),
        (identifier, Identifier, "spells the nodes of a type in words, as a decoder writes them"),
        (featurizer, Featurizer, "gives the nodes of a type their vectors"),
        (
            propagation,
            Propagation,
            "mixes the vectors of all nodes along edges (graph neural networks)",
        ),
        (backbone, Backbone, "maps token vectors to token vectors: the transformer"),
        (prompt, PromptConfig, "is a soft prompt that a model learns"),
        (adaptor, Adaptor, "is a small network inside a model that may be frozen"),
        (head, Head, "is the network of one objective"),
        (
            objective,
            Objective,
            "says what is hidden, what the error costs and what is read off the model",
        ),
        (schedule, Schedule, "changes a learning rate or a weight during a stage"),
        (strategy, Strategy, "says what trains and what is added when a model is adapted"),
        (task, Task, "says what is predicted for held-out targets and how it is measured"),
        (metric, Metric, "measures the outcomes of a task"),
        (baseline, Baseline, "ranks without training, for comparison"),
        (text_baseline, TextBaseline, "writes texts without training, for comparison"),
        (
            value_baseline,
            ValueBaseline,
            "predicts ratings or clicks without training, for comparison",
        ),
    )
}
"""Every family by its name, in the order in which the data meets them."""


def find_family(name: str) -> Family:
    """Return a family by its name, in singular or plural.

    Raises:
        GraphRecError: For an unknown family, with a suggestion.
    """
    wanted = name.lower().replace("_", " ").replace("-", " ")
    for known, family in FAMILIES.items():
        if wanted in (known, f"{known}s"):
            return family
    raise GraphRecError(
        "family", "a family of components", repr(name), did_you_mean(name, FAMILIES)
    )
