"""Fill in the blank: by a scorer whose accuracy is known."""

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.evaluation.task import RankingConfig
from graphrec_pt.evaluation.tasks.fill_in_the_blank import FillInTheBlank
from graphrec_pt.graph.split import Split, split


class Known:
    """Scores the held-out item of even users highest, and that of odd users lowest."""

    def __init__(self, parts: Split) -> None:
        start = parts.graph.nodes("item").start
        self.right = dict(
            zip(parts.test.source.tolist(), (parts.test.target - start).tolist(), strict=True)
        )
        self.size = parts.graph.num_nodes("item")

    def scores(self, nodes: Tensor) -> Tensor:
        out = torch.arange(self.size).float().repeat(len(nodes), 1) / self.size
        for row, node in enumerate(nodes.tolist()):
            out[row, self.right[node]] = 2.0 if node % 2 == 0 else -1.0
        return out


def test_accuracy_among_four() -> None:
    graph = synthetic_graph(30, 40, 300, clusters=3, key=Key(4))
    parts = split(graph, "leave_one_out")
    found = FillInTheBlank().judge(Known(parts), parts, "test", RankingConfig())
    table = found.table
    assert set(table["candidates"]) == {4}
    even = sum(user % 2 == 0 for user in parts.test.source.tolist())
    assert (table["rank"] == 1).sum() == even
    assert (table["rank"] == 4).sum() == len(table) - even
