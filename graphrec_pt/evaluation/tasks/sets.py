"""Sets: whether each candidate of the catalogue is linked to a source."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field

from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.predicted import Predicted, predicted_table, read_predicted
from graphrec_pt.evaluation.seen import HISTORY, targets_of
from graphrec_pt.evaluation.set_metrics import THRESHOLD
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.evaluation.values import Known, PredictedValues, Values, value_baseline
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, When
from graphrec_pt.models.model import Model
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.predict.taught import Taught
from graphrec_pt.training.stage import Stage


@task("sets")
class SetTask:
    """The whole set of each held-out source: the medication of a visit, the next basket.

    The system predicts the chance of every candidate for every source of a target, so the catalogue
    should be small. A candidate is in the predicted set if its chance is at least `threshold`.

    Args:
        threshold: .3 in the released code of G-BERT (Shang et al., IJCAI 2019).
    """

    file: ClassVar[str] = "predictions.parquet"
    metrics: ClassVar[tuple[str, ...]] = ("jaccard", "set_f1", "pr_auc")
    watch: ClassVar[str] = "pr_auc"
    outcome: ClassVar[str] = "Predicted"
    family: ClassVar[Registry[Any]] = value_baseline

    threshold: float = Field(0.3, gt=0, lt=1)

    def check(self, stage: Stage) -> None:
        """Raise unless an objective of the stage predicts sets."""
        Taught.by(stage).setting()

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Accept any split."""

    def baselines(self, split: Split) -> tuple[str, ...]:
        """Return the rate of each candidate in training sets."""
        return ("popularity_rate",)

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return the only policy: the content of a held-out set was not seen before."""
        return ("mask",)

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> Values:
        """Return a trained model as a predictor of chances."""
        shown = split.history(when)
        predictor = Predictor(model, shown, stage=stage, relation=split.relation)
        return PredictedValues(predictor.membership)

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> Values:
        """Return a baseline as a predictor of chances; it learns from training sets alone."""
        return value_baseline.build(config).fit(known_sets(split))

    def judge(self, system: Values, split: Split, when: When, policy: RankingConfig) -> Predicted:
        """Return the chance of every candidate for every source."""
        targets = targets_of(split, when)
        source, target, label = every_pair(split, targets.source, targets.target)
        chances = system.values(source, target)
        table = predicted_table(split, when, source, target, label, chances)
        return Predicted(table, {"history": HISTORY[when], THRESHOLD: str(self.threshold)})

    def beyond(self, system: Values, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return nothing: there are no lists."""
        return {}

    def read(self, path: Path) -> dict[str, Predicted]:
        """Return the saved predictions of each split."""
        return read_predicted(path)


def known_sets(split: Split) -> Known:
    """Return the pairs of every training source with every candidate: 1 if in its set, else 0."""
    edges = split.train.edges(split.relation)
    return Known(*every_pair(split, edges.source, edges.target), split.graph.num_nodes())


def every_pair(
    split: Split, source: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the pairs of some sources with every candidate.

    Args:
        split: The split; its relation leads to the candidates.
        source: int64 ``[n]``.
        target: int64 ``[n]``, members of the sets of these sources.

    Returns:
        int64 ``[Q · V]`` sources and candidates, float64 ``[Q · V]`` 1 for those in the set.
    """
    catalogue = _catalogue(split.graph, split.relation)
    nodes, row = torch.unique(source, return_inverse=True)
    label = torch.zeros(len(nodes), len(catalogue), dtype=torch.float64)
    label[row, target - catalogue.start] = 1
    candidates = torch.arange(catalogue.start, catalogue.stop)
    pairs = nodes.repeat_interleave(len(catalogue)), candidates.repeat(len(nodes))
    return *pairs, label.flatten()


def _catalogue(graph: Graph, relation: str) -> range:
    return graph.nodes(graph.schema.relation(relation).target)
