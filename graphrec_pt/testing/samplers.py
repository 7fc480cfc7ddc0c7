"""What every sampler promises: a sample is a function of graph, key, root and excluded edge."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.sampling.sample import Paths, Sample, Subgraphs, concatenate, same
from graphrec_pt.sampling.sampler import Sampler, Sets, sampler
from graphrec_pt.testing.configs import check_config
from graphrec_pt.testing.promise import promise, refuses

KEY = Key(11).at_epoch(2)
Roots = Tensor | Sets
UsedEdge = tuple[int, int, int, int]


def check_sampler(
    config: str | Mapping[str, object] | Sampler,
    graph: Graph,
    roots: str | Roots,
    *,
    drawn: bool = True,
    key: Key = KEY,
) -> None:
    """Check everything that a sampler promises.

    Args:
        config: Its name, its config or the sampler itself.
        graph: A graph that it can walk, such as :func:`~graphrec_pt.testing.example_graph`.
        roots: A node type, whose nodes are the roots; int64 ``[B]`` or ``[B, 2]``; or sets.
        drawn: Whether it draws: another epoch of the key then gives another sample.
        key: Names the draws.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> check_sampler({"name": "k_hop", "fanout": [3, 2]}, example_graph(), "item")
    """
    chosen = sampler.build(config)
    given = torch.tensor(list(graph.nodes(roots))) if isinstance(roots, str) else roots
    check_config(sampler, chosen)
    roots_come_first(chosen, graph, given, key)
    uses_edges_of_the_graph(chosen, graph, given, key)
    is_a_function_of_its_key(chosen, graph, given, key, drawn=drawn)
    does_not_depend_on_the_batch(chosen, graph, given, key)
    hides_the_excluded_edge(chosen, graph, given, key)
    agrees_between_kernels(chosen, graph, given, key)
    takes_no_roots(chosen, graph, given, key)
    refuses_roots_outside(chosen, graph, given, key)


def take(roots: Roots, rows: Sequence[int]) -> Roots:
    """Return some of the roots, in the given order."""
    return roots[torch.tensor(list(rows), dtype=torch.int64)]


def size_of(sample: Sample) -> int:
    """Return for how many roots something was sampled."""
    return sample.size if isinstance(sample, Paths) else len(sample)


def stored_edges(graph: Graph) -> set[UsedEdge]:
    """Return the (source, relation, target, edge id) of every edge of a graph."""
    found: set[UsedEdge] = set()
    for index, relation in enumerate(graph.schema.relations):
        edges = graph.edges(relation.name)
        ends = edges.source.tolist(), edges.target.tolist(), edges.edge.tolist()
        found |= {(s, index, t, number) for s, t, number in zip(*ends, strict=True)}
    return found


def used_edges(graph: Graph, sample: Sample) -> list[list[UsedEdge]]:
    """Return the (source, relation, target, edge id) of every edge used for each root."""
    assert graph.csr.edge is not None
    used = sample.position >= 0
    ids = graph.csr.edge[sample.position[used]].tolist()
    if isinstance(sample, Paths):
        owner = sample.root[used.nonzero()[:, 0]].tolist()
    else:
        owner = sample.row()[used].tolist()
    found: list[list[UsedEdge]] = [[] for _ in range(size_of(sample))]
    for at, (source, relation, target), number in zip(
        owner, sample.triples().tolist(), ids, strict=True
    ):
        found[at].append((source, relation, target, number))
    return found


def roots_come_first(chosen: Sampler, graph: Graph, roots: Roots, key: Key = KEY) -> None:
    """There is one sample per root, which begins with the root."""
    sample = chosen.sample(graph, roots, key)
    promise(size_of(sample) == len(roots), chosen, "one sample per root", size_of(sample))
    if isinstance(sample, Paths):
        first = roots[sample.root]
        promise(isinstance(first, Tensor), chosen, "paths start from nodes or pairs")
        assert isinstance(first, Tensor)
        starts = first if first.ndim == 1 else first[:, 0]
        promise(torch.equal(sample.nodes[:, 0], starts), chosen, "a path starts at its root")
        length = (sample.nodes >= 0).sum(1) - 1
        promise(torch.equal(length, sample.length), chosen, "length counts the hops of a path")
        return
    for at in range(len(roots)):
        mine, root = sample.select(at), take(roots, [at])
        nodes = root.node if isinstance(root, Sets) else root.reshape(-1)
        wanted = list(dict.fromkeys(nodes.tolist())) if isinstance(root, Sets) else nodes.tolist()
        starts_with = mine.node[mine.hop == 0].tolist()
        sentence = f"hop 0 of a sample is its root {wanted}"
        promise(starts_with == wanted, chosen, sentence, starts_with)
        parents = mine.parent[mine.parent >= 0]
        inside = bool((parents < len(mine.node)).all())
        promise(inside, chosen, "parents are places inside the sample")


def uses_edges_of_the_graph(
    chosen: Sampler, graph: Graph, roots: Roots, key: Key = KEY
) -> list[UsedEdge]:
    """Every step follows a stored edge of the given graph, in the direction of its relation."""
    sample = chosen.sample(graph, roots, key)
    stored = stored_edges(graph)
    used = [edge for mine in used_edges(graph, sample) for edge in mine]
    promise(bool(used), chosen, "some edge is used; choose roots that have neighbours")
    unknown = set(used) - stored
    promise(not unknown, chosen, "only edges of the graph are used", sorted(unknown)[:3])
    if isinstance(sample, Subgraphs) and sample.edges is not None:
        node, triples = sample.node.tolist(), {edge[:3] for edge in stored}
        inner = {(node[s], r, node[t]) for s, r, t in sample.edges.tolist()}
        promise(inner <= triples, chosen, "the edges among sampled nodes are edges of the graph")
        row = sample.row()
        together = torch.equal(row[sample.edges[:, 0]], row[sample.edges[:, 2]])
        promise(together, chosen, "the edges among sampled nodes stay inside a sample")
    return used


def is_a_function_of_its_key(
    chosen: Sampler, graph: Graph, roots: Roots, key: Key = KEY, *, drawn: bool = True
) -> None:
    """The same key gives the same sample; another epoch gives another one where it draws."""
    state = torch.get_rng_state()
    sample = chosen.sample(graph, roots, key)
    promise(same(sample, chosen.sample(graph, roots, key)), chosen, "the same key, the same sample")
    other = chosen.sample(graph, roots, key.at_epoch(3))
    sentence = "another epoch gives another sample" if drawn else "nothing is drawn"
    promise(same(sample, other) is not drawn, chosen, f"{sentence} (drawn={drawn})")
    kept = torch.equal(torch.get_rng_state(), state)
    promise(kept, chosen, "torch's global random state is left alone")


def does_not_depend_on_the_batch(
    chosen: Sampler, graph: Graph, roots: Roots, key: Key = KEY
) -> None:
    """A root gets the same sample alone, in another order, twice, and beside other roots."""
    whole = chosen.sample(graph, roots, key)
    mixed = [*reversed(range(len(roots))), min(1, len(roots) - 1), 0]
    again = chosen.sample(graph, take(roots, mixed), key)
    for at, which in enumerate(mixed):
        equal = same(again.select(at), whole.select(which))
        promise(equal, chosen, f"root {which} has one sample in any batch and order")
    for at in range(0, len(roots), 3):
        alone = chosen.sample(graph, take(roots, [at]), key)
        promise(same(alone.select(0), whole.select(at)), chosen, "a root alone has the same sample")
    half = len(roots) // 2
    parts = [list(range(half)), list(range(half, len(roots)))]
    pieces: Any = [chosen.sample(graph, take(roots, part), key) for part in parts]
    promise(same(concatenate(pieces), whole), chosen, "two half batches are the whole batch")


def hides_the_excluded_edge(chosen: Sampler, graph: Graph, roots: Roots, key: Key = KEY) -> None:
    """The edge excluded for a root is not used for it, in neither direction."""
    before = used_edges(graph, chosen.sample(graph, roots, key))
    # The last edge used for each root, which may be far from it; none for every fourth root.
    banned = [mine[-1][3] if mine and at % 4 else -1 for at, mine in enumerate(before)]
    promise(any(number >= 0 for number in banned), chosen, "an edge is used for some root")
    sample = chosen.sample(graph, roots, key, torch.tensor(banned))
    stored = stored_edges(graph)
    for at, mine in enumerate(used_edges(graph, sample)):
        shown = banned[at] in {number for *_, number in mine}
        promise(not shown, chosen, f"the edge {banned[at]} excluded for root {at} is not used")
        part = sample.select(at)
        if isinstance(part, Subgraphs) and part.edges is not None:
            node, left = part.node.tolist(), {e[:3] for e in stored if e[3] != banned[at]}
            inner = {(node[s], r, node[t]) for s, r, t in part.edges.tolist()}
            promise(inner <= left, chosen, "an excluded edge is not among those of the sample")


def agrees_between_kernels(
    chosen: Sampler,
    graph: Graph,
    roots: Roots,
    key: Key = KEY,
    bodies: Sequence[str] = ("numba",),
) -> None:
    """The kernels' torch and numba bodies give the same bits, with and without excluded edges."""
    some = take(roots, sorted({0, min(1, len(roots) - 1), len(roots) // 3}))
    exclude = torch.arange(len(some)) - 1
    with forced_body("torch"):
        plain, hidden = (chosen.sample(graph, some, key, each) for each in (None, exclude))
    for body in bodies:
        with forced_body(body):
            found = [chosen.sample(graph, some, key, each) for each in (None, exclude)]
        equal = same(found[0], plain) and same(found[1], hidden)
        promise(equal, chosen, f"the bodies torch and {body} give the same bits")


def takes_no_roots(chosen: Sampler, graph: Graph, roots: Roots, key: Key = KEY) -> None:
    """A batch of no roots gives an empty sample."""
    sample = chosen.sample(graph, take(roots, []), key)
    empty = size_of(sample) == len(sample) == len(sample.triples()) == 0
    promise(empty, chosen, "no roots, an empty sample")


def refuses_roots_outside(chosen: Sampler, graph: Graph, roots: Roots, key: Key = KEY) -> None:
    """Ids that the graph does not have are refused, and so are excludes of another length."""
    for bad in (-1, graph.num_nodes()):
        wrong: Roots
        if isinstance(roots, Sets):
            wrong = Sets.of([[bad]])
        else:
            wrong = torch.tensor([bad] if roots.ndim == 1 else [[int(roots[0, 0]), bad]])
        with refuses(chosen, f"the root {bad} outside the graph is refused"):
            chosen.sample(graph, wrong, key)
    with refuses(chosen, "an exclude of another length than the roots is refused"):
        chosen.sample(graph, take(roots, [0, 0]), key, torch.tensor([-1, -1, -1]))
