"""Linearizers of subgraphs: slots, levels of a tree, sets without an order, neighbours by rank."""

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.tree_batch import first_of
from graphrec_pt.tokens.join import framed
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.linearizer import (
    Linearizer,
    ProvidedFields,
    check_sample,
    linearizer,
    makes,
)
from graphrec_pt.tokens.tokens import Tokens


def node_tokens(graph: Graph, sample: Subgraphs) -> Tokens:
    """Return the nodes of a sample as tokens, in its order and with its pointers."""
    return Tokens.of(
        sample.node,
        Kind.NODE,
        sample.ptr,
        type=graph.csr.node_type(sample.node),
        slot=sample.slot,
        hop=sample.hop,
        parent=sample.parent,
        relation=sample.relation,
        time=times_of(graph, sample.position),
        edges=sample.edges,
    )


def times_of(graph: Graph, position: Tensor) -> Tensor:
    """Return the time of each stored edge, NO_TIME for position −1: int64, same shape."""
    if graph.csr.time is None or not len(graph.csr.time):
        return torch.full_like(position, NO_TIME)
    return torch.where(position < 0, NO_TIME, graph.csr.time[position.clamp(min=0)])


def distinct(tokens: Tokens, *, per_slot: bool) -> Tokens:
    """Return tokens that hold every node once per sequence, or once per sequence and slot.

    The first token of a node is kept; pointers and edges of its other tokens move to it. Repeated
    edges of one relation between two tokens are dropped.
    """
    if not len(tokens.id):
        return tokens
    group = tokens.sequence_of()
    if per_slot:
        group = group * (int(tokens.slot.max()) + 1) + tokens.slot
    group = group * (int(tokens.id.max()) + 1) + tokens.id
    first = first_of(group)
    kept = first.nonzero().squeeze(1)
    ordered, place = torch.sort(group[kept])
    stands_for = kept[place[torch.searchsorted(ordered, group)]]  # [T], the token that stays
    before = tokens.parents()
    inside = tokens.ptr[tokens.sequence_of()]
    parent = torch.where(before < 0, -1, stands_for[before.clamp(min=0)] - inside)
    edges = tokens.edges
    if edges is not None and len(edges):
        source, target = stands_for[edges[:, 0]], stands_for[edges[:, 2]]
        edge = (source * (int(edges[:, 1].max()) + 1) + edges[:, 1]) * len(first) + target
        edges = torch.stack([source, edges[:, 1], target], dim=1)[first_of(edge)]
    return replace(tokens, parent=parent, edges=edges).take(kept)


def sorted_by(tokens: Tokens, *keys: Tensor) -> Tensor:
    """Return the order of the tokens of each sequence by keys, the first key being the primary one.

    Ties keep the order they have.

    Args:
        tokens: T tokens.
        *keys: ``[T]`` each, ascending.

    Returns:
        int64 ``[T]``, what :meth:`Tokens.take` expects.
    """
    order = torch.arange(len(tokens.id), device=tokens.id.device)
    for values in (*reversed(keys), tokens.sequence_of()):
        order = order[torch.argsort(values[order], stable=True)]
    return order


@linearizer("subgraph")
class Subgraph(Linearizer):
    """Multi-slot sequences of CHEST (Wang et al., TOIS 2023), re-derived.

    One token per node and slot: its id, its type, the slot (its metapath or relation),
    the step (`hop`) and the precursor (`parent`), so that the structure survives the flattening.
    The roots come first, in slot 0, then the nodes in the order of the sample; of a node that
    occurs twice in a slot the first token is kept.

    Args:
        cls: Begin with CLS.
    """

    cls: bool = False

    @property
    def makes(self) -> ProvidedFields:
        """Nodes with every structural field; edges when the sampler returns them."""
        made = makes([Kind.NODE], "slot", "hop", "parent", "relation", "time", "edges")
        return made.plus([Kind.SPECIAL] if self.cls else ())

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences."""
        sample = check_sample("subgraph", sample, Subgraphs)
        tokens = distinct(node_tokens(graph, sample), per_slot=True)
        return framed(tokens, Special.CLS if self.cls else None)


@linearizer("tree")
class Tree(Linearizer):
    """A node and its ancestors, as the ontology embedding of G-BERT reads them (IJCAI 2019).

    Level by level from the root on, every node once. `position` and `hop` are the level, so
    siblings share one; `parent` is the node a level nearer to the root.

    Args:
        cls: Begin with CLS; positions move up by one.
    """

    cls: bool = False

    @property
    def makes(self) -> ProvidedFields:
        """Nodes; edges when the sampler returns them."""
        made = makes([Kind.NODE], "slot", "hop", "parent", "relation", "time", "edges")
        return made.plus([Kind.SPECIAL] if self.cls else ())

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences."""
        sample = check_sample("tree", sample, Subgraphs)
        tokens = node_tokens(graph, sample)
        tokens = distinct(tokens.take(sorted_by(tokens, tokens.hop)), per_slot=False)
        tokens = replace(tokens, position=tokens.hop.clamp(min=0))
        return framed(tokens, Special.CLS if self.cls else None)


@linearizer("set")
class NodeSet(Linearizer):
    """Members that share one position, as the codes of a visit in G-BERT (Shang et al., 2019).

    Every node stands once. `position` is the hop: 0 for the root, 1 for all its members, so that
    a model with position embeddings sees a set.

    Args:
        root: Begin with the root (the visit, the basket).
        cls: Begin with CLS, whose output stands for the set; positions move up by one.
    """

    root: bool = True
    cls: bool = False

    @property
    def makes(self) -> ProvidedFields:
        """Nodes; edges when the sampler returns them."""
        made = makes([Kind.NODE], "slot", "hop", "relation", "time", "edges")
        made = made.plus([Kind.SPECIAL] if self.cls else ())
        return made.plus(fields=["parent"] if self.root else ())

    @property
    def names_root(self) -> bool:
        """Whether sequences begin with the root."""
        return self.root

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences; without its root a set may be empty."""
        sample = check_sample("set", sample, Subgraphs)
        tokens = distinct(node_tokens(graph, sample), per_slot=False)
        if not self.root:
            tokens = tokens.take((tokens.hop != 0).nonzero().squeeze(1))
        tokens = replace(tokens, position=tokens.hop.clamp(min=0))
        return framed(tokens, Special.CLS if self.cls else None)


@linearizer("neighbor_set")
class NeighborSet(Linearizer):
    """Target first, then contexts by falling score: the input of PMGT (Liu et al., ACM MM 2021).

    `position` is the rank (0 for the target); `hop` is 0 for the target and above 0 for contexts.
    Tokens are ordered by rank, so a parent may come after its child, or be missing.

    Args:
        size: Contexts at most, the best ones; all by default.
    """

    size: int | None = Field(None, ge=1)

    @property
    def makes(self) -> ProvidedFields:
        """Nodes; edges when the sampler returns them."""
        return makes([Kind.NODE], "slot", "hop", "parent", "relation", "time", "edges")

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences of at most ``size`` contexts after the roots."""
        sample = check_sample("neighbor_set", sample, Subgraphs)
        tokens = node_tokens(graph, sample)
        context = (tokens.hop != 0).long()
        order = sorted_by(tokens, context, torch.where(context > 0, -sample.score, 0.0))
        if self.size is not None:
            roots = torch.zeros_like(tokens.ptr[1:])
            roots = roots.index_add_(0, tokens.sequence_of(), 1 - context)
            rank = tokens.places() - roots[tokens.sequence_of()]  # of the sorted order
            order = order[rank < self.size]
        taken = tokens.take(order)
        return replace(taken, position=taken.places())
