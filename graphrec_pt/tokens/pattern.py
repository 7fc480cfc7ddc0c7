"""The notation of templates: typed nodes joined by relations, some of them masked."""

import re
from dataclasses import dataclass

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.graph.schema import Schema

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
        GraphRecError: Quotes the place that cannot be read.
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
    """Return what leaves one type and what enters the other."""
    leaving = [f"{r.name} (→ {r.target})" for r in schema.leaving(source)]
    entering = [f"{r.name} ({r.source} →)" for r in schema.relations if r.target == target]
    return (
        f"relations that leave {source!r}: {', '.join(leaving) or 'none'}; "
        f"that enter {target!r}: {', '.join(entering) or 'none'}"
    )
