"""A package outside the library: an objective that ranks, one that rates, and other parts."""

from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from graphrec_pt import featurizer, objective, sampler
from graphrec_pt.evaluation.task import task
from graphrec_pt.evaluation.tasks.ranking import Ranking
from graphrec_pt.features.featurizer import Feature
from graphrec_pt.models.head import Head, head
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.view import View
from graphrec_pt.objectives.objective import Objective, TrainingExamples
from graphrec_pt.objectives.readout import PairReadout, QueryReadout
from graphrec_pt.objectives.root_values import weight_of_excluded
from graphrec_pt.sampling.history import HistorySampler


@sampler("own_latest")
class Latest:
    """The latest events of a history."""

    window: int = 5

    def sample(self, graph, roots, key, exclude=None):
        return HistorySampler(window=self.window).sample(graph, roots, key, exclude)


@featurizer("own_two")
class Two:
    """The sum of two vectors of each node."""

    def build(self, spec, node_type, width):
        return TwoTables(spec.counts[spec.node_index(node_type)], width)


class TwoTables(Feature):
    def __init__(self, count, width):
        super().__init__()
        self.first, self.second = nn.Embedding(count, width), nn.Embedding(count, width)

    def forward(self, nodes, vectors):
        return self.first(nodes) + self.second(nodes)


@objective("own_next")
class Next(Objective):
    """The last event of a history, from the mean of all before it."""

    scale: float = 1.0

    def corrupt(self, examples):
        tokens = examples.tokens
        rows = (tokens.lengths() > 1).nonzero().squeeze(1)
        tokens = tokens.select(rows)
        last = tokens.ptr[1:] - 1
        stays = torch.ones(len(tokens.id), dtype=torch.bool)
        stays[last] = False
        seen = tokens.take(stays.nonzero().squeeze(1))
        return TrainingExamples((View(seen),), {"item": tokens.id[last]}, len(rows))

    def head(self, spec, width):
        return ItemHead(width, temperature=1 / self.scale)

    def loss(self, encoded, corrupted, model, head):
        target = corrupted.targets["item"] - model.spec.ids("item").start
        return cross_entropy(head(encoded[0].pooled("mean"), model.table("item")), target)

    def readout(self):
        return QueryReadout("mean")


@head("own_number")
class Number(Head):
    """A number of a sequence."""

    def __init__(self, width):
        super().__init__()
        self.out = nn.Linear(width, 1)

    def options(self):
        return {"width": self.out.in_features}

    def forward(self, encoded):
        return self.out(encoded.pooled("mean")).squeeze(1)


@objective("own_stars")
class Stars(Objective):
    """The weight of the edge between two roots."""

    def corrupt(self, examples):
        value = weight_of_excluded(examples, "own_stars")
        rows = value.isfinite().nonzero().squeeze(1)
        view = View(examples.tokens.select(rows))
        return TrainingExamples((view,), {"stars": value[rows].float()}, len(rows))

    def head(self, spec, width):
        return Number(width)

    def loss(self, encoded, corrupted, model, head):
        return mse_loss(head(encoded[0]), corrupted.targets["stars"])

    def readout(self):
        return PairReadout(stars_of_pairs, of="number")


def stars_of_pairs(encoded, pairs, model, head):
    return head(encoded)


@task("own_top")
class Top(Ranking):
    """Whether the target comes first or second."""

    metrics: ClassVar[tuple[str, ...]] = ("hr@2", "mrr")
    watch: ClassVar[str] = "mrr"
