"""Roles: a recipe names ``$item`` or ``$interaction``, and its data says what they are called."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all
from graphrec_pt.data.card import Card, load_card
from graphrec_pt.graph.schema import NodeType, Relation
from graphrec_pt.graph.stored_tables import read_header

Roles = Mapping[str, tuple[str, ...]]
"""Role → the names that fill it; no names where the data lacks the role."""

MEANING = {
    "interaction": "a relation marked `interaction: true`",
    "inverse": "an interaction relation with an inverse",
    "user": "the source type of an interaction",
    "item": "the target type of an interaction",
    "attribute": "a relation from items to nodes that describe them",
    "attribute_inverse": "a relation from items to nodes that describe them, with an inverse",
    "attributes": "relations from items to nodes that describe them",
    "attribute_type": "a type of nodes that describe items",
    "text": "a title or a text column of the items",
}
"""What fills each role."""
_ROLE = re.compile(r"\$([A-Za-z_]+)")


def with_roles(content: dict[str, Any], who: str) -> dict[str, Any]:
    """Return the content of a recipe with the names of its data in place of roles.

    ``$attributes`` stands for several names: it must be an entry of a list, which it extends. The
    other roles may be parts of a text, such as ``($user)-[$interaction]->(MASK:$item)``.

    Args:
        content: As YAML gives it; ``data.card`` or ``data.graph`` names the data.
        who: Names the recipe in errors.

    Raises:
        GraphRecError: For every role that there is not, and every one that the data lacks.
    """
    used = _used(content)
    if not used:
        return content
    data = content.get("data")
    named = data if isinstance(data, Mapping) else {}
    roles, of = _roles_of_data(named, who)
    errors = []
    for role in sorted(used):
        if role not in MEANING:
            hint = did_you_mean(f"${role}", [f"${name}" for name in MEANING])
            errors.append(GraphRecError(who, "a role", f"'${role}'", hint))
        elif not roles[role]:
            hint = "data.card=NAME of other data; `graphrec recipe ls --data CARD` lists what fits"
            errors.append(GraphRecError(who, f"{MEANING[role]} (${role})", f"none in {of}", hint))
    raise_all(errors)
    filled: dict[str, Any] = _filled(content, roles, who)
    return filled


def roles_of_card(card: Card) -> Roles:
    """Return what fills each role in the graph of a card, without its relations of all time."""
    edges = {name: edge for name, edge in card.edges.items() if name not in card.all_time}
    relations = [
        Relation(
            name=name,
            source=edge.source_type,
            target=edge.target_type,
            inverse=None if edge.inverse is False else edge.inverse or f"rev_{name}",
            interaction=edge.interaction,
        )
        for name, edge in edges.items()
    ]
    nodes = [
        NodeType(name=name, columns=node.columns, title=node.title)
        for name, node in card.nodes.items()
    ]
    return _roles(relations, nodes)


def roles_of_graph(folder: str | Path) -> Roles:
    """Return what fills each role in a saved graph.

    Raises:
        GraphRecError: When there is no graph in the folder.
    """
    schema = read_header(Path(folder)).schema
    return _roles([each for each in schema.relations if not each.backward], schema.nodes)


def _roles(relations: Sequence[Relation], nodes: Sequence[NodeType]) -> Roles:
    roles: dict[str, tuple[str, ...]] = dict.fromkeys(MEANING, ())
    first = next((each for each in relations if each.interaction), None)
    if first is None:
        return roles
    ends = (first.source, first.target)
    describing = [
        each
        for each in relations
        if each.source == first.target and each.target not in ends and not each.interaction
    ]
    item = next(node for node in nodes if node.name == first.target)
    texts = [column for column, kind in item.columns.items() if kind == "text"]
    text = item.title or next(iter(texts), None)
    best = describing[:1]
    return roles | {
        "interaction": (first.name,),
        "inverse": _some(first.inverse),
        "user": (first.source,),
        "item": (first.target,),
        "attribute": tuple(each.name for each in best),
        "attribute_inverse": tuple(name for each in best for name in _some(each.inverse)),
        "attributes": tuple(each.name for each in describing),
        "attribute_type": tuple(each.target for each in best),
        "text": _some(text),
    }


def _some(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def _roles_of_data(data: Mapping[str, Any], who: str) -> tuple[Roles, str]:
    """Return the roles of the data that a recipe names, and a name of the data for errors."""
    card, graph = data.get("card"), data.get("graph")
    if isinstance(graph, str) and card is None:
        return roles_of_graph(graph), f"the graph {graph!r}"
    if isinstance(card, str):
        return roles_of_card(load_card(card)), f"card {card!r}"
    raise GraphRecError(who, "data.card or data.graph, which say what roles are", "neither")


def _used(content: Any) -> set[str]:
    if isinstance(content, str):
        return set(_ROLE.findall(content))
    if isinstance(content, Mapping):
        return set().union(*(_used(key) | _used(value) for key, value in content.items()))
    if isinstance(content, list):
        return set().union(*(_used(entry) for entry in content))
    return set()


def _filled(content: Any, roles: Roles, who: str) -> Any:
    if isinstance(content, str):
        return _ROLE.sub(lambda match: _one(match[1], roles, who), content)
    if isinstance(content, Mapping):
        return {
            _filled(key, roles, who): _filled(value, roles, who) for key, value in content.items()
        }
    if isinstance(content, list):
        entries: list[Any] = []
        for entry in content:
            if entry == "$attributes":
                entries += roles["attributes"]
            else:
                entries.append(_filled(entry, roles, who))
        return entries
    return content


def _one(role: str, roles: Roles, who: str) -> str:
    if role == "attributes":
        hint = "$attribute for the first of them"
        raise GraphRecError(who, "$attributes as an entry of a list", "one in a text", hint)
    return roles[role][0]
