"""Typed hard prompts: a pattern of nodes and relations with masked places to predict."""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import changed
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Schema
from graphrec_pt.sampling.sample import Paths, Sample, Subgraphs
from graphrec_pt.tokens.join import side_by_side
from graphrec_pt.tokens.kind import IGNORE, Kind, Special
from graphrec_pt.tokens.linearizer import (
    Linearizer,
    LinearizerField,
    ProvidedFields,
    check_sample,
    linearizer,
    makes,
)
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Words

MASKED = "MASK"
_NODE = re.compile(r"\s*\(\s*(?:(?P<mask>MASK)\s*:\s*)?(?P<name>[^():\[\]]+?)\s*\)\s*")
_EDGE = re.compile(r"\s*-\[\s*(?P<name>[^\[\]]+?)\s*\]->\s*")
_EXAMPLE = "one like (user)-[buys]->(MASK:item)"


@dataclass(frozen=True)
class Pattern:
    """A parsed template of n nodes.

    Args:
        types: Name of the node type of each node.
        masked: Which nodes are to be predicted.
        relations: Name of each of the n − 1 relations, None for one to be predicted.
    """

    types: tuple[str, ...]
    masked: tuple[bool, ...]
    relations: tuple[str | None, ...]

    def indices(self, schema: Schema) -> tuple[list[int], list[int]]:
        """Return the indices of its node types and relations, −1 for masked relations.

        Raises:
            GraphRecError: For a type or relation that the graph does not have, and a relation
                that does not lead from the type on its left to the one on its right; says which
                relations would.
        """
        kinds = [schema.node_index(name) for name in self.types]
        indices = []
        for source, name, target in zip(self.types, self.relations, self.types[1:], strict=False):
            fit = [r.name for r in schema.leaving(source) if r.target == target]
            if name is not None and name not in schema.relation_names:
                hint = did_you_mean(name, fit) if fit else _elsewhere(schema, source, target)
                expected = f"a relation from {source!r} to {target!r}"
                raise GraphRecError("template", expected, repr(name), hint)
            if not fit or (name is not None and name not in fit):
                got = "none in the graph"
                if name is not None:
                    relation = schema.relation(name)
                    got = f"{name!r} ({relation.source} → {relation.target})"
                hint = "one of " + ", ".join(fit) if fit else _elsewhere(schema, source, target)
                expected = f"a relation from {source!r} to {target!r}"
                raise GraphRecError("template", expected, got, hint)
            indices.append(-1 if name is None else schema.relation_index(name))
        return kinds, indices


def parse(text: str) -> Pattern:
    """Read a template.

    ::

        template = node, { "-[", relation, "]->", node }
        node     = "(", [ "MASK:" ], node type, ")"
        relation = relation name | "MASK"

    Raises:
        GraphRecError: For a text that is no template; it quotes the place.
    """
    types, masked, relations = [], [], []
    at, wants_node = 0, True
    while at < len(text) or wants_node:
        match = (_NODE if wants_node else _EDGE).match(text, at)
        if match is None:
            expected = "(type) or (MASK:type)" if wants_node else "-[relation]->"
            got = (repr(text[at:]) if text[at:] else "its end") + (
                f" after {text[:at]!r}" if at else ""
            )
            hint = _EXAMPLE
            if text[at:].lstrip().startswith("<-"):
                hint = "the inverse relation, read from left to right"
            raise GraphRecError("template", expected, got, hint)
        if wants_node:
            types.append(match["name"])
            masked.append(match["mask"] is not None)
        else:
            relations.append(None if match["name"] == MASKED else match["name"])
        at, wants_node = match.end(), not wants_node
    return Pattern(tuple(types), tuple(masked), tuple(relations))


def _elsewhere(schema: Schema, source: str, target: str) -> str:
    """Return the relations that leave one type and those that enter the other."""
    leaving = [f"{r.name} (→ {r.target})" for r in schema.leaving(source)]
    entering = [f"{r.name} ({r.source} →)" for r in schema.relations if r.target == target]
    return (
        f"relations that leave {source!r}: {', '.join(leaving) or 'none'}; "
        f"that enter {target!r}: {', '.join(entering) or 'none'}"
    )


@linearizer("template")
class Template(Linearizer):
    """A hard prompt on a graph: ``(user)-[buys]->(MASK:item)``.

    The pattern becomes the tokens user, buys, MASK of type item; the sample's value of a masked
    node or relation is the label. Nodes are filled from

    * Paths: node *k* of the path is node *k* of the pattern, and the path's relations must be
      the pattern's. A path that ends before an unmasked node makes no prompt: an empty sequence.
    * Subgraphs: the roots, in order, fill all nodes, or all but the masked ones (then there are
      no labels). A sequence without roots makes no prompt.

    Args:
        pattern: See :func:`graphrec_pt.tokens.template.parse`.
        relations: Whether relations are tokens of their own.
        context: Config of a linearizer whose tokens of the same sample come before the prompt;
            tokens of a node that the prompt masks are removed from it.
        lead: Put the prompt before the context instead; the context keeps its positions.
    """

    pattern: str
    relations: bool = True
    context: LinearizerField | None = None
    lead: bool = False

    def with_words(self, words: Words) -> Self:
        """Return the same with the model's tokenizer in its context."""
        if self.context is None:
            return self
        return changed(self, context=self.context.with_words(words))

    def check(self, graph: Graph) -> None:
        """Raise for types and relations that a graph does not have."""
        self.parsed.indices(graph.schema)
        if self.context is not None:
            self.context.check(graph)

    def zero_shot(self) -> Self:
        """Return the same around what the context returns."""
        return self if self.context is None else changed(self, context=self.context.zero_shot())

    def __post_init__(self) -> None:
        if None in self.parsed.relations and not self.relations:
            raise GraphRecError("template", "relations: true", "a masked relation without a token")

    @cached_property
    def parsed(self) -> Pattern:
        """The parsed pattern."""
        return parse(self.pattern)

    @property
    def makes(self) -> ProvidedFields:
        """Nodes, masks and relations of the prompt, and the kinds and fields of the context."""
        masks = any(self.parsed.masked) or None in self.parsed.relations
        made = makes([Kind.NODE], "hop", "parent", "relation")
        made = made.plus([Kind.SPECIAL] if masks else (), ["labels"] if masks else ())
        made = made.plus([Kind.RELATION] if self.relations else ())
        context = self.context
        return made if context is None else made.plus(context.makes.kinds, context.makes.fields)

    @property
    def names_root(self) -> bool:
        """Whether the pattern has an unmasked node, or the context holds the root."""
        named = self.context is not None and self.context.names_root
        return named or not all(self.parsed.masked)

    @property
    def joins(self) -> bool:
        """Whether the context joins all paths of a root."""
        return self.context is not None and self.context.joins

    @property
    def prompt(self) -> str:
        """The pattern."""
        return self.pattern

    def linearize(self, graph: Graph, sample: Sample, key: Key) -> Tokens:
        """Return one prompt per path or per root of Subgraphs."""
        kinds, relations = self.parsed.indices(graph.schema)
        if isinstance(sample, Paths):
            nodes, taken = self._of_paths(graph, sample, relations)
        else:
            sample = check_sample("template", sample, Subgraphs)
            nodes = self._of_roots(sample)
            taken = torch.full_like(nodes[:, 1:], -1)
        self._check_types(graph, nodes, kinds)
        prompt = self._prompt(nodes, taken, kinds, relations)
        if self.context is None:
            return prompt
        context = self.context.linearize(graph, sample, key)
        revealed = torch.zeros_like(context.id, dtype=torch.bool)
        for column in torch.tensor(self.parsed.masked).nonzero().squeeze(1).tolist():
            revealed |= context.id == nodes[context.sequence_of(), column]
        kept = ~(revealed & (context.kind == Kind.NODE))
        context = context.take(kept.nonzero().squeeze(1))
        if not self.lead:
            return side_by_side([context, prompt])
        joined = side_by_side([prompt, context])
        moved = prompt.lengths()[joined.sequence_of()]
        unmoved = torch.where(joined.places() < moved, joined.position, joined.position - moved)
        return replace(joined, position=unmoved)

    def _prompt(
        self, nodes: Tensor, taken: Tensor, kinds: list[int], relations: list[int]
    ) -> Tokens:
        """Return the tokens of prompts.

        Args:
            nodes: int64 ``[P, n]``, −1 where unknown.
            taken: int64 ``[P, n−1]`` relations known from the sample, −1 where not.
            kinds: Node type of each node.
            relations: Relation of each hop, −1 if masked.
        """
        masked = torch.tensor(self.parsed.masked, device=nodes.device)
        whole = (nodes[:, ~masked] >= 0).all(dim=1)  # [P]
        nodes = nodes[whole]
        none = torch.full_like(nodes, -1)
        known = torch.cat([none[:, :1], taken[whole]], dim=1)  # the relation before each node
        wanted = torch.tensor([-1, *relations], device=nodes.device).expand_as(nodes)
        hidden = wanted < 0
        step = torch.arange(nodes.shape[1], device=nodes.device).expand_as(nodes)
        before = torch.where(step > 0, (step - 1) * (2 if self.relations else 1), -1)

        def laid(relation: Tensor, node: Tensor) -> Tensor:  # [P, n] both, → [P · C]
            both = torch.stack([relation, node], dim=2).flatten(1)[:, 1:]
            return (both if self.relations else node).flatten()

        count = whole.long() * (2 * nodes.shape[1] - 1 if self.relations else nodes.shape[1])
        return Tokens.of(
            laid(
                torch.where(hidden, Special.MASK, wanted), nodes.masked_fill(masked, Special.MASK)
            ),
            laid(
                torch.where(hidden, Kind.SPECIAL, Kind.RELATION),
                torch.where(masked, Kind.SPECIAL, Kind.NODE).expand_as(nodes),
            ),
            torch.cat([count.new_zeros(1), count.cumsum(0)]),
            type=laid(none, torch.tensor(kinds, device=nodes.device).expand_as(nodes)),
            hop=laid(step, step),
            parent=laid(before, before),
            relation=laid(none, wanted),
            labels=laid(
                torch.where(hidden & (known >= 0), known, IGNORE),
                torch.where(masked & (nodes >= 0), nodes, IGNORE),
            ),
        )

    def _of_paths(self, graph: Graph, sample: Paths, relations: list[int]) -> tuple[Tensor, Tensor]:
        """Return nodes and relations of the paths, −1 where unknown: ``[P, n]``, ``[P, n−1]``."""
        hops, size = len(relations), len(sample)
        if sample.relations.shape[1] > hops:
            expected = f"paths of at most {hops} hops for {self.pattern}"
            raise GraphRecError("template", expected, sample.relations.shape[1])
        nodes = sample.nodes.new_full((size, hops + 1), -1)
        taken = nodes[:, 1:].clone()
        nodes[:, : sample.nodes.shape[1]] = sample.nodes
        taken[:, : sample.relations.shape[1]] = sample.relations
        wanted = torch.tensor(relations, device=nodes.device, dtype=torch.int64)
        wrong = ((taken >= 0) & (wanted >= 0) & (taken != wanted)).nonzero()
        if len(wrong):
            path, hop = wrong[0].tolist()
            name = graph.schema.relation_names[int(taken[path, hop])]
            expected = f"paths along {self.pattern}"
            raise GraphRecError("template", expected, f"{name!r} at hop {hop + 1} of path {path}")
        return nodes, taken

    def _of_roots(self, sample: Subgraphs) -> Tensor:
        """Return the nodes that the roots fill: int64 ``[B, n]``, −1 where unknown."""
        masked = torch.tensor(self.parsed.masked, device=sample.node.device)
        root = sample.hop == 0
        owner = sample.row()[root]
        count = torch.bincount(owner, minlength=len(sample))
        every, given = len(masked), int((~masked).sum())
        wrong = (count != every) & (count != given) & (count != 0)
        if bool(wrong.any()):
            expected = f"{given} or {every} roots for {self.pattern}"
            raise GraphRecError("template", expected, int(count[wrong][0]))
        rank = torch.arange(len(owner), device=owner.device) - (count.cumsum(0) - count)[owner]
        # The column of the k-th root, when it fills all nodes and when it fills the given ones.
        column = torch.where(
            count[owner] == every, rank, torch.cat([(~masked).nonzero().squeeze(1), rank])[rank]
        )
        nodes = sample.node.new_full((len(sample), every), -1)
        nodes[owner, column] = sample.node[root]
        return nodes

    def _check_types(self, graph: Graph, nodes: Tensor, kinds: list[int]) -> None:
        known = torch.where(nodes < 0, -1, graph.csr.node_type(nodes.clamp(min=0)))
        wrong = ((known >= 0) & (known != torch.tensor(kinds, device=nodes.device))).nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            node = int(nodes[row, column])
            expected = f"a node of type {self.parsed.types[column]!r} for {self.pattern}"
            got = f"node {node}, which is {graph.type_of(node)!r}"
            raise GraphRecError("template", expected, got)
