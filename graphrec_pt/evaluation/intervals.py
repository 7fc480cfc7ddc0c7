"""Bootstrap confidence intervals of means over users, and paired tests of two systems."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.metric import per_user, statistic
from graphrec_pt.evaluation.outcome import Outcome
from graphrec_pt.evaluation.ranks import COMPAT, Floats
from graphrec_pt.kernels.philox import below, philox

RESAMPLES = 1000
_DRAWS = 1 << 22  # users drawn at once


def bootstrap(values: Floats, key: Key, resamples: int = RESAMPLES) -> Floats:
    """Return the means of resamples with replacement over users (Efron, 1979).

    Resample *r* takes user ``(bits · U) >> 32`` with the Philox bits of (place, r), so two
    systems with the same users and key get the same resamples.

    Args:
        values: ``[U]`` per-user values, or ``[U, M]`` of several metrics.
        key: Names the draws.
        resamples: How many means.

    Returns:
        ``[resamples]`` or ``[resamples, M]``.
    """
    if not len(values) or resamples < 1:
        raise GraphRecError("bootstrap", "at least one user and one resample", len(values))
    table = torch.from_numpy(np.ascontiguousarray(values, np.float64).reshape(len(values), -1))
    means = [counts @ table / len(table) for counts in _counts(len(table), key, resamples)]
    resampled_means: Floats = torch.cat(means).numpy().reshape(resamples, *values.shape[1:])
    return resampled_means


def interval(
    values: Floats, key: Key, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean over users.

    Args:
        values: ``[U]``.
        key: Names the draws.
        level: Share of resampled means inside.
        resamples: How many resamples.
    """
    if not 0 < level < 1:
        raise GraphRecError("interval", "0 < level < 1", level)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(bootstrap(values, key, resamples), tails)
    return float(low), float(high)


def resampled(
    outcome: Outcome, metrics: Sequence[str], key: Key, resamples: int = RESAMPLES
) -> Floats:
    """Return metrics of resamples with replacement over users, drawn as in :func:`bootstrap`.

    Args:
        outcome: Of one split.
        metrics: Names such as ``"ndcg@10"`` or ``"rmse"``.
        key: Names the draws.
        resamples: How many.

    Returns:
        ``[resamples, M]``.
    """
    statistics = [statistic(outcome, name) for name in metrics]
    parts = [
        np.stack([over(counts.numpy()) for over in statistics], axis=1)
        for counts in _counts(len(outcome.users), key, resamples)
    ]
    values: Floats = np.concatenate(parts)  # [resamples, M]
    return values


@dataclass(frozen=True)
class Comparison:
    """One system minus another over the same users.

    Args:
        metric: What was compared.
        difference: Of the metric over all users.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        p_bootstrap: Two-sided: twice the share of resampled differences on the other side of 0.
        p_t: Two-sided paired t-test of the users' own values.
        users: How many.
    """

    metric: str
    difference: float
    low: float
    high: float
    p_bootstrap: float
    p_t: float
    users: int


def compare(
    ours: Outcome | Sequence[Outcome],
    theirs: Outcome | Sequence[Outcome],
    metric: str,
    key: Key,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Test whether two systems differ, user by user.

    For a system that was trained with several seeds, a user's value is the mean over the seeds, so
    that one lucky seed does not count as a gain.

    Args:
        ours: Outcome of one system, or its outcomes with several seeds.
        theirs: Of another system, for the same targets, made by the same policy.
        metric: Name such as ``"ndcg@10"``.
        key: Names the draws.
        resamples: How many resamples.

    Raises:
        GraphRecError: When targets or policies differ.
    """
    one, other = _seeds(ours), _seeds(theirs)
    for outcome in (*one[1:], *other):
        _check_comparable(one[0], outcome)
    users = len(one[0].users)
    once = np.ones((1, users))

    def apart(of: Callable[[Outcome], Floats]) -> Floats:
        ours, theirs = (np.mean([of(run) for run in seeds], axis=0) for seeds in (one, other))
        gain: Floats = ours - theirs
        return gain

    difference = float(apart(lambda each: statistic(each, metric)(once))[0])
    means = apart(lambda each: resampled(each, [metric], key, resamples))
    gains = apart(lambda each: per_user(each, metric))
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Comparison(
        metric,
        difference,
        float(low),
        float(high),
        min(2 * (tail + 1) / (resamples + 1), 1.0),
        paired_t(gains[~np.isnan(gains)]),
        users,
    )


def _seeds(outcomes: Outcome | Sequence[Outcome]) -> Sequence[Outcome]:
    runs = outcomes if isinstance(outcomes, Sequence) else [outcomes]
    if not runs:
        raise GraphRecError("compare", "at least one outcome of each system", "none")
    return runs


def _check_comparable(ours: Outcome, theirs: Outcome) -> None:
    if not ours.targets.equals(theirs.targets):
        rows = [Counter(outcome_of.targets.iter_rows()) for outcome_of in (ours, theirs)]
        apart = (rows[0] - rows[1]) + (rows[1] - rows[0])
        got = f"{apart.total()} that only one has"
        raise GraphRecError("compare", "the same targets", got)
    for name in ("seen", "history", "labels", COMPAT):
        made = [outcome.policy.get(name) for outcome in (ours, theirs)]
        if made[0] != made[1]:
            raise GraphRecError("compare", f"outcomes with one policy for {name!r}", made)


def paired_t(difference: Floats) -> float:
    """Return the two-sided p-value of Student's paired test; 1 if all differences are 0."""
    from scipy.stats import t

    users = len(difference)
    if users < 2 or not difference.any():
        return 1.0
    error = difference.std(ddof=1) / np.sqrt(users)
    return float(2 * t.sf(abs(difference.mean()) / error, users - 1)) if error else 0.0


def _counts(users: int, key: Key, resamples: int) -> Iterator[torch.Tensor]:
    """Yield how often each resample takes each user: float64 ``[r, U]``, block by block."""
    item = torch.arange(users)
    blocks = max(_DRAWS // (4 * users), 1)  # a Philox block serves four resamples
    for first in range(0, (resamples + 3) // 4, blocks):
        block = torch.arange(first, min(first + blocks, (resamples + 3) // 4))
        words = philox(key, item, block.unsqueeze(1))  # [b, U, 4]
        drawn = below(words.movedim(2, 1).reshape(-1, users), users)[: resamples - 4 * first]
        cell = drawn + users * torch.arange(len(drawn)).unsqueeze(1)
        counts = torch.bincount(cell.reshape(-1), minlength=len(drawn) * users)
        yield counts.view(len(drawn), users).double()
