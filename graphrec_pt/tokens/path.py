"""Paths as sentences of nodes and relations."""

from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.tokens.join import merged
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.linearizer import (
    Linearizer,
    ProvidedFields,
    check_sample,
    linearizer,
    makes,
)
from graphrec_pt.tokens.subgraphs import times_of
from graphrec_pt.tokens.tokens import Tokens


@linearizer("path")
class PathLinearizer(Linearizer):
    """Node, relation, node, …: the sentences of path language models (PLM-Rec, PEARLM).

    Geng et al., WWW 2022; Balloccu et al., arXiv 2310.16452. A path of ``l`` hops gives ``l + 1``
    node tokens and ``l`` relation tokens between them, fewer past a dead end. Every node but the
    first has the node before it as parent, its hop is its step; a relation token has the node it
    leaves as parent. Where a walk restarts, its root is repeated without a parent.

    A relation token and the field `relation` of the node after it hold the same relation: an
    objective that masks one masks both.

    Args:
        relations: Whether relations are tokens of their own.
        bos: Begin every path with BOS.
        eos: End every path with EOS.
        join: One sequence per root, its paths one after another with slots 1, 2, …; by default
            one sequence per path, whose root is ``sample.root``.
    """

    relations: bool = True
    bos: bool = True
    eos: bool = True
    join: bool = False

    @property
    def makes(self) -> ProvidedFields:
        """Nodes; relations and specials if configured."""
        made = makes([Kind.NODE], "hop", "parent", "relation", "time")
        made = made.plus([Kind.RELATION] if self.relations else ())
        made = made.plus([Kind.SPECIAL] if self.bos or self.eos else ())
        return made.plus(fields=["slot"] if self.join else ())

    @property
    def joins(self) -> bool:
        """The option `join`."""
        return self.join

    def linearize(self, graph: Graph, sample: Paths, key: Key) -> Tokens:
        """Return P sequences, or B when paths are joined."""
        sample = check_sample("path", sample, Paths)
        tokens = self._paths(graph, sample)
        if not self.join:
            return tokens
        count = torch.bincount(sample.root, minlength=sample.size)
        first = count.cumsum(0) - count
        number = torch.arange(len(sample), device=first.device) - first[sample.root] + 1
        special = tokens.kind == Kind.SPECIAL
        slot = torch.where(special, 0, number[tokens.sequence_of()])
        return merged(replace(tokens, slot=slot), sample.root, sample.size)

    def _paths(self, graph: Graph, sample: Paths) -> Tokens:
        nodes, relations = sample.nodes, sample.relations  # [P, L+1], [P, L]
        reached = torch.cat([torch.full_like(nodes[:, :1], -1), relations], dim=1)  # [P, L+1]
        step = torch.arange(nodes.shape[1], device=nodes.device).expand_as(nodes)
        started = torch.where(reached < 0, step, 0).cummax(dim=1).values
        time = times_of(graph, sample.position)

        def grid(node: Tensor, relation: Tensor, first: int, last: int) -> Tensor:
            inner = torch.stack([node, relation], dim=2).flatten(1)  # node, relation, node, …
            ends = inner.new_full((len(inner), 1), first), inner.new_full((len(inner), 1), last)
            return torch.cat([ends[0], inner, ends[1]], dim=1)  # [P, 2L+4]

        follows = _after(relations >= 0, False) & self.relations
        stays = grid(nodes >= 0, follows, self.bos, self.eos)
        place = stays.long().cumsum(1) - 1  # index inside the path
        place = place[:, 1:-1].reshape(*nodes.shape, 2)[:, :, 0]  # of the nodes, [P, L+1]
        came_from = torch.cat([torch.full_like(nodes[:, :1], -1), place[:, :-1]], dim=1)
        chosen = stays.flatten().nonzero().squeeze(1)

        def flat(node: Tensor, relation: Tensor, first: int, last: int | None = None) -> Tensor:
            every = grid(node, relation, first, first if last is None else last)
            return every.flatten()[chosen]

        none, never = torch.full_like(nodes, -1), torch.full_like(nodes, NO_TIME)
        types = torch.where(nodes < 0, -1, graph.csr.node_type(nodes.clamp(min=0)))
        kinds = torch.full_like(nodes, Kind.NODE), torch.full_like(nodes, Kind.RELATION)
        return Tokens.of(
            flat(nodes, _after(relations, -1), Special.BOS, Special.EOS),
            flat(*kinds, Kind.SPECIAL),
            torch.cat([nodes.new_zeros(1), stays.sum(1).cumsum(0)]),
            type=flat(types, none, -1),
            hop=flat(step - started, step - started + 1, -1),
            parent=flat(torch.where(reached < 0, -1, came_from), place, -1),
            relation=flat(reached, none, -1),
            time=flat(torch.cat([never[:, :1], time], dim=1), never, NO_TIME),
        )


def _after(values: Tensor, last: int | bool) -> Tensor:
    """Return ``[P, L]`` with one more column."""
    return torch.cat([values, values.new_full((len(values), 1), last)], dim=1)
