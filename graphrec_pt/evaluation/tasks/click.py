"""Click: whether a user takes an item that is shown (CTR)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.negatives import Sampled
from graphrec_pt.evaluation.predicted import Predicted, predicted_table, read_predicted
from graphrec_pt.evaluation.seen import HISTORY, targets_of
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.evaluation.value_baselines import Same, known_clicks, known_ratings, weights_of
from graphrec_pt.evaluation.values import Known, PredictedValues, Values, value_baseline
from graphrec_pt.graph.split import Split, When
from graphrec_pt.models.model import Model
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.predict.taught import Taught
from graphrec_pt.training.stage import Stage


@task("click")
class Click:
    """The chance that a pair is a click, by AUC, grouped AUC and log loss.

    Labels are observed or drawn. With `above`, held-out edges of at least that weight are clicks
    and all other held-out edges are not. Without it, every held-out edge is a click, and for each
    click some items are drawn that its source never interacted with, as in the literature on
    graphs (RippleNet, Wang et al., CIKM 2018). The log loss then depends on the number of
    negatives, which the policy records.

    The last stage has an objective that predicts the chance of pairs: ``link`` of form ``bce``,
    ``pointwise``, or ``regress`` with `above`.

    Args:
        above: Weight from which an edge is a click; None for drawn labels.
        negatives: Items drawn for each click.
        seed: Of the draws.
    """

    file: ClassVar[str] = "predictions.parquet"
    metrics: ClassVar[tuple[str, ...]] = ("label_auc", "label_gauc", "log_loss")
    watch: ClassVar[str] = "label_auc"
    outcome: ClassVar[str] = "Predicted"
    family: ClassVar[Registry[Any]] = value_baseline

    above: float | None = None
    negatives: int = Field(1, ge=1)
    seed: int = Field(0, ge=0)

    def check(self, stage: Stage) -> None:
        """Raise unless an objective of the stage predicts the chance of pairs."""
        Taught.by(stage).rating("chance")

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Raise unless edges have the weights that labels need, and both labels occur."""
        if self.above is not None and not split.graph.schema.relation(split.relation).weighted:
            got = f"{split.relation!r} without weights"
            raise GraphRecError("click", "a weighted relation", got, "above: null")
        for when in HISTORY:
            if len(targets_of(split, when)):  # AUC needs both labels
                evaluate(self.judge(Same(0.5), split, when, RankingConfig()), metrics)

    def baselines(self, split: Split) -> tuple[str, ...]:
        """Return the global rate and the rate of each item."""
        return ("global_mean", "popularity_rate")

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return the only policy; seen items do not matter here."""
        return ("mask",)

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> Values:
        """Return a trained model as a predictor of clicks."""
        shown = split.history(when)
        predictor = Predictor(model, shown, stage=stage, relation=split.relation)
        return PredictedValues(partial(predictor.rate, value="chance"))

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> Values:
        """Return a baseline as a predictor of clicks."""
        return value_baseline.build(config).fit(self._known(split))

    def judge(self, system: Values, split: Split, when: When, policy: RankingConfig) -> Predicted:
        """Return the predicted chance of every target and of every drawn negative."""
        targets = targets_of(split, when)
        source, target = targets.source, targets.target
        made_with = {"history": HISTORY[when]}
        if self.above is not None:
            label = (weights_of(split, targets.edge) >= self.above).double()
            made_with["labels"] = f"weights from {self.above:g}"
        else:
            sampled = Sampled(self.negatives, seed=self.seed)
            drawn = sampled.draw(split, source, targets.edge)  # [n, K], counted from the first
            items = split.graph.nodes(split.graph.schema.relation(split.relation).target)
            label = torch.cat([torch.ones(len(source)), torch.zeros(drawn.numel())]).double()
            target = torch.cat([target, drawn.flatten() + items.start])
            source = torch.cat([source, source.repeat_interleave(self.negatives)])
            made_with["labels"] = str(sampled)
        chances = system.values(source, target).clamp(0, 1)
        return Predicted(predicted_table(split, when, source, target, label, chances), made_with)

    def beyond(self, system: Values, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return nothing: there are no lists."""
        return {}

    def read(self, path: Path) -> dict[str, Predicted]:
        """Return the saved predictions of each split."""
        return read_predicted(path)

    def _known(self, split: Split) -> Known:
        if self.above is None:
            return known_clicks(split, self.negatives, self.seed)
        known = known_ratings(split)
        return known._replace(value=(known.value >= self.above).double())
