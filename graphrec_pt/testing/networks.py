"""What featurizers and propagations promise: vectors that depend on weights and the graph alone."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from graphrec_pt.features.featurizer import (
    Feature,
    Featurizer,
    Propagation,
    Propagator,
    featurizer,
    propagation,
)
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import keep_edges
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.testing.configs import check_config
from graphrec_pt.testing.promise import promise

WIDTH = 8


def check_featurizer(
    config: str | Mapping[str, object] | Featurizer, graph: Graph, node_type: str
) -> None:
    """Check everything that a featurizer promises.

    Args:
        config: Its name, its config or the featurizer itself.
        graph: A graph with the columns or relations that it reads.
        node_type: Type of the nodes that get vectors.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> check_featurizer("number", example_graph(), "item")
    """
    chosen = featurizer.build(config)
    check_config(featurizer, chosen)
    gives_each_node_its_vector(chosen, graph, node_type)
    has_weights_of_its_seed(chosen, graph, node_type)
    saves_weights_alone(build_feature(chosen, graph, node_type), chosen)


def build_feature(chosen: Featurizer, graph: Graph, node_type: str, seed: int = 0) -> Feature:
    """Return the module of a featurizer, filled and attached to the graph."""
    make = partial(chosen.build, GraphSpec.of(graph), node_type, WIDTH)
    feature = seeded(make, seed)
    feature.attach_graph(graph)
    return feature


def other_vectors(nodes: Tensor) -> Tensor:
    """Return vectors of any nodes, a function of their ids: ``[n, D]``."""
    columns = torch.arange(1, WIDTH + 1)
    return torch.sin(nodes[:, None] * columns[None].float())  # [n, D]


def gives_each_node_its_vector(chosen: Featurizer, graph: Graph, node_type: str) -> None:
    """Vectors are ``[n, D]``, do not depend on the other nodes asked for, and can be trained."""
    feature = build_feature(chosen, graph, node_type)
    count = len(graph.nodes(node_type))
    nodes = torch.tensor([count - 1, 0, count // 2, 0])
    together = feature(nodes, other_vectors)
    shape = list(together.shape)
    promise(shape == [4, WIDTH], chosen, f"vectors of the shape [4, {WIDTH}]", shape)
    promise(bool(together.isfinite().all()), chosen, "finite vectors")
    alone = torch.cat([feature(node[None], other_vectors) for node in nodes])
    close = torch.allclose(together, alone, atol=1e-5)
    promise(close, chosen, "a node has one vector, whatever else is asked for")
    none = list(feature(nodes[:0], other_vectors).shape)
    promise(none == [0, WIDTH], chosen, "no nodes, no vectors", none)


def has_weights_of_its_seed(chosen: Featurizer, graph: Graph, node_type: str) -> None:
    """Weights are a function of the seed, and torch's random state is left alone."""
    state = torch.get_rng_state()
    one, same, other = (build_feature(chosen, graph, node_type, seed) for seed in (1, 1, 2))
    kept = torch.equal(torch.get_rng_state(), state)
    promise(kept, chosen, "torch's global random state is left alone")
    weights = dict(one.named_parameters())
    equal = all(torch.equal(p, weights[name]) for name, p in same.named_parameters())
    promise(equal, chosen, "the same seed gives the same weights")
    if any(p.requires_grad and p.ndim > 1 for p in weights.values()):
        differ = any(not torch.equal(p, weights[name]) for name, p in other.named_parameters())
        promise(differ, chosen, "another seed gives other weights")


def saves_weights_alone(network: nn.Module, chosen: object) -> None:
    """Arrays of the graph are not saved with the weights."""
    persistent = set(network.state_dict())
    largest = {name: value.numel() for name, value in network.named_buffers() if name in persistent}
    promise(
        all(size <= WIDTH * WIDTH for size in largest.values()),
        chosen,
        "arrays of the graph are buffers with persistent=False",
        sorted(largest),
    )


def check_propagation(config: str | Mapping[str, object] | Propagation, graph: Graph) -> None:
    """Check everything that a propagation promises.

    Args:
        config: Its name, its config or the propagation itself.
        graph: A graph with the relations that it reads.

    Raises:
        BrokenPromise: For the first promise that does not hold.

    Example:
        >>> check_propagation({"name": "lightgcn", "layers": 2}, example_graph())
    """
    chosen = propagation.build(config)
    check_config(propagation, chosen)
    build = partial(build_propagator, chosen)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(graph.num_nodes(), WIDTH, generator=draw).requires_grad_()
    probe = torch.randn(graph.num_nodes(), WIDTH, generator=draw)
    mixes_all_nodes(chosen, build, graph, x, probe)
    repeats_itself(chosen, build, graph, x, probe)
    agrees_between_bodies(chosen, build, graph, x, probe)
    follows_the_attached_graph(chosen, build, graph, x)
    saves_weights_alone(build(graph), chosen)


Build = Callable[..., Propagator]


def build_propagator(chosen: Propagation, graph: Graph, seed: int = 0) -> Propagator:
    """Return the module of a propagation, filled and attached to the graph."""
    network = seeded(partial(chosen.build, GraphSpec.of(graph), WIDTH), seed)
    network.attach_graph(graph)
    return network


def gradients(network: Propagator, x: Tensor, probe: Tensor) -> list[Tensor | None]:
    """Return the gradients of a weighted sum of the output, to the input and every weight."""
    inputs: list[Any] = [x, *network.parameters()]
    return list(torch.autograd.grad((network(x) * probe).sum(), inputs, allow_unused=True))


def mixes_all_nodes(
    chosen: Propagation, build: Build, graph: Graph, x: Tensor, probe: Tensor
) -> None:
    """It maps ``[N, D]`` to other finite ``[N, D]``, and its gradient reaches every weight."""
    network = build(graph)
    out = network(x)
    promise(out.shape == x.shape, chosen, f"shape {list(x.shape)}", list(out.shape))
    promise(out.dtype == torch.float32, chosen, "full precision", out.dtype)
    promise(bool(out.isfinite().all()), chosen, "finite vectors")
    promise(not torch.allclose(out, x), chosen, "vectors change")
    for gradient in gradients(network, x, probe):
        reached = gradient is not None and bool(gradient.isfinite().all())
        promise(reached, chosen, "a finite gradient reaches every weight and the input")
        assert gradient is not None
        promise(float(gradient.abs().sum()) > 0, chosen, "no gradient is all zeros")


def repeats_itself(
    chosen: Propagation, build: Build, graph: Graph, x: Tensor, probe: Tensor
) -> None:
    """The same seed gives the same bits, forwards and backwards; another seed others."""
    network, again = build(graph), build(graph)
    promise(network(x).equal(again(x)), chosen, "the same seed gives the same vectors")
    pairs = zip(gradients(network, x, probe), gradients(again, x, probe), strict=True)
    equal = all(one is not None and two is not None and one.equal(two) for one, two in pairs)
    promise(equal, chosen, "the same seed gives the same gradients")
    if list(network.parameters()):
        promise(not network(x).equal(build(graph, 1)(x)), chosen, "another seed, other vectors")


def agrees_between_bodies(
    chosen: Propagation, build: Build, graph: Graph, x: Tensor, probe: Tensor
) -> None:
    """The kernels' torch and numba bodies agree to 1e-5, gradients included."""
    network, found = build(graph), []
    for body in ("torch", "numba"):
        with forced_body(body):
            found.append([network(x), *gradients(network, x, probe)])
    for one, two in zip(*found, strict=True):
        assert one is not None
        assert two is not None
        close = torch.allclose(one, two, atol=1e-5, rtol=1e-5)
        promise(close, chosen, "torch and numba agree to 1e-5")


def follows_the_attached_graph(chosen: Propagation, build: Build, graph: Graph, x: Tensor) -> None:
    """Vectors are those of the graph attached last, and finite without any edge."""
    network, kept = build(graph), torch.arange(graph.num_edge_ids) % 3 > 0
    before = network(x)
    fewer = keep_edges(graph, kept)
    network.attach_graph(fewer)
    promise(network(x).equal(build(fewer)(x)), chosen, "vectors are those of the attached graph")
    network.attach_graph(graph)
    promise(network(x).equal(before), chosen, "the first graph attached again, the first vectors")
    empty = build(keep_edges(graph, torch.zeros_like(kept)))
    promise(bool(empty(x).isfinite().all()), chosen, "a graph without edges gives finite vectors")
