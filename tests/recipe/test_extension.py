"""A sampler from a file of one's own, in a recipe."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphrec_pt import GraphRecError
from graphrec_pt.recipe.run import run_recipe

ZIGZAG = '''
from graphrec_pt import sampler


@sampler("{name}")
class Zigzag:
    """Walk along one relation and back along another."""

    forth: str
    back: str
    hops: int = 4

    def sample(self, graph, roots, key, exclude=None):
        from graphrec_pt.sampling.walks import Metapath

        way = [self.forth, self.back] * (self.hops // 2)
        walks = Metapath(relations=tuple(way))
        return walks.sample(graph, roots, key, exclude)
'''


@pytest.fixture
def own_code(tmp_path: Path) -> Iterator[str]:
    """A module outside the package, on the path."""
    (tmp_path / "own_samplers.py").write_text(ZIGZAG.format(name="own_zigzag"))
    sys.path.insert(0, str(tmp_path))
    yield "own_samplers"
    sys.path.remove(str(tmp_path))
    sys.modules.pop("own_samplers", None)


def test_a_sampler_of_ones_own_in_a_recipe(
    own_code: str, raw: Path, tmp_path: Path, small: Any
) -> None:
    stage = (
        "stages=[{name: walk, sampler: {name: own_zigzag, forth: buys, back: bought_by},"
        " linearizer: path, objectives: [masked_node], steps: 3, batch: 16},"
        " {name: train, sampler: history, linearizer: history, objectives: [next_item],"
        " strategy: finetune_whole, steps: 3, batch: 16}]"
    )
    with pytest.raises(GraphRecError, match=r"stages\.0\.sampler: expected a known name"):
        small("sasrec", stage)
    __import__(own_code)
    done = run_recipe(small("sasrec", stage), tmp_path / "run", raw=raw)
    assert done.recipe.stages[0].sampler.hops == 4
    assert done.metrics["scratch"] is not None
    with pytest.raises(GraphRecError) as error:
        small("sasrec", stage.replace("forth: buys", "forht: buys"))
    assert "did you mean 'forth'" in str(error.value)
