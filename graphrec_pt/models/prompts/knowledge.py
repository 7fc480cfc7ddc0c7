"""Knowledge prompts (UniCRS), from the knowledge graph around a sequence's nodes."""

from typing import Literal

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

    With `words` the tokens T are the words of the sequence too, and `of: words` makes the prompt of
    the last P words instead, ``p_t = T_t + softmax_e(T_t W E_eᵀ / D) E`` over the sequence's
    nodes: the two sides of the semantic fusion of UniCRS, for recommendation and for conversation.

    Args:
        size: P.
        words: Whether words are fused, as text tokens of the sequence.
        of: Whether the places of the prompt are nodes or words.
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
    words: bool = False
    of: Literal["nodes", "words"] = "nodes"

    def __post_init__(self) -> None:
        if self.of == "words" and not self.words:
            raise GraphRecError("prompt 'knowledge'", "words: true with of: words", "words: false")

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
        learned = self.config.learned
        spec = model.spec
        vectors = torch.cat([model.table(name) for name in spec.node_names])  # [N, D]
        known = self.around(vectors)
        wanted = [spec.ids(name) for name in self.config.types or spec.node_names]
        if self.config.of == "words":
            row, place, fused = self._words(view, model, known, wanted)
        else:
            row, place, fused = self._nodes(view, model, known, vectors, wanted)
        x = self.vectors.weight.expand(len(view.tokens), -1, -1)  # [B, learned + P, D]
        x = x.index_put((row, place + learned), fused.to(x.dtype))
        made: PromptStates = self.outlet(x)
        return made

    def _nodes(
        self, view: View, model: Host, known: Tensor, vectors: Tensor, wanted: list[range]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return sequence, place and vector ``[n, D]`` of the nodes of the prompts."""
        node = mentioned(view, wanted, self.config.size)  # [B, P]
        some = (node >= 0).nonzero()
        row, place = some[:, 0], some[:, 1]
        entity = known[node[row, place]]  # [n, D]
        tokens, owner = self._tokens(view, model, vectors)
        return row, place, entity + self._attended(entity, row, tokens, owner, len(view.tokens))

    def _words(
        self, view: View, model: Host, known: Tensor, wanted: list[range]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return sequence, place and vector ``[n, D]`` of the last words of the prompts."""
        tokens, size = view.tokens, self.config.size
        at = (tokens.kind == Kind.TEXT).nonzero().squeeze(1)
        row = tokens.sequence_of()[at]
        count = torch.bincount(row, minlength=len(tokens))
        place = count.cumsum(0)[row] - 1 - torch.arange(len(row), device=row.device)
        kept = place < size
        at, row, place = at[kept], row[kept], place[kept]
        word = model.words[tokens.id[at]]  # [n, D]
        node = mentioned(view, wanted, size)
        owner, column = (node >= 0).nonzero().unbind(1)
        entity = known[node[owner, column]]
        return row, place, word + self._attended(word, row, entity, owner, len(tokens))

    def _tokens(self, view: View, model: Host, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors ``[m, D]`` of what is fused, and the sequence of each."""
        tokens = view.tokens
        if not self.config.words:
            node, owner = tokens.nodes()
            return vectors[node], owner
        is_word = tokens.kind == Kind.TEXT
        at = ((tokens.kind == Kind.NODE) | is_word).nonzero().squeeze(1)
        some, node = is_word[at], tokens.id[at]
        x = vectors.new_zeros(len(at), vectors.shape[1])
        x = x.index_put((~some,), vectors[node[~some]])
        x = x.index_put((some,), model.words[node[some]].to(x.dtype))
        return x, tokens.sequence_of()[at]

    def _attended(
        self, query: Tensor, row: Tensor, key: Tensor, owner: Tensor, sequences: int
    ) -> Tensor:
        """Return each query's attention over the keys of its sequence: ``[n, D]``.

        Args:
            query: ``[n, D]``.
            row: int64 ``[n]``, their sequences.
            key: ``[m, D]``.
            owner: int64 ``[m]``, their sequences, ascending.
            sequences: B.
        """
        length = torch.bincount(owner, minlength=sequences)
        start = length.cumsum(0) - length
        place = torch.arange(int(length.max()) if len(length) else 0, device=key.device)
        real = place < length[row].unsqueeze(1)  # [n, L]
        at = (start[row].unsqueeze(1) + place).masked_fill(~real, 0)
        keys = key[at] if len(key) else key.new_zeros(*at.shape, key.shape[1])  # [n, L, D]
        scores = torch.einsum("nd,nld->nl", self.ask(query), keys) / query.shape[1]
        share = scores.masked_fill(~real, float("-inf")).softmax(1).nan_to_num(0.0)
        return torch.einsum("nl,nld->nd", share, keys)


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
