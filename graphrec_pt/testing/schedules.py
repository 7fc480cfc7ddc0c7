"""What every schedule promises: a factor is a function of the step alone."""

from collections.abc import Mapping
from math import isfinite

from graphrec_pt.testing.configs import check_config
from graphrec_pt.testing.promise import promise
from graphrec_pt.training.schedule import Schedule, schedule


def check_schedule(config: str | Mapping[str, object] | Schedule, total: int = 40) -> None:
    """Check everything that a schedule promises.

    Args:
        config: Its name, its config or the schedule itself.
        total: Steps of the stage.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> check_schedule({"name": "cosine", "warmup": 0.1})
    """
    chosen = schedule.build(config)
    check_config(schedule, chosen)
    forwards = [chosen.factor(step, total) for step in range(total)]
    backwards = [chosen.factor(step, total) for step in reversed(range(total))]
    promise(backwards[::-1] == forwards, chosen, "factors do not depend on the order of calls")
    legal = all(isfinite(factor) and factor >= 0 for factor in forwards)
    promise(legal, chosen, "factors are finite and at least 0", min(forwards))
    promise(any(forwards), chosen, "some factor is above 0")
