"""The schema of a graph: node types with columns, relations with their inverses."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all
from graphrec_pt.core.options import option_errors

ColumnKind = Literal["category", "number", "text", "vector"]
TimeUnit = Literal["s", "ms", "ordinal"]


class Strict(BaseModel):
    """A frozen pydantic model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))

    @classmethod
    def checked(cls, content: Any, who: str) -> Self:
        """Return the model that `content` describes.

        Raises:
            GraphRecError: For all mistakes in `content` at once; `who` names it in the error.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise_all(option_errors(who, error, cls))
            raise


class Checked(Strict):
    """A strict model whose constructor reports mistakes as :meth:`Strict.checked` does."""

    def __init__(self, **options: Any) -> None:
        """Validate everything.

        Raises:
            GraphRecError: For every mistake at once.
        """
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise_all(option_errors(type(self).__name__.lower(), error, type(self)))
            raise


class NodeType(Strict):
    """One kind of node.

    Args:
        name: What the kind is called, e.g. ``"item"``.
        columns: Column name → kind; raw ids are not among them.
        title: The column that names a node for a person, if any.
    """

    name: str
    columns: dict[str, ColumnKind] = {}
    title: str | None = None


class Relation(Strict):
    """One kind of edge, stored in one direction; its inverse is a separate relation.

    Args:
        name: What the relation is called, e.g. ``"rates"``.
        source: Node type that the edges leave.
        target: Node type that the edges enter.
        inverse: Name of the relation that stores the same edges backwards, if any.
        backward: True for the inverse, which was made from the forward relation.
        timed: Whether its edges carry times.
        weighted: Whether its edges carry weights.
        interaction: Whether a split may hold its edges out.
        event: Node type whose nodes *are* these interactions (reviews, say), if any.
        derived: Whether it was computed from interactions rather than given.
    """

    name: str
    source: str
    target: str
    inverse: str | None = None
    backward: bool = False
    timed: bool = False
    weighted: bool = False
    interaction: bool = False
    event: str | None = None
    derived: bool = False

    def inverted(self) -> Self:
        """Return the relation that stores the same edges backwards; it needs an `inverse`."""
        assert self.inverse is not None
        return self.model_copy(
            update={
                "name": self.inverse,
                "source": self.target,
                "target": self.source,
                "inverse": self.name,
                "backward": True,
            }
        )


class Schema(Strict):
    """Node types, relations, and the relations to derive once interactions are split.

    Args:
        nodes: Node types in the order of their ids.
        relations: Relations; those leaving a node type take its slots in this order.
        derive: Configs of relations to compute from training interactions.
        time_unit: Unit of edge times: seconds, milliseconds, or positions in a sequence.
    """

    nodes: tuple[NodeType, ...]
    relations: tuple[Relation, ...]
    derive: tuple[dict[str, JsonValue], ...] = ()
    time_unit: TimeUnit = "s"

    @cached_property
    def node_names(self) -> tuple[str, ...]:
        """Names of the node types, in id order."""
        return tuple(node.name for node in self.nodes)

    @cached_property
    def relation_names(self) -> tuple[str, ...]:
        """Names of the relations, in slot order."""
        return tuple(relation.name for relation in self.relations)

    @cached_property
    def interactions(self) -> tuple[Relation, ...]:
        """The relations that a split may hold out, the default target first."""
        return tuple(r for r in self.relations if r.interaction and not r.backward)

    def with_relations(self, relations: Iterable[Relation]) -> "Schema":
        """Return the schema with other relations."""
        # A new object, because a copy would keep the cached names.
        return Schema(
            nodes=self.nodes,
            relations=tuple(relations),
            derive=self.derive,
            time_unit=self.time_unit,
        )

    def node(self, name: str) -> NodeType:
        """Return a node type by name."""
        return self.nodes[self.node_index(name)]

    def node_index(self, name: str) -> int:
        """Return a node type's place in id order."""
        if name not in self.node_names:
            raise GraphRecError(
                "graph", "a node type", repr(name), did_you_mean(name, self.node_names)
            )
        return self.node_names.index(name)

    def relation(self, name: str) -> Relation:
        """Return a relation by name."""
        return self.relations[self.relation_index(name)]

    def relation_index(self, name: str) -> int:
        """Return a relation's place in the schema."""
        if name not in self.relation_names:
            raise GraphRecError(
                "graph", "a relation", repr(name), did_you_mean(name, self.relation_names)
            )
        return self.relation_names.index(name)

    def leaving(self, node_type: str) -> tuple[Relation, ...]:
        """Return the relations that leave a node type, in slot order."""
        return tuple(r for r in self.relations if r.source == node_type)

    def slot(self, relation: str) -> int:
        """Return which slot of its source type a relation has."""
        definition = self.relation(relation)
        return [r.name for r in self.leaving(definition.source)].index(relation)

    def interaction(self, name: str | None = None) -> Relation:
        """Return the named interaction relation, or the first one.

        Raises:
            GraphRecError: When the graph has none, or the named one is not an interaction.
        """
        if not self.interactions:
            raise GraphRecError(
                "graph",
                "a relation marked as interaction",
                f"relations {', '.join(self.relation_names) or 'none'}",
                "`interaction: true` on the edges to recommend",
            )
        if name is None:
            return self.interactions[0]
        if name not in (names := [r.name for r in self.interactions]):
            raise GraphRecError(
                "graph", "an interaction relation", repr(name), did_you_mean(name, names)
            )
        return self.relation(name)
