"""Path instances between a user and an item, against all of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Subgraphs, same
from graphrec_pt.sampling.sampler import sampler

KEY = Key(4)


def sample(graph: Graph, config: dict[str, Any], *given: Any) -> Subgraphs:
    found = sampler.build(config).sample(graph, *given)
    assert isinstance(found, Subgraphs)
    return found


METAPATHS = [["rates", "rated_by", "rates"], ["rates", "made_by", "makes"]]


def instances(graph: Graph, user: int, item: int, names: list[str]) -> dict[tuple[int, ...], float]:
    """Return every simple instance with its mean of 1 / √(degree · degree)."""
    found: dict[tuple[int, ...], float] = {(user,): 0.0}
    for name in names:
        longer = {}
        for path, total in found.items():
            if graph.type_of(path[-1]) == graph.schema.relation(name).source:
                for node in set(graph.neighbors(path[-1], name).tolist()) - set(path):
                    ends = len(graph.neighbors(path[-1])), len(graph.neighbors(node))
                    longer[(*path, node)] = total + (ends[0] * ends[1]) ** -0.5
        found = longer
    return {p: t / len(names) for p, t in found.items() if p[-1] == item and item not in p[:-1]}


def test_path_subgraph(train: Graph) -> None:
    pairs = torch.tensor([(u, i) for u in range(11) for i in range(12, 23)])
    config = {"name": "path_subgraph", "metapaths": METAPATHS, "top": 3, "cap": 99, "edges": True}
    found = sample(train, config, pairs, KEY)
    filled = 0
    for at, (user, item) in enumerate(pairs.tolist()):
        mine = found.select(at)
        assert mine.node.tolist()[:2] == [user, item]
        for slot, names in enumerate(METAPATHS, 1):
            every = instances(train, user, item, names)
            best = sorted(every.items(), key=lambda e: (-np.float32(e[1]), e[0]))[:3]
            inner = mine.slot == slot
            for hop in (1, 2):
                got = mine.node[inner & (mine.hop == hop)].tolist()
                if len({round(score, 6) for _, score in every.items()}) == len(every):
                    assert got == list(dict.fromkeys(path[hop] for path, _ in best))
                assert len(set(got)) == len(got)
                filled += len(got)
        assert mine.edges is not None
        assert not {(0, 1), (1, 0)} & {(s, t) for s, _, t in mine.edges.tolist()}
    assert filled > 100


def test_path_subgraph_ranks_by_vectors(train: Graph, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.save(tmp_path / "v.npy", draw.normal(size=(53, 4)).astype(np.float32))
    pairs = torch.tensor([(u, i) for u in range(11) for i in range(12, 23)])
    config = {"name": "path_subgraph", "metapaths": METAPATHS, "top": 1}
    near = sample(train, {**config, "vectors": str(tmp_path / "v.npy")}, pairs, KEY)
    assert not same(near, sample(train, config, pairs, KEY))
    with pytest.raises(GraphRecError, match=r"a \.npy file"):
        sample(train, {**config, "vectors": str(tmp_path / "none.npy")}, pairs, KEY)


@pytest.mark.parametrize(
    ("metapaths", "message"),
    [
        ([["rates"]], "2 to 4 hops, got rates"),
        ([["rates", "makes"]], "leaves 'item' at hop 2"),
        ([METAPATHS[0], ["rates", "made_by"]], "from 'user' to 'item'.*got rates made_by"),
        ([["mentions", "mentioned_in", "follows"]], "an inverse, to come back.*'follows'"),
    ],
)
def test_path_subgraph_checks_metapaths(
    train: Graph, metapaths: list[list[str]], message: str
) -> None:
    with pytest.raises(GraphRecError, match=message):
        sample(train, {"name": "path_subgraph", "metapaths": metapaths}, torch.zeros(0, 2), KEY)
