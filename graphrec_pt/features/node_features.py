"""Vectors of nodes of any type: featurizers composed per type, with optional propagation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.features.featurizer import (
    Feature,
    Featurizer,
    FeaturizerField,
    PropagationField,
    Propagator,
    Vectors,
    featurizer,
)
from graphrec_pt.features.identity import IdentityFeature
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Checked
from graphrec_pt.graph.spec import GraphSpec

Composition = Literal["sum", "concat", "gate"]


class Composed(nn.Module):
    """The features of one node type, composed.

    With features ``f_1 … f_k``: sum ``Σ f_i``; concat ``W [f_1; …; f_k]``; gate
    ``Σ a_i f_i`` with ``a = softmax_i(w · tanh(f_i))`` as in PMGT (Liu et al., ACM MM 2021).

    Args:
        configs: Configs of the features.
        spec: Spec of the graph.
        node_type: Type of its nodes.
        width: D.
        compose: How several features become one vector.
        id_dropout: Share of nodes whose id feature is left out in training.
    """

    def __init__(
        self,
        configs: Sequence[Featurizer],
        spec: GraphSpec,
        node_type: str,
        width: int,
        *,
        compose: Composition = "sum",
        id_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not configs:
            raise GraphRecError("features", f"at least one feature of {node_type!r}", "none", "id")
        self.compose, self.id_dropout = compose, id_dropout
        self.parts = nn.ModuleList(config.build(spec, node_type, width) for config in configs)
        several = len(configs) > 1
        self.joint = (
            nn.Linear(len(configs) * width, width) if several and compose == "concat" else None
        )
        self.gate = nn.Linear(width, 1, bias=False) if several and compose == "gate" else None
        # Gives the module a device also when no feature has weights.
        self.register_buffer("anchor", torch.zeros(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.get_buffer("anchor").device

    def attach_graph(self, graph: Graph) -> None:
        """Read columns and edges of a graph."""
        for part in self.parts:
            assert isinstance(part, Feature)
            part.attach_graph(graph)

    def forward(self, nodes: Tensor, vectors: Vectors, plain: bool) -> Tensor:
        """Return ``[n, D]`` in the precision of the weights, also under autocast.

        Args:
            nodes: int64 ``[n]``, numbered inside the type.
            vectors: Looks up other nodes.
            plain: Leave out (as zeros) the features that look up other nodes.
        """
        return self._composed(nodes, vectors, plain).to(self.get_buffer("anchor").dtype)

    def _composed(self, nodes: Tensor, vectors: Vectors, plain: bool) -> Tensor:
        features = [self._one(part, nodes, vectors, plain) for part in self.parts]
        if len(features) == 1:
            return features[0]
        if self.joint is not None:
            joint: Tensor = self.joint(torch.cat(features, dim=1))
            return joint
        stacked = torch.stack(features, dim=1)  # [n, k, D]
        if self.gate is not None:
            stacked = stacked * self.gate(stacked.tanh()).softmax(dim=1)
        return stacked.sum(1)

    def _one(self, part: nn.Module, nodes: Tensor, vectors: Vectors, plain: bool) -> Tensor:
        if plain and getattr(part, "looks_up", False):
            some = vectors(nodes[:0])
            return some.new_zeros(len(nodes), some.shape[1])
        feature: Tensor = part(nodes, vectors)
        if self.training and self.id_dropout and isinstance(part, IdentityFeature):
            kept = torch.rand(len(nodes), 1, device=feature.device) >= self.id_dropout
            feature = feature * kept
        return feature


EVERY = "*"
"""Key of the node types that are not named."""


class Features(Checked):
    """The features of each node type, and how they are composed to one vector.

    Args:
        by_type: Node type, or ``"*"`` for the others → configs of featurizers.
        compose: ``"sum"`` of the features; ``"concat"``, a linear map of all side by side;
            ``"gate"``, a sum with weights that depend on them.
        id_dropout: Share of nodes whose ``id`` feature is left out in training, so that the model
            learns to do without (what makes it transfer to nodes it has never seen).
        propagation: Config of a graph neural network over all nodes, if any.

    Example:
        >>> features = Features(by_type={"item": ["id", "static_text"], "*": ["id"]})
        >>> network = seeded(lambda: features.build(GraphSpec.of(graph), 8), seed=0)
        >>> network.attach_graph(graph)
        >>> network(graph.node_ids("user", ["ann", "bob"])).shape
        torch.Size([2, 8])
    """

    by_type: dict[str, tuple[FeaturizerField, ...]] = Field({EVERY: ("id",)}, validate_default=True)
    compose: Composition = "sum"
    id_dropout: float = Field(0.0, ge=0, lt=1)
    propagation: PropagationField | None = None

    def of(self, node_type: str) -> tuple[Featurizer, ...]:
        """Return the featurizers of a node type."""
        every = self.by_type.get(EVERY) or (featurizer.build("id"),)
        return self.by_type.get(node_type, every)

    def build(self, spec: GraphSpec, width: int) -> "NodeFeatures":
        """Return a module for the nodes of a graph; runs on the meta device.

        Raises:
            GraphRecError: For node types that the graph does not have.
        """
        for name in self.by_type.keys() - {EVERY}:
            spec.node_index(name)
        return NodeFeatures(self, spec, width)


class NodeFeatures(nn.Module):
    """From global node ids to vectors.

    Inside :meth:`cached_embeddings` the vectors of a whole type are computed once.

    Args:
        config: The features to compose.
        spec: Of the graph.
        width: D.
    """

    def __init__(self, config: Features, spec: GraphSpec, width: int) -> None:
        super().__init__()
        self.names, self.width = spec.node_names, width
        self.of_type = nn.ModuleDict(
            {
                f"of_{name}": Composed(
                    config.of(name),
                    spec,
                    name,
                    width,
                    compose=config.compose,
                    id_dropout=config.id_dropout,
                )
                for name in self.names
            }
        )
        self.propagate: Propagator | None = None
        if config.propagation is not None:
            self.propagate = config.propagation.build(spec, width)
        self.counts = list(spec.counts)
        self.bound = not self.reads
        self._held: dict[str, Tensor] | None = None

    @property
    def reads(self) -> bool:
        """Whether a graph must be attached before the first pass."""
        parts = (part for part in self.modules() if isinstance(part, Feature))
        reading = (type(p).attach_graph is not Feature.attach_graph for p in parts)
        return self.propagate is not None or any(reading)

    def attach_graph(self, graph: Graph) -> None:
        """Read columns and edges of a graph.

        Raises:
            GraphRecError: When it has other node types, or other numbers of nodes.
        """
        counts = [graph.num_nodes(name) for name in graph.schema.node_names]
        if graph.schema.node_names != self.names or counts != self.counts:
            expected = _listed(dict(zip(self.names, self.counts, strict=True)))
            got = _listed(dict(zip(graph.schema.node_names, counts, strict=True)))
            hint = "transfer(model, graph) for another graph"
            raise GraphRecError("features", f"a graph of {expected}", got, hint)
        for name in self.names:
            self._part(name).attach_graph(graph)
        if self.propagate is not None:
            self.propagate.attach_graph(graph)
        self.bound = True

    def inputs(self) -> dict[str, Tensor]:
        """Return the data of the attached graph: all buffers that are not weights, by name."""
        weights = self.state_dict().keys()
        return {
            name: buffer
            for name, buffer in self.named_buffers()
            if name not in weights and not name.endswith("anchor")
        }

    def restore(self, inputs: Mapping[str, Tensor]) -> None:
        """Load what :meth:`inputs` returned, instead of attaching a graph.

        Raises:
            GraphRecError: When names, shapes or types differ from those of these features, and with
                a propagation, which needs the graph.
        """
        expected = self.inputs()
        if self.propagate is not None or inputs.keys() != expected.keys():
            got = ", ".join(sorted(inputs.keys() ^ expected.keys())) or "those of a propagation"
            raise GraphRecError("features", "inputs that they read", got, "attach_graph(graph)")
        for name, tensor in inputs.items():
            path, _, last = name.rpartition(".")
            module = self.get_submodule(path)
            _check_input(module, name, inputs, dict(zip(self.names, self.counts, strict=True)))
            setattr(module, last, tensor.to(expected[name].device))
        self.bound = True

    @contextmanager
    def optimiser_step(self, step: int) -> Iterator[None]:
        """Say that all passes inside the block belong to one optimiser step.

        Args:
            step: Steps of the stage before it.
        """
        parts = [part for part in self.modules() if isinstance(part, Feature)]
        for part in parts:
            part.begin_step(step)
        yield
        for part in parts:
            part.finish_step()

    @contextmanager
    def cached_embeddings(self, tables: dict[str, Tensor] | None = None) -> Iterator[None]:
        """Keep the tables made inside the block: one forward pass.

        Args:
            tables: Dictionary of the tables, with those of earlier blocks; weights must not have
                changed since.
        """
        outer, self._held = self._held, {} if tables is None else tables
        try:
            yield
        finally:
            self._held = outer

    def forward(self, nodes: Tensor) -> Tensor:
        """Return the vectors of nodes of any type.

        Args:
            nodes: int64 ``[n]`` global ids.

        Returns:
            ``[n, D]``.

        Raises:
            GraphRecError: When a graph must be attached first.
        """
        self._check_bound()
        if self.propagate is not None:
            return self._all().index_select(0, nodes)
        return self._composed(nodes, plain=False)

    def table(self, node_type: str) -> Tensor:
        """Return the vectors of all nodes of a type: ``[V, D]``."""
        self._check_bound()
        low, high = self._range(node_type)
        if self.propagate is not None:
            return self._all()[low:high]
        return self._kept(node_type, lambda: self._table(node_type, plain=False))

    def _all(self) -> Tensor:
        """Return the propagated vectors of all nodes: ``[N, D]``."""
        propagate = self.propagate
        assert propagate is not None
        return self._kept(
            EVERY,
            lambda: propagate(torch.cat([self._table(name, plain=False) for name in self.names])),
        )

    def _table(self, node_type: str, *, plain: bool) -> Tensor:
        low, high = self._range(node_type)
        part = self._part(node_type)
        every = torch.arange(high - low, device=part.device)
        rows: Tensor = part(every, self._plain, plain)
        return rows

    def _plain(self, nodes: Tensor) -> Tensor:
        """Return ``[n, D]`` without the features that look at other nodes."""
        return self._composed(nodes, plain=True)

    def _composed(self, nodes: Tensor, *, plain: bool) -> Tensor:
        out: Tensor | None = None
        for name in self.names:
            low, high = self._range(name)
            rows = ((nodes >= low) & (nodes < high)).nonzero().squeeze(1)
            if not len(rows):
                continue
            local, kept = nodes[rows] - low, (self._held or {}).get(name)
            if kept is not None and not plain:
                part = kept.index_select(0, local)
            else:
                part = self._part(name)(local, self._plain, plain)
            if len(rows) == len(nodes):
                return part
            if out is None:
                out = part.new_zeros(len(nodes), self.width)
            out = out.index_copy(0, rows, part)
        if out is None:
            some = next(self.parameters(), None)
            device = nodes.device if some is None else some.device
            out = torch.zeros(len(nodes), self.width, device=device)
        return out

    def _kept(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        if self._held is None:
            return make()
        if name not in self._held:
            self._held[name] = make()
        return self._held[name]

    def _check_bound(self) -> None:
        if not self.bound:
            raise GraphRecError("features", "a graph to read", "none", "model.attach_graph(graph)")

    def _part(self, node_type: str) -> Composed:
        return cast(Composed, self.of_type[f"of_{node_type}"])

    def _range(self, node_type: str) -> tuple[int, int]:
        if node_type not in self.names:
            hint = did_you_mean(node_type, self.names)
            raise GraphRecError("features", "a node type", repr(node_type), hint)
        index = self.names.index(node_type)
        low = sum(self.counts[:index])
        return low, low + self.counts[index]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _check_input(
    module: nn.Module, name: str, inputs: Mapping[str, Tensor], counts: Mapping[str, int]
) -> None:
    """Raise for a saved input with values out of range, since files may be damaged or forged.

    Args:
        module: The feature.
        name: Name of the input; its last part is the name of a buffer.
        inputs: All inputs by name.
        counts: Number of nodes of each type.
    """
    path, _, last = name.rpartition(".")
    places = {n: n.rpartition(".") for n in inputs}
    beside = {leaf: inputs[n] for n, (place, _, leaf) in places.items() if place == path}
    tensor, buffer = inputs[name], module.get_buffer(last)
    right = tensor.is_floating_point() == buffer.is_floating_point()
    right = right and tensor.ndim == buffer.ndim > 0 and tensor.shape[1:] == buffer.shape[1:]
    nodes = counts.get(str(vars(module).get("node_type")))
    if right and last == "start":  # where the values of each node begin among those beside it
        ascends = len(tensor) > 0 and int(tensor[0]) == 0 and bool((tensor.diff() >= 0).all())
        right = ascends and nodes in (None, len(tensor) - 1)
    elif right and "start" in beside:
        right = len(beside["start"]) > 0 and int(beside["start"][-1]) == len(tensor)
    elif right:
        right = nodes in (None, len(tensor))
    if right and not tensor.is_floating_point() and tensor.dtype != torch.bool and len(tensor):
        table = dict(module.named_children()).get("table")
        most = table.num_embeddings if isinstance(table, nn.Embedding) else 2**31
        if last in ("neighbor", "item"):
            most = sum(counts.values())
        if last == "start":
            most = 2**62
        right = tensor.numel() == 0 or (int(tensor.min()) >= 0 and int(tensor.max()) < most)
    if not right:
        got = f"{tensor.dtype} {list(tensor.shape)} of other values"
        raise GraphRecError(f"inputs.safetensors {name}", "what the feature reads", got)
