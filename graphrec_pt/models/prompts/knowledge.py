"""Knowledge prompts (UniCRS), from the knowledge graph around a sequence's nodes."""

import polars as pl
import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import PropagationField, Propagator, propagation
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.adaptor import device_of
from graphrec_pt.models.host import Host, PromptEncoder
from graphrec_pt.models.prompt import PromptStates
from graphrec_pt.models.prompts.family import prompt
from graphrec_pt.models.prompts.prefix_projection import PrefixProjection, Where, layers_of
from graphrec_pt.models.view import View
from graphrec_pt.tokens.kind import Kind


@prompt("knowledge")
class Knowledge:
    """The ego nets of a sequence's nodes as its prompt: UniCRS (Wang et al., KDD 2022).

    A graph network gives every node e a vector that knows its neighbourhood, ``E = GNN(X)``. The
    last P different nodes of a sequence are fused with all its node tokens T by cross-attention,
    ``p_e = E_e + softmax_t(E_e W T_tᵀ / D) T``, and become keys and values of each layer, or soft
    tokens. Free places hold learned vectors.

    Args:
        size: P.
        learned: More places, with learned vectors only (10 for recommendation in UniCRS).
        types: Node types that are looked up; all by default.
        propagation: Config of the network; by default R-GCN with residuals over the relations
            that are facts: neither interactions nor derived from them. Others would show a
            training example the edge that it must predict.
        inner: Width of the net behind the fusion; 0 for none.
        where: Keys and values in each layer, or soft tokens.
    """

    size: int = Field(8, ge=1)
    learned: int = Field(0, ge=0)
    types: tuple[str, ...] | None = None
    propagation: PropagationField | None = None
    inner: int = Field(0, ge=0)
    where: Where = "layers"

    def attach(self, model: Host, seed: int) -> None:
        """Give the model a graph network and the fusion; bind it to a graph before use.

        Raises:
            GraphRecError: When the graph has no such types, or no facts.
        """
        spec, layers = model.spec, layers_of(model, self.where)
        for name in self.types or ():
            spec.node_index(name)
        network = self.propagation or propagation.build(
            {"name": "rgcn", "relations": _facts(spec), "residual": True}
        )

        def make() -> Fused:
            around = network.build(spec, model.width)
            outlet = PrefixProjection(model.width, layers, self.inner)
            return Fused(self, around, outlet, model.width)

        model.prompt = seeded(make, seed).to(device_of(model))


class Fused(PromptEncoder):
    """The network of :class:`Knowledge`.

    Args:
        config: Its options.
        around: From vectors of all nodes to vectors of all nodes.
        outlet: Makes P vectors a prompt.
        width: D.
    """

    reads = True

    def __init__(
        self, config: Knowledge, around: Propagator, outlet: PrefixProjection, width: int
    ) -> None:
        super().__init__()
        self.config, self.around, self.outlet = config, around, outlet
        self.ask = nn.Linear(width, width, bias=False)
        self.vectors = nn.Embedding(config.learned + config.size, width)

    def attach_graph(self, graph: Graph) -> None:
        """Read the edges of the graph network."""
        self.around.attach_graph(graph)

    def row_names(self) -> dict[str, pl.Series]:
        """Return the row names of the graph network."""
        return {f"around.{name}": names for name, names in self.around.row_names().items()}

    def forward(self, view: View, model: Host) -> PromptStates:
        """Return one prompt for each sequence."""
        learned, size = self.config.learned, self.config.size
        spec = model.spec
        vectors = torch.cat([model.table(name) for name in spec.node_names])  # [N, D]
        known = self.around(vectors)
        wanted = [spec.ids(name) for name in self.config.types or spec.node_names]
        node = mentioned(view, wanted, size)  # [B, P]
        some = (node >= 0).nonzero()
        entity = known[node[some[:, 0], some[:, 1]]]  # [n, D]
        entity = entity + self._of_tokens(entity, some[:, 0], view, vectors)
        x = self.vectors.weight.expand(len(node), -1, -1)  # [B, learned + P, D]
        x = x.index_put((some[:, 0], some[:, 1] + learned), entity.to(x.dtype))
        made: PromptStates = self.outlet(x)
        return made

    def _of_tokens(self, entity: Tensor, row: Tensor, view: View, vectors: Tensor) -> Tensor:
        """Return each entity's attention over the node tokens of its sequence: ``[n, D]``."""
        id, owner = view.tokens.nodes()
        length = torch.bincount(owner, minlength=len(view.tokens))
        start = length.cumsum(0) - length
        place = torch.arange(int(length.max()) if len(length) else 0, device=id.device)
        real = place < length[row].unsqueeze(1)  # [n, L]
        at = (start[row].unsqueeze(1) + place).masked_fill(~real, 0)
        tokens = vectors[id[at]]  # [n, L, D]
        scores = torch.einsum("nd,nld->nl", self.ask(entity), tokens) / entity.shape[1]
        share = scores.masked_fill(~real, float("-inf")).softmax(1)
        return torch.einsum("nl,nld->nd", share, tokens)


def mentioned(view: View, wanted: list[range], size: int) -> Tensor:
    """Return the last different nodes of some types in each sequence, latest first.

    Args:
        view: B sequences.
        wanted: Ids of each type.
        size: P.

    Returns:
        int64 ``[B, P]`` global ids, −1 where there are no more.
    """
    tokens = view.tokens
    of_type = torch.zeros_like(tokens.id, dtype=torch.bool)
    for ids in wanted:
        of_type |= (tokens.id >= ids.start) & (tokens.id < ids.stop)
    at = (of_type & (tokens.kind == Kind.NODE)).nonzero().squeeze(1).flip(0)  # the latest first
    name = (tokens.sequence_of()[at] << 32) | tokens.id[at]
    order = torch.argsort(name, stable=True)
    fresh = torch.ones_like(order, dtype=torch.bool)
    fresh[1:] = name[order][1:] != name[order][:-1]
    at = at[torch.sort(order[fresh]).values].flip(0)  # the last of each, oldest first
    row = tokens.sequence_of()[at]
    count = torch.bincount(row, minlength=len(tokens))
    rank = count.cumsum(0)[row] - 1 - torch.arange(len(row), device=row.device)  # 0 for the latest
    nodes = tokens.id.new_full((len(tokens), size), -1)
    kept = rank < size
    nodes[row[kept], rank[kept]] = tokens.id[at[kept]]
    return nodes


def _facts(spec: GraphSpec) -> list[str]:
    """Return all relations except interaction, derived and event relations."""
    facts = [
        relation.name
        for relation in spec.relations
        if not (relation.interaction or relation.derived or relation.event)
    ]
    if not facts:
        hint = "propagation: {name: rgcn, relations: […]}"
        raise GraphRecError("prompt 'knowledge'", "relations that are facts", "none", hint)
    return facts
