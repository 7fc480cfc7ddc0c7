"""A sampler from outside the package, by name and by dotted path."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphrec_pt import Key, Loader, Paths, sampler
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import trusting
from graphrec_pt.graph.graph import Graph

OUTSIDE = """
import torch
from graphrec_pt import Paths


class Still:
    hops: int = 1

    def sample(self, graph, roots, key):
        size = len(roots)
        none = torch.full((size, self.hops), -1)
        return Paths(
            torch.cat([roots[:, None], none], 1), none, torch.zeros(size, dtype=torch.int64),
            torch.arange(size), torch.zeros(size), none, size,
        )
"""


@sampler("zigzag")
class Zigzag:
    """There and back again, by a metapath."""

    forth: str
    back: str
    hops: int = 4

    def sample(self, graph: Graph, roots: Tensor, key: Key) -> Paths:
        relations = [self.forth, self.back] * self.hops
        walk = sampler.build({"name": "metapath", "relations": relations[: self.hops]})
        found = walk.sample(graph, roots, key)
        assert isinstance(found, Paths)
        return found


ZIGZAG = {"name": "zigzag", "forth": "rates", "back": "rated_by", "hops": 3}


def test_by_name(train: Graph) -> None:
    walk = sampler.build(ZIGZAG)
    found = walk.sample(train, torch.arange(11), Key(0))
    assert isinstance(found, Paths)
    assert found.relations.tolist() == [[0, 1, 0]] * 11
    assert sampler.config(walk) == ZIGZAG
    assert repr(walk) == "Zigzag(forth='rates', back='rated_by', hops=3)"
    with pytest.raises(AttributeError):
        walk.hops = 5  # type: ignore[attr-defined]


def test_without_exclude_in_a_loader(train: Graph) -> None:
    batches = list(Loader(train, sampler.build(ZIGZAG), torch.arange(11), 4))
    assert [len(batch.rows) for batch in batches] == [4, 4, 3]


def test_mistakes_are_told_at_once() -> None:
    with pytest.raises(GraphRecError) as caught:
        sampler.build({"name": "zigzag", "forht": "rates", "back": 3})
    told = str(caught.value).splitlines()
    assert len(told) == 3
    assert "did you mean 'forth'?" in str(caught.value)
    with pytest.raises(GraphRecError, match="did you mean 'zigzag'"):
        sampler.build("zig_zag")


def test_by_dotted_path(train: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somebody_elses.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {"name": "somebody_elses.Still", "hops": 2}
    with pytest.raises(GraphRecError, match=r"dotted path 'somebody_elses.Still'"):
        sampler.build(config)
    assert "somebody_elses" not in sys.modules
    with trusting():
        still = sampler.build(config)
    found = still.sample(train, torch.tensor([4]), Key(0))
    assert isinstance(found, Paths)
    assert found.nodes.tolist() == [[4, -1, -1]]
