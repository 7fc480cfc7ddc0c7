"""Rating: how much a user likes an item, as a number."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.predicted import Predicted, predicted_table, read_predicted
from graphrec_pt.evaluation.seen import HISTORY, targets_of
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.evaluation.value_baselines import known_ratings, weights_of
from graphrec_pt.evaluation.values import PredictedValues, Values, value_baseline
from graphrec_pt.graph.split import Split, When
from graphrec_pt.models.model import Model
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.seen import SeenPolicy
from graphrec_pt.predict.taught import Taught
from graphrec_pt.training.stage import Stage


@task("rating")
class Rating:
    """The weight of each held-out edge, predicted from what the history shows.

    The last stage has an objective that predicts a number of pairs, such as ``regress``.

    Args:
        clip: Keep predictions, of models and baselines alike, inside the range of the training
            ratings.
    """

    file: ClassVar[str] = "predictions.parquet"
    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae")
    watch: ClassVar[str] = "rmse"
    outcome: ClassVar[str] = "Predicted"
    family: ClassVar[Registry[Any]] = value_baseline

    clip: bool = True

    def check(self, stage: Stage) -> None:
        """Raise unless an objective of the stage predicts a number of pairs."""
        Taught.by(stage).rating("number")

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Raise unless the predicted relation has weights."""
        if not split.graph.schema.relation(split.relation).weighted:
            got = f"{split.relation!r} without weights"
            raise GraphRecError("rating", "a weighted relation", got, "weight: in the card")

    def baselines(self, split: Split) -> tuple[str, ...]:
        """Return the global mean and the biases of users and items."""
        return ("global_mean", "biases")

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return the only policy; seen items do not matter here."""
        return ("mask",)

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> Values:
        """Return a trained model as a predictor of ratings."""
        shown = split.history(when)
        predictor = Predictor(model, shown, stage=stage, relation=split.relation)
        return PredictedValues(partial(predictor.rate, value="number"))

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> Values:
        """Return a baseline as a predictor of ratings."""
        return value_baseline.build(config).fit(known_ratings(split))

    def judge(self, system: Values, split: Split, when: When, policy: RankingConfig) -> Predicted:
        """Return the predicted rating of every target."""
        targets = targets_of(split, when)
        predicted = system.values(targets.source, targets.target)
        if self.clip:
            known = known_ratings(split).value
            predicted = predicted.clamp(float(known.min()), float(known.max()))
        value = weights_of(split, targets.edge)
        table = predicted_table(split, when, targets.source, targets.target, value, predicted)
        return Predicted(table, {"history": HISTORY[when]})

    def beyond(self, system: Values, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return nothing: there are no lists."""
        return {}

    def read(self, path: Path) -> dict[str, Predicted]:
        """Return the saved predictions of each split."""
        return read_predicted(path)
