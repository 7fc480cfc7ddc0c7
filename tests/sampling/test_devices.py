"""What a graph on a device gives: the batches of the CPU, bit for bit."""

from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.sampling.loader import Batch, Loader
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.tokens.linearizer import linearizer
from tests.far_device import Far, far_device
from tests.sampling.test_conformance import IDS, ROWS, Row, roots_of


def flat(value: Any, place: str = "") -> dict[str, Any]:
    """Return every tensor and number inside a value by its place."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    elif isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        return {k: v for name in value for k, v in flat(value[name], f"{place}.{name}").items()}
    return {place: value}


def assert_same(far: Any, near: Any) -> None:
    """Check that all tensors of the first value are far, and equal those of the second."""
    found, expected = flat(far), flat(near)
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        if isinstance(value, Tensor):
            assert isinstance(found[place], Far), f"{place} is on the CPU"
            assert torch.equal(found[place].near, value), place
        else:
            assert found[place] == value, place


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_graph_on_a_device_is_sampled_there(row: Row, train: Graph) -> None:
    roots, draw = roots_of(row, train), sampler.build(row.config)
    exclude = torch.full((len(roots),), -1)
    exclude[::3] = 5
    options: dict[str, Any] = {"batch": 7, "seed": 3, "threads": 0, "exclude": exclude}
    near = list(Loader(train, draw, roots, **options))
    with far_device() as device, forced_body("torch"):
        far = list(Loader(train, draw, roots, device=device, **options))
        for here, there in zip(near, far, strict=True):
            assert_same(there, here)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_triton_gives_the_batches_of_numba(row: Row, train: Graph) -> None:
    """What a GPU runs for a whole batch, sampling to tokens; interpreted where there is none."""
    pytest.importorskip("triton")
    chosen = {**row.config, **row.small}
    roots, draw = roots_of(row, train), sampler.build(chosen)
    kept = torch.linspace(0, len(roots) - 1, 5).long()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lay = linearizer.build("path" if _gives_paths(draw, train, roots) else "subgraph")

    def tokens(batch: Batch) -> Any:
        here = train.to(batch.rows.device)
        return batch, lay.linearize(here, batch.sample, batch.key)

    options: dict[str, Any] = {"batch": 5, "seed": 3, "threads": 0, "transform": tokens}
    options["exclude"] = torch.tensor([5, -1, 5, -1, 7])
    near = list(Loader(train, draw, roots[kept], **options))
    with forced_body("triton"):
        far = list(Loader(train, draw, roots[kept], device=device, **options))
    for here, there in zip(near, far, strict=True):
        found, expected = flat(there), flat(here)
        assert found.keys() == expected.keys()
        for place, value in expected.items():
            if isinstance(value, Tensor):
                assert torch.equal(found[place].cpu(), value), place


def _gives_paths(draw: Any, graph: Graph, roots: Any) -> bool:
    return isinstance(draw.sample(graph, roots[torch.tensor([0])], Key(0)), Paths)
