"""A trained model on a newer graph: new users by their events, new items by their content."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.identity import IdentityFeature
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.transfer import transfer
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.taught import Taught


@dataclass(frozen=True, eq=False)
class Newer:
    """A model on a graph that has nodes which it was not trained on.

    Args:
        predictor: Of the model on the graph.
        rankable: bool ``[V]``: items that the model knows, or whose content it reads.
        new: Node type → number of nodes that it was not trained on.
    """

    predictor: Predictor
    rankable: Tensor
    new: dict[str, int]


def on_newer_graph(predictor: Predictor, graph: Graph, *, trust_code: bool = False) -> Newer:
    """Return a predictor of the same model on another graph.

    Vectors that belong to a single node (ids) go over by raw id; those of new nodes are zero, so
    that only their content counts. A new item without any content cannot be ranked.

    Args:
        predictor: With a trained model; left as it is.
        graph: The newer graph, with the same node types and relations.
        trust_code: Allow the saved stage to name code outside the library, which is then run.

    Raises:
        GraphRecError: When the graph lacks the relation that the model predicts.
    """
    before = predictor.reading
    relation = before.relation.name
    if relation not in graph.schema.relation_names:
        got = ", ".join(each.name for each in graph.schema.interactions) or "none"
        raise GraphRecError("newer graph", f"the relation {relation!r}", got, "the card of the run")
    known = before.model.vocabulary
    assert known is not None
    model, _ = transfer(before.model, graph)
    model.eval()
    new, rankable = {}, torch.ones(graph.num_nodes(before.relation.target), dtype=torch.bool)
    for kind in graph.schema.node_names:
        raw = graph.tables[kind][RAW_ID].to_list()
        strange = known.node_ids(kind, raw) < 0 if kind in known.node_types else None
        strange = torch.ones(len(raw), dtype=torch.bool) if strange is None else strange
        new[kind] = int(strange.sum())
        if not new[kind]:
            continue
        content = _forget(model, kind, strange)
        if kind == before.relation.target and not content:
            rankable = ~strange
    made = Predictor(model, graph, relation=relation, trust_code=trust_code)
    return Newer(made, rankable, {kind: count for kind, count in new.items() if count})


def _forget(model: Model, kind: str, strange: Tensor) -> bool:
    """Set the id vectors of some nodes to zero; return whether the type has other features."""
    if kind not in model.features.names:
        return False
    parts = list(model.features.get_submodule(f"of_type.of_{kind}.parts").children())
    for part in parts:
        if isinstance(part, IdentityFeature):
            with torch.no_grad():
                part.table.weight[strange.to(part.table.weight.device)] = 0.0
    propagated = model.features.propagate is not None
    return propagated or any(not isinstance(part, IdentityFeature) for part in parts)


def reads_attributes(predictor: Predictor) -> bool:
    """Return whether the model reads attributes of a user beside the events."""
    reading = predictor.reading
    kind, features = reading.relation.source, reading.model.features
    if kind not in features.names:
        return False
    parts = features.get_submodule(f"of_type.of_{kind}.parts").children()
    described = any(not isinstance(part, IdentityFeature) for part in parts)
    return described and names_users(reading.taught)


def names_users(taught: Taught) -> bool:
    """Return whether the sequences of a model hold the user, or its vector ranks directly."""
    readout = taught.ranking().readout
    return taught.linearizer.names_root or getattr(readout, "where", "") == "vector"
