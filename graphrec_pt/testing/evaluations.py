"""What metrics, baselines and tasks promise: values of outcomes, and nothing of held-out edges."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from graphrec_pt.evaluation.baseline import Baseline, baseline
from graphrec_pt.evaluation.metric import Metric, evaluate, metric
from graphrec_pt.evaluation.outcome import Outcome, write_outcomes
from graphrec_pt.evaluation.task import RankingConfig, Task, task
from graphrec_pt.graph.split import Split
from graphrec_pt.testing.configs import check_config
from graphrec_pt.testing.promise import promise


def check_baseline(config: str | Mapping[str, object] | Baseline, cut: Split) -> None:
    """Check everything that a baseline promises.

    Args:
        config: Its name, its config or the baseline itself.
        cut: A split, such as :func:`~graphrec_pt.testing.example_split`.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> check_baseline("popularity", example_split())
    """
    chosen = baseline.build(config)
    check_config(baseline, chosen)
    relation = cut.graph.schema.interaction(None)
    nodes = torch.tensor(list(cut.graph.nodes(relation.source)))
    items = len(cut.graph.nodes(relation.target))
    fitted = chosen.fit(cut.train)
    scores = fitted.on(cut.history("test")).scores(nodes)
    shape = list(scores.shape)
    promise(shape == [len(nodes), items], chosen, f"scores [{len(nodes)}, {items}]", shape)
    promise(bool(scores.isfinite().all()), chosen, "finite scores")
    again = chosen.fit(cut.train).on(cut.history("test")).scores(nodes)
    promise(torch.equal(scores, again), chosen, "the same scores twice")
    rows = torch.tensor([len(nodes) - 1, 0])
    some = fitted.on(cut.history("test")).scores(nodes[rows])
    close = torch.allclose(some, scores[rows], atol=1e-5)
    promise(close, chosen, "scores of a source do not depend on the other sources")


def check_metric(config: str | Mapping[str, object] | Metric, outcome: Outcome) -> None:
    """Check everything that a metric promises.

    Args:
        config: Its name, its config or the metric itself.
        outcome: Of the kind that it measures.

    Raises:
        BrokenPromise: For the first promise that does not hold.
    """
    chosen = metric.build(config)
    check_config(metric, chosen)
    values = chosen.values(outcome)
    wanted = len(outcome.users)
    promise(values.shape == (wanted,), chosen, f"one value per user, [{wanted}]", values.shape)
    promise(values.dtype == np.float64, chosen, "values are float64", values.dtype)
    promise(not np.isinf(values).any(), chosen, "values are finite, or NaN where undefined")
    again = chosen.values(outcome)
    promise(np.array_equal(values, again, equal_nan=True), chosen, "the same values twice")


def check_task(config: str | Mapping[str, object] | Task, cut: Split) -> None:
    """Check what a task promises, with the baselines that it names as systems.

    Args:
        config: Its name, its config or the task itself.
        cut: A split with the data that the task needs.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> check_task("ranking", example_split())
    """
    chosen = task.build(config)
    check_config(task, chosen)
    metrics = [name for name in chosen.metrics if _cutoff(name) <= 5]
    chosen.check_split(cut, metrics)
    names = chosen.baselines(cut)
    promise(bool(names), chosen, "some baseline fits the split")
    policy = RankingConfig(chosen.policies(cut)[0])
    system = chosen.fitted({"name": names[0]}, cut, "test")
    outcome = chosen.judge(system, cut, "test", policy)
    promise(len(outcome) > 0, chosen, "an outcome has a row per target")
    again = chosen.judge(system, cut, "test", policy)
    promise(outcome.table.equals(again.table), chosen, "a system is judged the same twice")
    held_out = {str(cut.graph.raw_id(node)) for node in cut.test.source.tolist()}
    users = {str(user) for user in outcome.users.to_list()}
    promise(users <= held_out, chosen, "users are those of the targets")
    values = evaluate(outcome, metrics)
    promise(all(np.isfinite(list(values.values()))), chosen, "metrics are finite", values)
    with TemporaryDirectory() as folder:
        path = Path(folder) / chosen.file
        write_outcomes(path, [outcome])
        read = chosen.read(path)["test"]
    promise(read.table.equals(outcome.table), chosen, "read gives the outcomes that were saved")


def _cutoff(name: str) -> int:
    _, _, cutoff = name.partition("@")
    return int(cutoff) if cutoff else 1
