"""Baselines of lists by hand."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.impression_baselines import LastClick
from graphrec_pt.evaluation.tasks.impressions import ImpressionsTask
from graphrec_pt.evaluation.values import Known
from graphrec_pt.graph.split import Split, split
from tests.lists_world import lists_graph

TASK = ImpressionsTask(above=4.0)


@pytest.fixture(scope="module")
def cut() -> Split:
    return split(lists_graph(), "last_lists")


def test_baselines_by_hand(cut: Split) -> None:
    assert TASK.baselines(cut) == ("click_count", "last_click", "popularity_rate")
    train = cut.train
    edges = train.edges("rates")
    film = int(train.nodes("item").start)
    weights = edges.weight[edges.target == film]  # type: ignore[index]
    liked, shown = int((weights >= 4).sum()), len(weights)
    every = int((edges.weight >= 4).sum())  # type: ignore[operator]
    rate = TASK.fitted({"name": "popularity_rate", "strength": 10.0}, cut, "test").values
    found = float(rate.values(torch.tensor([0]), torch.tensor([film])))
    assert found == pytest.approx((liked + 10 * every / len(edges.source)) / (shown + 10))
    count = TASK.fitted({"name": "click_count"}, cut, "test").values
    clicks = torch.bincount(edges.target[edges.weight >= 4])  # type: ignore[operator]
    wanted = float(clicks[film] / clicks.max())
    assert float(count.values(torch.tensor([0]), torch.tensor([film]))) == pytest.approx(wanted)


def test_the_last_click_needs_times() -> None:
    source, target = torch.tensor([0, 0, 1]), torch.tensor([3, 4, 3])
    value, time = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([10, 19, 90])
    fitted = LastClick().fit(Known(source, target, value, 6, time))
    found = fitted.values(torch.zeros(3, dtype=torch.int64), torch.tensor([3, 4, 5]))
    assert found.tolist() == pytest.approx([0.1, 1.0, 0.0])
    with pytest.raises(GraphRecError, match="times"):
        LastClick().fit(Known(source, target, value, 6))
