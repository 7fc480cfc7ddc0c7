"""A trained model in evaluation mode and its graph; all encoding at inference happens here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import polars as pl
import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import Relation, Schema
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.predict.taught import Found, Taught
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.tokens.join import side_by_side, specials
from graphrec_pt.tokens.kind import Special
from graphrec_pt.tokens.tokens import Tokens

KEY = Key(0)
"""Key of the samplers at inference; the same for every call."""
READS_SEQUENCES = "a model that reads sequences"
KNOWN, NEW = "sources that it knows", "new ones"


@dataclass(frozen=True, eq=False)
class Reading:
    """Samples, linearizes and encodes sources with a trained model.

    Args:
        model: The trained model; its training mode is restored after each call.
        taught: Sampler, linearizer and objectives of its last stage.
        graph: The history graph.
        relation: The relation from sources to candidates.
    """

    model: Model
    taught: Taught
    graph: Graph
    relation: Relation
    tables: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = self.model.spec
        for kind in dict.fromkeys((self.relation.source, self.relation.target)):
            count = self.graph.num_nodes(kind)
            known = spec.counts[spec.node_index(kind)] if kind in spec.node_names else count
            if known != count:
                got = f"a graph of {count:,}"
                hint = "Recommender(…).on(graph), or transfer(model, graph), for newer nodes"
                raise GraphRecError("predictor", f"the {known:,} nodes of {kind!r}", got, hint)

    @property
    def items(self) -> range:
        """Global ids of the candidates."""
        return self.graph.nodes(self.relation.target)

    @property
    def item_type(self) -> int:
        """Index of the candidates' node type."""
        return self.graph.schema.node_index(self.relation.target)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Put the model in evaluation mode, without gradients; cache the tables of all nodes."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), self.model.cached_embeddings(self.tables):
                yield
        finally:
            self.model.train(training)

    def head(self, found: Found) -> nn.Module:
        """Return the trained head of an objective.

        Raises:
            GraphRecError: When the model lacks the head of an objective that has weights.
        """
        kept = self.model.labelled_heads()
        if found.label in kept:
            return kept[found.label]
        head = found.objective.head(self.model.spec, self.model.width)
        if head.state_dict():
            got = ", ".join(sorted(kept)) or "none"
            raise GraphRecError("model", f"the trained head of {found.label!r}", got, "training it")
        return head

    def tokens(self, roots: Tensor, *, taught: Taught | None = None) -> Tokens:
        """Return one sequence for each root.

        Args:
            roots: int64 ``[B]`` or ``[B, 2]`` global ids.
            taught: Sampler and linearizer to use in place of the model's.

        Raises:
            GraphRecError: For a linearizer that returns more or fewer sequences.
        """
        chosen = taught or self.taught
        sample = chosen.sampler.sample(self.graph, roots.contiguous(), KEY)
        return self._whole(chosen.linearizer.linearize(self.graph, sample, KEY), len(roots))

    def tokens_of_events(
        self, histories: Sequence[Tensor], *, taught: Taught | None = None
    ) -> Tokens:
        """Return one sequence for each history of a source outside the graph.

        Args:
            histories: int64 ``[n]`` global ids of items each, oldest first.
            taught: Sampler and linearizer to use in place of the model's.

        Raises:
            GraphRecError: For a linearizer whose sequences name their source.
        """
        chosen = taught or self.taught
        if chosen.linearizer.names_root:
            got, hint = f"{NEW}, whom its sequences name", "a linearizer such as {root: false}"
            raise GraphRecError("model", KNOWN, got, hint)
        window = vars(chosen.sampler).get("window")
        sample = events_of(self.graph, self.relation.name, histories, window)
        return self._whole(chosen.linearizer.linearize(self.graph, sample, KEY), len(histories))

    def encode(self, view: View, root: Tensor) -> Encoded:
        """Return the hidden states of sequences.

        Args:
            view: The sequences.
            root: int64 ``[B]``, the node that each was sampled for, −1 for none.
        """
        return self.model.encode(replace(view, root=root.contiguous()).to(self.device))

    def _whole(self, tokens: Tokens, asked: int) -> Tokens:
        if len(tokens) != asked:
            got = f"{len(tokens)} of {asked}"
            raise GraphRecError("predictor", "one sequence for each source", got, "join: true")
        return tokens


def with_mask(tokens: Tokens, node_type: int) -> Tokens:
    """Return sequences with a MASK at the end; its node type is given, its node is not."""
    masks = specials(Special.MASK, len(tokens))
    types = torch.full_like(masks.id, node_type)
    ones = torch.ones_like(masks.id)
    return side_by_side([tokens, replace(masks, type=types, hop=ones, slot=ones)])


def events_of(
    graph: Graph, relation: str, histories: Sequence[Tensor], window: int | None = None
) -> Subgraphs:
    """Return histories outside the graph in the format of the history sampler.

    Args:
        graph: The graph of the items.
        relation: The interaction relation.
        histories: int64 ``[n]`` global ids each, oldest first.
        window: Events at most, the latest ones.

    Returns:
        Sequences of a placeholder root (the first source) and its events, untimed.
    """
    definition = graph.schema.relation(relation)
    kept = [past if window is None else past[max(len(past) - window, 0) :] for past in histories]
    nobody = torch.tensor([graph.nodes(definition.source).start])
    node = torch.cat([part for events in kept for part in (nobody, events)])
    size = torch.tensor([len(events) + 1 for events in kept])
    ptr = torch.cat([size.new_zeros(1), size.cumsum(0)])
    event = torch.ones_like(node)
    event[ptr[:-1]] = 0
    index = graph.schema.relation_index(relation)
    return Subgraphs(
        node=node,
        ptr=ptr,
        parent=event - 1,
        relation=torch.where(event > 0, index, -1),
        hop=event,
        slot=event,
        score=torch.zeros(len(node)),
        position=torch.full_like(node, -1),
    )


def graph_without_edges(model: Model) -> Graph:
    """Return a graph of the nodes of a saved model, without any edges.

    Raises:
        GraphRecError: For a model without a graph: neither bound to one nor loaded.
    """
    vocabulary, spec = model.vocabulary, model.spec
    if vocabulary is None:
        raise GraphRecError("Predictor", "a graph, or a loaded model", "neither", "graph=…")
    schema = Schema(nodes=spec.nodes, relations=spec.relations)
    slots = torch.tensor([len(schema.leaving(name)) for name in spec.node_names])
    counts = torch.tensor(spec.counts)
    offset, base = (
        torch.cat([counts.new_zeros(1), part.cumsum(0)]) for part in (counts, counts * slots)
    )
    none = torch.empty(0, dtype=torch.int64)
    segment = torch.zeros(int(base[-1]) + 1, dtype=torch.int64)
    csr = SegmentedCSR(offset, slots, base, segment, none, none, none.float(), none)
    tables = {
        name: vocabulary.nodes.filter(pl.col("type") == name).select(RAW_ID)
        for name in spec.node_names
    }
    return Graph(schema=schema, csr=csr, tables=tables)
