"""What every linearizer promises: tokens are a function of graph, key and sample."""

from collections.abc import Mapping
from typing import Any

import torch

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.sample import Paths, Sample, concatenate
from graphrec_pt.sampling.sampler import Sampler, sampler
from graphrec_pt.testing.configs import check_config, travelled
from graphrec_pt.testing.promise import promise
from graphrec_pt.tokens.join import concat
from graphrec_pt.tokens.kind import IGNORE, Kind
from graphrec_pt.tokens.linearizer import Linearizer, linearizer
from graphrec_pt.tokens.tokens import Tokens, same

KEY = Key(11)


def check_linearizer(
    config: str | Mapping[str, object] | Linearizer,
    graph: Graph,
    walk: str | Mapping[str, object] | Sampler,
    roots: str | torch.Tensor,
    *,
    key: Key = KEY,
) -> None:
    """Check everything that a linearizer promises.

    Args:
        config: Its name, its config or the linearizer itself.
        graph: A graph that the sampler can walk.
        walk: The sampler whose samples it takes: name, config or object.
        roots: A node type, whose nodes are the roots; or int64 ``[B]`` or ``[B, 2]``.
        key: Names the draws.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> check_linearizer("history", example_graph(), {"name": "history", "window": 4}, "user")
    """
    chosen, drawn = linearizer.build(config), sampler.build(walk)
    given = torch.tensor(list(graph.nodes(roots))) if isinstance(roots, str) else roots
    sample = drawn.sample(graph, given, key)
    check_config(linearizer, chosen)
    makes_one_sequence_each(chosen, graph, sample, key)
    names_edges_of_the_graph(chosen, graph, sample, key)
    uses_legal_ids(chosen, graph, sample, key)
    fills_what_it_says(chosen, graph, sample, key)
    is_a_function_of_its_sample(chosen, graph, sample, key)
    empty = drawn.sample(graph, given[:0], key)
    takes_nothing(chosen, graph, empty, key)


def size_of(sample: Sample) -> int:
    """Return for how many roots something was sampled."""
    return sample.size if isinstance(sample, Paths) else len(sample)


def makes_one_sequence_each(
    chosen: Linearizer, graph: Graph, sample: Sample, key: Key = KEY
) -> Tokens:
    """There is one sequence per root; per path of Paths unless they are joined."""
    tokens = chosen.linearize(graph, sample, key)
    per_path = isinstance(sample, Paths) and not chosen.joins
    wanted = len(sample) if per_path else size_of(sample)
    promise(len(tokens) == wanted, chosen, f"{wanted} sequences", len(tokens))
    promise(int(tokens.ptr[-1]) == len(tokens.id), chosen, "ptr ends at the number of tokens")
    promise(len(tokens.id) > 0, chosen, "some token is made; choose roots that have neighbours")
    return tokens


def names_edges_of_the_graph(
    chosen: Linearizer, graph: Graph, sample: Sample, key: Key = KEY
) -> None:
    """Parents with their relations, and edges between tokens, are edges of the graph."""
    tokens = chosen.linearize(graph, sample, key)
    known = set()
    for index, relation in enumerate(graph.schema.relations):
        edges = graph.edges(relation.name)
        ends = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
        known |= {(source, index, target) for source, target in ends}
    unknown = {tuple(triple) for triple in tokens.triples().tolist()} - known
    promise(not unknown, chosen, "a parent and its child are joined by an edge", unknown)
    inside = bool((tokens.parents() < len(tokens.id)).all())
    promise(inside, chosen, "parents are tokens of the batch")
    if tokens.edges is not None:
        node = tokens.id.tolist()
        between = {(node[s], r, node[t]) for s, r, t in tokens.edges.tolist()}
        promise(between <= known, chosen, "edges between tokens are edges of the graph")


def uses_legal_ids(chosen: Linearizer, graph: Graph, sample: Sample, key: Key = KEY) -> None:
    """Node tokens have the type of their node; labels stand on special tokens alone."""
    tokens = chosen.linearize(graph, sample, key)
    node, relation = tokens.kind == Kind.NODE, tokens.kind == Kind.RELATION
    types = torch.equal(tokens.type[node], graph.csr.node_type(tokens.id[node]))
    promise(types, chosen, "a node token has the type of its node")
    legal = bool((tokens.id[relation] < len(graph.schema.relations)).all())
    promise(legal, chosen, "a relation token is a relation of the graph")
    labelled = tokens.labels != IGNORE
    special = bool((tokens.kind[labelled] == Kind.SPECIAL).all())
    promise(special, chosen, "labels stand on special tokens")
    promise(bool((tokens.position >= 0).all()), chosen, "positions count from 0")


def fills_what_it_says(chosen: Linearizer, graph: Graph, sample: Sample, key: Key = KEY) -> None:
    """No kind of token and no field occurs that ``makes`` does not name."""
    tokens, makes = chosen.linearize(graph, sample, key), chosen.makes
    kinds = {Kind(kind) for kind in set(tokens.kind.tolist())} - makes.kinds
    promise(not kinds, chosen, "makes names every kind of token", [kind.name for kind in kinds])
    neutral = {"hop": -1, "parent": -1, "relation": -1, "time": NO_TIME, "labels": IGNORE}
    filled = {
        name for name, value in neutral.items() if bool((_column(tokens, name) != value).any())
    }
    filled |= {name for name in ("edges", "word") if getattr(tokens, name) is not None}
    unnamed = filled - makes.fields
    promise(not unnamed, chosen, "makes names every field that is filled", sorted(unnamed))


def is_a_function_of_its_sample(
    chosen: Linearizer, graph: Graph, sample: Sample, key: Key = KEY
) -> None:
    """The same sample gives the same tokens: twice, after travelling, alone, in another order."""
    tokens = chosen.linearize(graph, sample, key)
    promise(same(chosen.linearize(graph, sample, key), tokens), chosen, "the same tokens twice")
    equal = same(travelled(chosen).linearize(graph, sample, key), tokens)
    promise(equal, chosen, "the same tokens in a worker")
    parts: Any = [sample.select(at) for at in range(size_of(sample))]
    alone = [chosen.linearize(graph, part, key) for part in parts]
    promise(same(concat(alone), tokens), chosen, "a sample alone has the same tokens")
    backwards = chosen.linearize(graph, concatenate(parts[::-1]), key)
    promise(same(backwards, concat(alone[::-1])), chosen, "the order of samples does not matter")


def takes_nothing(chosen: Linearizer, graph: Graph, empty: Sample, key: Key = KEY) -> None:
    """An empty sample gives no tokens."""
    tokens = chosen.linearize(graph, empty, key)
    promise(len(tokens) == len(tokens.id) == 0, chosen, "an empty sample, no tokens")


def _column(tokens: Tokens, name: str) -> torch.Tensor:
    column: torch.Tensor = getattr(tokens, name)
    return column
