"""What every split protocol promises: one stage per event, and nothing held out in train."""

from collections.abc import Mapping

import torch

from graphrec_pt.graph.final_protocol import Final
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import SplitPart, SplitProtocol, protocol
from graphrec_pt.graph.split import split
from graphrec_pt.testing.configs import check_config
from graphrec_pt.testing.promise import promise


def check_protocol(
    config: str | Mapping[str, object] | SplitProtocol, graph: Graph, seed: int = 0
) -> None:
    """Check everything that a split protocol promises.

    Args:
        config: Its name, its config or the protocol itself.
        graph: A graph with an interaction relation that fits the protocol.
        seed: Of protocols that draw.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> check_protocol({"name": "ratio", "valid": 0.2, "test": 0.2}, example_graph())
    """
    chosen = protocol.build(config)
    check_config(protocol, chosen)
    cut, again = split(graph, chosen, seed), split(graph, chosen, seed)
    promise(torch.equal(cut.stage, again.stage), chosen, "the same seed gives the same split")
    relation = graph.schema.interaction(chosen.relation)
    edges = graph.edges(relation.name)
    stages = cut.stage[edges.edge]
    legal = {int(part) for part in SplitPart}
    promise(set(stages.tolist()) <= legal, chosen, "every event has a stage of SplitPart")
    if not isinstance(chosen, Final):  # holds out nothing, which is its purpose
        promise(len(cut.test) > 0, chosen, "some event is a target of the test")
    hidden = set(edges.edge[stages != SplitPart.TRAIN].tolist())
    names = [relation.name, *([relation.inverse] if relation.inverse else [])]
    for name in names:
        shown = set(cut.train.edges(name).edge.tolist())
        promise(not shown & hidden, chosen, f"held-out edges are absent from {name} of train")
    targets = set(cut.test.edge.tolist())
    seen = set(cut.history("test").edges(relation.name).edge.tolist())
    promise(not seen & targets, chosen, "targets of the test are absent from its history graph")
