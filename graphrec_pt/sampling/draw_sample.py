"""Draw the sample of one root as a picture."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import name_of
from graphrec_pt.data.draw import draw_subgraph
from graphrec_pt.data.picture import Picture
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Paths, Sample
from graphrec_pt.sampling.sampler import Sampler, Sets, kind_of_roots, sampler


def draw_sample(
    graph: Graph,
    config: str | Mapping[str, object] | Sampler,
    nodes: Sequence[int],
    *,
    seed: int = 0,
    limit: int = 40,
) -> Picture:
    """Draw the sample of one root.

    Args:
        graph: The graph.
        config: A sampler's name, config or object.
        nodes: The root: one node, a pair or a set, as the sampler takes it.
        seed: Seed of the key.
        limit: Nodes at most; the picture keeps those sampled first.

    Raises:
        GraphRecError: When config or nodes do not fit.
    """
    chosen = sampler.build(config)
    sample = chosen.sample(graph, _roots(chosen, nodes), Key(seed))
    shown = list(dict.fromkeys([*nodes, *_nodes(sample)]))[:limit]
    names = graph.schema.relation_names
    links = [
        (source, target, names[relation])
        for source, relation, target in _triples(sample).tolist()
        if source in shown and target in shown
    ]
    title = name_of(chosen)
    return draw_subgraph(graph, shown, links, root=nodes[0], title=title)


def _roots(chosen: Sampler, nodes: Sequence[int]) -> Tensor | Sets:
    kind = kind_of_roots(chosen)
    if kind == "sets":
        return Sets.of([nodes])
    wanted = 2 if kind == "pairs" else 1
    if len(nodes) != wanted:
        expected = "two nodes, the ends of the paths" if wanted == 2 else "one node"
        raise GraphRecError("draw", expected, len(nodes))
    return torch.tensor([list(nodes)] if wanted == 2 else list(nodes))


def _nodes(sample: Sample) -> list[int]:
    if isinstance(sample, Paths):
        nodes: list[int] = sample.nodes[sample.nodes >= 0].tolist()
        return nodes
    sampled: list[int] = sample.node.tolist()
    return sampled


def _triples(sample: Sample) -> Tensor:
    triples = sample.triples()
    if isinstance(sample, Paths) or sample.edges is None:
        return triples
    source, relation, target = sample.edges.unbind(1)
    inner = torch.stack([sample.node[source], relation, sample.node[target]], dim=1)
    return torch.cat([triples, inner])
