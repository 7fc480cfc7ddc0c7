"""Ranking: the rank of every target among the whole catalogue."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.evaluation.baseline import baseline
from graphrec_pt.evaluation.baselines import LARGEST
from graphrec_pt.evaluation.lists import beyond_accuracy
from graphrec_pt.evaluation.metric import DEFAULT, parse_metric
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.evaluation.ranks import Ranks, read_ranks
from graphrec_pt.evaluation.seen import seen_policies, targets_of
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.graph.split import Split, When
from graphrec_pt.models.model import Model
from graphrec_pt.predict.lists import top_lists
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.scorer import Scorer
from graphrec_pt.predict.seen import SeenPolicy, seen_pairs
from graphrec_pt.predict.taught import Taught
from graphrec_pt.training.stage import Stage

LISTED = 10
"""Length of the lists that coverage and novelty are measured on."""
TIMED, OTHERS = ("markov", "transition_knn"), ("popularity", "item_knn")


def _most_candidates(split: Split, when: When) -> int:
    """Return the largest number of candidates of a source when its history is masked."""
    history = split.history(when)
    nodes = torch.unique(targets_of(split, when).source)
    catalogue = history.num_nodes(history.schema.relation(split.relation).target)
    if not len(nodes):
        return catalogue
    seen, _ = seen_pairs(history, split.relation, nodes)
    return catalogue - int(seen.diff().min())


@task("ranking")
class Ranking:
    """Next item, session, top-N or cold-start recommendation, depending on the split.

    Every target is ranked among the whole catalogue of its node type.
    """

    file: ClassVar[str] = "ranks.parquet"
    metrics: ClassVar[tuple[str, ...]] = DEFAULT
    watch: ClassVar[str] = "ndcg@10"
    outcome: ClassVar[str] = "Ranks"
    family: ClassVar[Registry[Any]] = baseline

    def check(self, stage: Stage) -> None:
        """Raise unless an objective of the stage ranks candidates."""
        Taught.by(stage).ranking()

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Raise for cut-offs larger than the catalogue without the masked history."""
        graph = split.graph
        catalogue = graph.num_nodes(graph.schema.relation(split.relation).target)
        most = min(_most_candidates(split, "valid"), _most_candidates(split, "test"))
        cuts = {name: getattr(parse_metric(name), "k", None) for name in metrics}
        wide = [name for name, k in cuts.items() if k is not None and k > most]
        if wide:
            k = max(most // 2, 1)
            fit = [f"{n.partition('@')[0]}@{k}" if n in wide else n for n in metrics]
            hint = f"evaluate.metrics=[{','.join(dict.fromkeys(fit))}]"
            if self.watch in wide:
                hint += f" options.watch={self.watch.partition('@')[0]}@{k}"
            expected = f"cut-offs within the catalogue of {catalogue:,} items"
            if most < catalogue:
                expected += f" ({most:,} without those of the history)"
            raise GraphRecError("evaluate.metrics", expected, ", ".join(wide), f"`{hint}`")

    def baselines(self, split: Split) -> tuple[str, ...]:
        """Return the baselines that fit: some need times, some a small catalogue."""
        graph = split.graph
        relation = graph.schema.relation(split.relation)
        names = [*OTHERS, *(TIMED if relation.timed else ())]
        if graph.num_nodes(relation.target) <= LARGEST:
            names.append("ease")
        return tuple(names)

    def policies(self, split: Split) -> tuple[SeenPolicy, ...]:
        """Return masking alone, or both where the data has repeats."""
        return seen_policies(split)

    def trained(self, model: Model, stage: Stage, split: Split, when: When) -> Scorer:
        """Return a trained model as a scorer of the catalogue."""
        nodes, shown = torch.unique(targets_of(split, when).source), split.history(when)
        return Predictor(model, shown, stage=stage, relation=split.relation).scorer(nodes)

    def fitted(self, config: Mapping[str, Any], split: Split, when: When) -> Scorer:
        """Return a baseline as a scorer of the catalogue."""
        fitted = baseline.build(config).fit(split.train, split.relation)
        return fitted.on(split.history(when))

    def judge(self, system: Scorer, split: Split, when: When, policy: RankingConfig) -> Ranks:
        """Return the rank of every target."""
        return rank_targets(system, split, when, seen=policy.seen)

    def beyond(self, system: Scorer, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return coverage, Gini index, novelty and popularity of the lists of test users."""
        nodes, history = torch.unique(split.test.source), split.history("test")
        k = min(LISTED, history.num_nodes(history.schema.relation(split.relation).target))
        lists = top_lists(system, history, split.relation, nodes, k, seen=policy.seen)
        return beyond_accuracy(lists, split.train, split.relation)

    def read(self, path: Path) -> dict[str, Ranks]:
        """Return the saved ranks of each split."""
        return read_ranks(path)
