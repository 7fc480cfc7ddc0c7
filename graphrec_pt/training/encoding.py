"""Node encodings: vectors from a trained model that initialise an id table."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.features.identity import IdentityFeature
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Strict
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.pooling import Pool, pooled
from graphrec_pt.sampling.sampler import SamplerField
from graphrec_pt.tokens.linearizer import LinearizerField

BLOCK = 1024
"""Nodes encoded at once."""


class NodeEncoding(Strict):
    """Encoding of the nodes of a type: ``x_v = norm · h_v / ‖h_v‖``.

    PMGT (Liu et al., ACM MM 2021) hands its pre-trained items over like this: each is sampled
    with its neighbours, encoded, and what was read off becomes the first vector of the item in the
    model that recommends.

    Args:
        node_type: Whose nodes; the type has an ``id`` feature, whose table is filled.
        sampler: Name or config, on roots of one node each.
        linearizer: Name or config; makes one sequence of each root.
        pool: Pooling of hidden states to the vector of a sequence.
        norm: Norm of every vector.
        seed: Seed of the draws of the sampler.
    """

    node_type: str
    sampler: SamplerField
    linearizer: LinearizerField
    pool: Pool = "roots"
    norm: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0)


def encoded_nodes(model: Model, graph: Graph, chosen: NodeEncoding) -> Tensor:
    """Return the vectors of all nodes of the type: ``[V, D]``.

    Args:
        model: Trained, on any device; left in the mode that it is in.
        graph: The graph that may be seen, without held-out edges.
        chosen: How.

    Raises:
        GraphRecError: For a linearizer that makes more than one sequence of a root.
    """
    device = next(model.parameters()).device
    owned, vectors, linearizer = graph.nodes(chosen.node_type), [], chosen.linearizer
    if model.tokenizer is not None:
        linearizer = linearizer.with_words(model.tokenizer)
    with torch.no_grad(), _at_rest(model), model.cached_embeddings():
        for roots in torch.split(torch.arange(owned.start, owned.stop), BLOCK):
            key = Key(chosen.seed).named("encoding")
            tokens = linearizer.linearize(graph, chosen.sampler.sample(graph, roots, key), key)
            if len(tokens) != len(roots):
                got = f"{len(tokens)} of {len(roots)} nodes"
                raise GraphRecError(
                    "init_embeddings_from", "one sequence for each node", got, "join: true"
                )
            view = View(tokens, root=roots).to(device)
            vectors.append(pooled(model.encode(view), chosen.pool))
    if not vectors:
        return torch.zeros(0, model.width, device=device)
    return normalize(torch.cat(vectors), dim=-1) * chosen.norm


def begin_with(model: Model, graph: Graph, chosen: NodeEncoding) -> None:
    """Fill the id table of a type with the model's encodings of its nodes.

    Raises:
        GraphRecError: For a type without such a table.
    """
    parts = model.features.get_submodule(f"of_type.of_{chosen.node_type}.parts").children()
    tables = [part.table for part in parts if isinstance(part, IdentityFeature)]
    if not tables:
        hint = f"features: {{by_type: {{{chosen.node_type}: [{{name: id, zero: true}}]}}}}"
        who = f"init_embeddings_from {chosen.node_type!r}"
        raise GraphRecError(who, "an id feature to fill", "none", hint)
    vectors = encoded_nodes(model, graph, chosen)
    with torch.no_grad():
        tables[0].weight.copy_(vectors)


@contextmanager
def _at_rest(model: Model) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
