"""Baselines of lists that know only the item: how often and how lately it was clicked."""

import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.value_baselines import OfTarget
from graphrec_pt.evaluation.values import Known, sums_by_node, value_baseline


@value_baseline("click_count")
class ClickCount:
    """``ŷ_i = Σ_u y_ui / max_j Σ_u y_uj``: clicks as a share of the most clicked item's."""

    def fit(self, known: Known) -> OfTarget:
        """Count the clicks."""
        total, _ = sums_by_node(known.target, known.value, known.nodes)
        return OfTarget(total / total.max().clamp(min=1))


@value_baseline("last_click")
class LastClick:
    """The time of an item's latest click, as a share of the whole time; 0 for a new item.

    News lose their readers within hours, so on news this is a strong baseline.
    """

    def fit(self, known: Known) -> OfTarget:
        """Find the times.

        Raises:
            GraphRecError: For interactions without times.
        """
        if known.time is None:
            raise GraphRecError("last_click", "interactions with times", "none", "click_count")
        clicked = known.value > 0
        time, target = known.time[clicked].double(), known.target[clicked]
        latest = torch.zeros(known.nodes, dtype=torch.float64)
        if len(time):
            share = (time - time.min() + 1) / (time.max() - time.min() + 1)
            latest = latest.scatter_reduce(0, target, share, "amax")
        return OfTarget(latest)
