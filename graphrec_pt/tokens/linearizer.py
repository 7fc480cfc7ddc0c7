"""The linearizer family: (graph, sample, key) → Tokens, as a pure function."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import Registry, name_of
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Sample
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Words

S = TypeVar("S")


@dataclass(frozen=True)
class ProvidedFields:
    """The kinds and fields that a linearizer fills, so that objectives can be checked early.

    Args:
        kinds: Kinds of token that can occur.
        fields: Fields that the linearizer fills; the others keep their neutral values. ``edges``
            is present when the sampler returns edges.
    """

    kinds: frozenset[Kind]
    fields: frozenset[str]

    def plus(self, kinds: Iterable[Kind] = (), fields: Iterable[str] = ()) -> "ProvidedFields":
        """Return the same with more kinds and fields."""
        return ProvidedFields(self.kinds | set(kinds), self.fields | set(fields))


class Linearizer(ABC):
    """The base class of linearizers: frozen configs that a recipe can name and a worker unpickle.

    The tokens of a sequence are a function of the graph, the key and its sample alone.

    Example:
        >>> @linearizer("roots")
        ... class Roots(Linearizer):
        ...     @property
        ...     def makes(self) -> ProvidedFields:
        ...         return makes([Kind.NODE])
        ...
        ...     def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        ...         tokens = node_tokens(graph, sample)
        ...         return tokens.take((tokens.hop == 0).nonzero().squeeze(1))
    """

    @property
    @abstractmethod
    def makes(self) -> ProvidedFields:
        """The kinds and fields that it fills."""

    @property
    def names_root(self) -> bool:
        """Whether sequences may hold the root of their sample."""
        return True

    @property
    def joins(self) -> bool:
        """Whether all paths of a root become one sequence; else each path becomes its own."""
        return False

    @property
    def prompt(self) -> str | None:
        """The pattern of its hard prompt, or None."""
        return None

    def with_words(self, words: Words) -> Self:
        """Return the same linearizer with the model's tokenizer wherever it names none.

        Those without text return themselves; those around another linearizer pass it on.

        Args:
            words: The tokenizer of the model.
        """
        return self

    def check(self, graph: Graph) -> None:  # noqa: B027 - most options name nothing of a graph
        """Raise when a graph lacks what the options name; called before anything is sampled.

        Every graph will do by default.
        """

    def zero_shot(self) -> Self:
        """Return what asks a model that is not trained on it; by default the same.

        A linearizer with phrases that it keeps back for that returns itself with those phrases.
        """
        return self

    @abstractmethod
    def linearize(self, graph: Graph, sample: Any, key: Key) -> Tokens:
        """Return the tokens of a sample.

        Args:
            graph: The graph that was sampled.
            sample: Paths or Subgraphs, as the linearizer needs.
            key: Names the draws, for linearizers that draw.

        Returns:
            One sequence per root of Subgraphs; per path of Paths unless they are joined.

        Raises:
            GraphRecError: For Paths where Subgraphs are needed, or the reverse.
        """


linearizer: Registry[Linearizer] = Registry("linearizer")
"""``@linearizer("name")`` makes a class usable as a linearizer."""

LinearizerField = Annotated[Linearizer, linearizer]
"""Type of a config field that holds a linearizer."""


def makes(kinds: Iterable[Kind], *names: str) -> ProvidedFields:
    """Return the fields that tokens of the given kinds fill: `type`, `position` and those named."""
    return ProvidedFields(frozenset(kinds), frozenset({"type", "position", *names}))


def require(
    who: str, chosen: Linearizer, kinds: Iterable[Kind] = (), names: Iterable[str] = ()
) -> None:
    """Raise unless a linearizer provides the kinds and fields needed.

    Args:
        who: The part that needs them, e.g. an objective.
        chosen: The linearizer of the recipe.
        kinds: Kinds of token that must be able to occur.
        names: Fields that must be filled.
    """
    kinds, names = set(kinds), set(names)
    lacking = [k.name for k in sorted(kinds - chosen.makes.kinds)]
    lacking += sorted(names - chosen.makes.fields)
    if lacking:
        name = name_of(chosen)
        fit = []
        for other in linearizer.names():
            made = _default_makes(other)
            if made is not None and kinds <= made.kinds and names <= made.fields:
                fit.append(other)
        hint = "the linearizer " + " or ".join(map(repr, fit)) if fit else ""
        expected = "tokens with " + ", ".join(lacking)
        raise GraphRecError(who, expected, f"those of linearizer {name!r}", hint)


def check_sample(who: str, sample: Sample, wanted: type[S]) -> S:
    """Return the sample when it is of the class that the linearizer needs.

    Raises:
        GraphRecError: For another class; it names both.
    """
    if isinstance(sample, wanted):
        return sample
    hint = f"a sampler that returns {wanted.__name__}"
    raise GraphRecError(who, f"a sample of {wanted.__name__}", type(sample).__name__, hint)


def _default_makes(name: str) -> ProvidedFields | None:
    try:
        return linearizer.build(name).makes
    except GraphRecError:
        return None  # has options without defaults
