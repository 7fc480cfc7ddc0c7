"""What a run measures: rankings of its model and of the baselines, how sure they are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.baseline import baseline
from graphrec_pt.evaluation.explanations import diversity, linking_diversity, valid_paths
from graphrec_pt.evaluation.intervals import bootstrap, compare
from graphrec_pt.evaluation.metric import per_user
from graphrec_pt.evaluation.pair_scorer import RERANK, scorer_of
from graphrec_pt.evaluation.path_scorer import PathScorer
from graphrec_pt.evaluation.ranking import HISTORY, rank_targets
from graphrec_pt.evaluation.ranks import Ranks
from graphrec_pt.evaluation.seen import SeenPolicy, seen_pairs, targets_of
from graphrec_pt.graph.split import Split, When
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.model import Model
from graphrec_pt.training.stage import Stage

LEVEL = 0.95
"""Of all intervals."""
ASKED, TOP = 1000, 10
"""Users whose explanations are measured at most, and items of each."""


def rank_model(
    model: Model,
    stage: Stage,
    made: Split,
    when: When,
    seen: SeenPolicy = "mask",
    rerank: int = RERANK,
) -> Ranks:
    """Return where a trained model puts the targets of validation or test.

    Args:
        model: Trained.
        stage: The last one it was trained by.
        made: Split data.
        when: Which targets.
        seen: What is done about what a source has met before.
        rerank: Items of each source that are put in order by their subgraphs, where there are any.
    """
    nodes = torch.unique(targets_of(made, when).source)
    shown = made.history(when)
    scorer = scorer_of(model, stage, shown, made.relation, nodes, rerank=rerank)
    return rank_targets(scorer, made, when, seen=seen)


def explanations(model: Model, stage: Stage, made: Split) -> dict[str, float] | None:
    """Return what the paths are worth by which a model recommends; None without such paths.

    Of the best :data:`TOP` unseen items of at most :data:`ASKED` test users, evenly taken:
    ``reached``, the share that a path leads to; ``valid``, the share of these paths of which every
    edge is in the history graph; ``diversity`` and ``linking_diversity``, see
    :mod:`graphrec_pt.evaluation.explanations`.

    Args:
        model: Trained.
        stage: The last one it was trained by.
        made: Split data.
    """
    nodes, shown = torch.unique(made.test.source), made.history("test")
    nodes = nodes[:: -(-len(nodes) // ASKED)].contiguous()
    scorer = scorer_of(model, stage, shown, made.relation, nodes)
    if not isinstance(scorer, PathScorer):
        return None
    scores = scorer.scores(nodes).cpu()
    ptr, met = seen_pairs(shown, made.relation, nodes)
    scores[ranges(ptr[:-1], ptr.diff())[1], met] = -torch.inf
    first = shown.nodes(shown.schema.relation(made.relation).target).start
    items = scores.topk(min(TOP, scores.shape[1]), dim=1).indices + first  # [B, K]
    told = scorer.paths(nodes, items)
    of_user = replace(told, root=told.root // items.shape[1], size=len(nodes))
    valid = valid_paths(shown, told).double()
    means = {"valid": valid, "diversity": diversity(of_user)}
    means["linking_diversity"] = linking_diversity(of_user)
    return {
        "users": len(nodes),
        "reached": len(told) / items.numel(),
        **{name: float(values.nanmean()) if len(told) else 0.0 for name, values in means.items()},
    }


def rank_baseline(
    config: Mapping[str, Any], made: Split, seen: SeenPolicy = "mask", when: When = "test"
) -> Ranks:
    """Return where a baseline puts the targets; it learns from training edges alone."""
    fitted = baseline.build(config).fit(made.train, made.relation)
    return rank_targets(fitted.on(made.history(when)), made, when, seen=seen)


def intervals(ranks: Ranks, metrics: Sequence[str], key: Key) -> dict[str, list[float]]:
    """Return the bootstrap interval of every metric over users, as (low, high)."""
    values = np.stack([per_user(ranks, name) for name in metrics], axis=1)  # [U, M]
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(bootstrap(values, key), tails, axis=0)
    return {name: [float(low[n]), float(high[n])] for n, name in enumerate(metrics)}


def differences(
    ours: Ranks, others: Mapping[str, Ranks], metric: str, key: Key
) -> dict[str, dict[str, Any]]:
    """Return how a model differs from others, tested user by user."""
    return {name: asdict(compare(ours, theirs, metric, key)) for name, theirs in others.items()}


def spread(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation (n − 1; 0 for one) of metrics over seeds."""
    found = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        found[name] = {"mean": float(values.mean()), "sd": sd}
    return found


def of_one_file(ranks: Mapping[When, Ranks]) -> list[Ranks]:
    """Return ranks of several splits under one policy, which says what each split's history is."""
    history = "; ".join(f"{when}: {HISTORY[when]}" for when in ranks)
    return [replace(each, policy={**each.policy, "history": history}) for each in ranks.values()]
