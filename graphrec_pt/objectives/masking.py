"""Masking: choose tokens of a sequence and replace them by MASK or by other nodes."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Strict
from graphrec_pt.objectives.sequence_rng import SequenceRNG, one_of, unit
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


class Masking(Strict):
    """A masking policy.

    Args:
        share: Share of the eligible tokens of a sequence that are chosen.
        least: Tokens chosen at least, where as many are eligible.
        most: Tokens chosen at most.
        spare: Eligible tokens left alone at least; they come before `least`.
        last: Share of the sequences in which the last eligible token alone is chosen, which is
            the task at inference (BERT4Rec, Sun et al., CIKM 2019).
        mask: Share of the chosen that become MASK; BERT has .8, BERT4Rec 1.
        random: Share of the chosen that become another node of the same type; BERT has .1. The
            others stay unchanged.
        everywhere: Hide every occurrence of a chosen node in its sequence. Otherwise a
            node that stands in two slots of a subgraph would give itself away.

    Raises:
        GraphRecError: When the shares of MASK and random exceed 1.
    """

    share: float = Field(0.15, gt=0, le=1)
    least: int = Field(1, ge=0)
    most: int | None = Field(None, ge=1)
    spare: int = Field(0, ge=0)
    last: float = Field(0.0, ge=0, le=1)
    mask: float = Field(1.0, ge=0, le=1)
    random: float = Field(0.0, ge=0, le=1)
    everywhere: bool = True

    def model_post_init(self, context: object) -> None:
        """Check the shares together."""
        if self.mask + self.random > 1:
            got = f"{self.mask} + {self.random}"
            raise GraphRecError("masking", "mask + random <= 1", got)


def of_types(graph: Graph, tokens: Tokens, types: Sequence[str] | None) -> Tensor:
    """Return the nodes of some types, None for all: bool ``[T]``."""
    nodes = tokens.kind == Kind.NODE
    if types is None:
        return nodes
    wanted = torch.tensor([graph.schema.node_index(name) for name in types])
    return nodes & torch.isin(tokens.type, wanted)


def choose(tokens: Tokens, eligible: Tensor, draws: SequenceRNG, policy: Masking) -> Tensor:
    """Return which tokens of every sequence are chosen: bool ``[T]``.

    Of n eligible tokens, ``max(least, round(share · n))`` and no more than `most` and
    ``n − spare`` are taken, those with the lowest random bits.

    Args:
        tokens: B sequences.
        eligible: bool ``[T]``.
        draws: Draws of the sequences, named for the purpose.
        policy: How many.
    """
    row = tokens.sequence_of()
    count = torch.bincount(row[eligible], minlength=len(tokens))
    wanted = (count * policy.share).round().long().clamp(min=policy.least)
    wanted = wanted if policy.most is None else wanted.clamp(max=policy.most)
    wanted = torch.minimum(wanted, (count - policy.spare).clamp(min=0))
    bits = draws.of_tokens(tokens)[:, 0]
    rank_key = (row << 33) | ((~eligible).long() << 32) | bits  # eligible first, per sequence
    order = torch.argsort(rank_key, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    chosen = (rank - tokens.ptr[row] < wanted[row]) & eligible
    if not policy.last:
        return chosen
    alone = unit(draws.of_sequences()[:, 0, 0]) < policy.last
    end = count.cumsum(0)[row] == (eligible.cumsum(0))  # at or after the last eligible one
    at_end = eligible & end & (wanted[row] > 0)
    return torch.where(alone[row], at_end, chosen)


def choose_nodes(
    graph: Graph,
    tokens: Tokens,
    draws: SequenceRNG,
    policy: Masking,
    types: Sequence[str] | None = None,
    *,
    roots: bool = False,
) -> Tensor:
    """Return which nodes of every sequence are to be hidden: bool ``[T]``.

    Args:
        graph: The graph that may be seen, without held-out edges.
        tokens: B sequences.
        draws: Draws of the sequences, named for the purpose.
        policy: How many.
        types: Names of the node types that may be chosen; all by default.
        roots: Whether roots (hop 0) may be chosen, and nodes that are a root elsewhere in the
            sequence.
    """
    eligible = of_types(graph, tokens, types)
    if not roots:
        eligible &= ~occurrences(tokens, tokens.hop == 0)
    chosen = choose(tokens, eligible, draws, policy)
    return occurrences(tokens, chosen) & eligible if policy.everywhere else chosen


def occurrences(tokens: Tokens, chosen: Tensor) -> Tensor:
    """Return every token of a node that is chosen somewhere in its sequence: bool ``[T]``."""
    is_node = tokens.kind == Kind.NODE
    name = (tokens.sequence_of() << 32) | tokens.id
    return chosen | (is_node & torch.isin(name, name[chosen & is_node]))


def hide(
    graph: Graph, tokens: Tokens, chosen: Tensor, draws: SequenceRNG, policy: Masking
) -> Tokens:
    """Return tokens with the chosen nodes and their text hidden.

    A chosen token becomes MASK and keeps its type and its place; the text of a masked node
    becomes MASK too. With ``random``, some become another node of the same type instead.

    Args:
        graph: Whose nodes replace others.
        tokens: B sequences.
        chosen: bool ``[T]``, nodes to hide.
        draws: Draws of the sequences, named for the purpose.
        policy: What is put in their place.
    """
    masked, changed, ids = chosen, chosen, tokens.id
    if policy.mask < 1:
        words = draws.of_tokens(tokens)
        if policy.everywhere:  # all occurrences of a node take the draw of its first token
            words = words[first_occurrence(tokens)]
        fate = unit(words[:, 1])
        masked = chosen & (fate < policy.mask)
        changed = chosen & (fate < policy.mask + policy.random)
        kind, offset = tokens.type.clamp(min=0), graph.csr.offset
        other = offset[kind] + one_of(words[:, 2], offset[kind + 1] - offset[kind])
        ids = torch.where(changed, other, ids)  # those masked are overwritten below
    return masked_out(replace(tokens, id=ids), masked | (with_text(tokens, changed) & ~changed))


def masked_out(tokens: Tokens, chosen: Tensor) -> Tokens:
    """Return tokens with MASK in place of some: bool ``[T]``; types and places stay."""
    return replace(
        tokens,
        id=torch.where(chosen, int(Special.MASK), tokens.id),
        kind=torch.where(chosen, int(Kind.SPECIAL), tokens.kind),
    )


def with_text(tokens: Tokens, nodes: Tensor) -> Tensor:
    """Return some nodes and the tokens of their text: bool ``[T]``."""
    if tokens.word is None:
        return nodes
    name = (tokens.sequence_of() << 32) | tokens.word.clamp(min=0)
    text = (tokens.kind == Kind.TEXT) & (tokens.word >= 0)
    return nodes | (text & torch.isin(name, name[nodes & (tokens.word >= 0)]))


def first_occurrence(tokens: Tokens) -> Tensor:
    """Return the first token of the same node in the same sequence: int64 ``[T]``."""
    name = (tokens.sequence_of() << 32) | tokens.id
    _, group = torch.unique(name, return_inverse=True)
    places, none = torch.arange(len(name), device=name.device), len(name)
    is_node = tokens.kind == Kind.NODE  # relations and words use the same numbers
    among = torch.where(is_node, places, none)
    first = torch.full_like(places, none).scatter_reduce(0, group, among, "amin")
    return torch.where(is_node, first[group], places)


def events(tokens: Tokens, node_type: int | None = None) -> Tensor:
    """Return which tokens are events: nodes that are no root of their sequence, bool ``[T]``.

    Args:
        tokens: B sequences.
        node_type: Index of their type; any by default.
    """
    event = (tokens.kind == Kind.NODE) & (tokens.hop != 0)
    return event if node_type is None else event & (tokens.type == node_type)


def last_of(tokens: Tokens, among: Tensor) -> Tensor:
    """Return the last of some tokens in each sequence: int64 ``[B]``, −1 where there is none.

    Args:
        tokens: B sequences.
        among: bool ``[T]``.
    """
    place = among.nonzero().squeeze(1)
    row = tokens.sequence_of()[place]
    last = torch.full((len(tokens),), -1, device=tokens.id.device)
    return last.scatter_reduce(0, row, place, "amax")


def choose_events(
    tokens: Tokens, eligible: Tensor, draws: SequenceRNG, policy: Masking, *, last: bool
) -> Tensor:
    """Return which events are to be hidden: bool ``[T]``.

    Args:
        tokens: B sequences.
        eligible: bool ``[T]``.
        draws: Draws of the sequences, named for the purpose.
        policy: How many.
        last: Hide the last of each sequence always, as S3-Rec does: the place that a
            model predicts when it recommends.
    """
    chosen = choose(tokens, eligible, draws, policy)
    if last:
        latest = last_of(tokens, eligible)
        chosen[latest[latest >= 0]] = True
    return occurrences(tokens, chosen) & eligible if policy.everywhere else chosen
