"""Readouts: how to obtain predictions from a model that an objective trained.

A readout says which view of a sequence the model encodes, which state is read, and how the state
becomes an answer. The predictor does the rest: it samples, linearizes, encodes in blocks and keeps
the best candidates. An objective outside the library returns one of these readouts, or a subclass
that changes a method.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.kernels.attention import Mode
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.cooccurrence import CooccurrencePrior
from graphrec_pt.objectives.decoding import Decoding
from graphrec_pt.objectives.masking import last_of
from graphrec_pt.objectives.pooling import pooled
from graphrec_pt.sampling.sampler import RootKind
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

Value = Literal["number", "chance"]
"""A value in the unit of what was learned, or a probability."""
RERANK = 50
"""Candidates of a source whose subgraphs are looked at, unless an objective says otherwise."""
Where = Literal["end", "last", "first", "mean", "roots", "mask", "vector"]


@dataclass(frozen=True)
class Readout:
    """Base class of all readouts: which view is encoded and which states give the scores.

    Attributes:
        roots: The kind of roots that the stage's sampler must take.
        ranks: Whether the readout can rank the candidates of a source.
        sets: Whether the readout gives a probability for every candidate of a source.
        rates: The value that the readout gives a (source, candidate) pair; None for none.
    """

    roots: ClassVar[RootKind] = "nodes"

    @property
    def ranks(self) -> bool:
        """Whether the readout can rank the candidates of a source."""
        return False

    @property
    def sets(self) -> bool:
        """Whether the readout gives a probability for every candidate of a source."""
        return False

    @property
    def rates(self) -> Value | None:
        """The value that the readout gives a (source, candidate) pair; None for none."""
        return None

    def on(self, roots: RootKind) -> "Readout | None":
        """Return the readout for a sampler's kind of roots, None where there is none."""
        return self if roots == self.roots else None


@dataclass(frozen=True)
class Either(Readout):
    """One readout for a sampler of nodes, and one for a sampler of pairs."""

    nodes: Readout
    pairs: Readout

    def on(self, roots: RootKind) -> Readout | None:
        """Return the readout for a sampler's kind of roots, None where there is none."""
        return {"nodes": self.nodes, "pairs": self.pairs}.get(roots)


class Sides(Protocol):
    """A head whose scores are inner products of two sides, over a temperature, plus a bias."""

    temperature: float

    @property
    def bias(self) -> Tensor | None:
        """``[V]``, or None."""
        ...

    def sides(self, hidden: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two sides for states ``[Q, D]`` and items ``[V, D]``."""
        ...


@dataclass(frozen=True)
class QueryReadout(Readout):
    """One vector per source, whose inner products with the items are their scores.

    Args:
        where: The state to read: a MASK appended at the ``"end"``; the ``"last"`` or ``"first"``
            token, the ``"mean"`` of all tokens or of the ``"roots"``; the last ``"mask"`` of the
            candidates' type, which the linearizer puts; or the ``"vector"`` of the source itself,
            without a sequence.
        mode: What a token sees; the backbone's own mode for None.
        head: The sides to be compared, for objectives whose head has none.
        part: Name of the head among several of the objective.
        shown: What is encoded of the tokens, MASK included, where more than a mode says it; read
            off the query stream where there are two.
        prior: A term from links between items, added to the inner products.
        chance: What ``σ(score)`` is the chance of: that a ``"pair"`` is one, or that a candidate is
            in the ``"set"`` of a source; None where scores can only be compared.
    """

    where: Where = "last"
    mode: Mode | None = None
    head: Sides | None = None
    part: str | None = None
    shown: Callable[[Tokens], View] | None = None
    prior: CooccurrencePrior | None = None
    chance: Literal["pair", "set"] | None = None

    @property
    def ranks(self) -> bool:
        """Always."""
        return True

    @property
    def sets(self) -> bool:
        """Whether ``σ(score)`` is the chance that a candidate is in the set of a source."""
        return self.chance == "set"

    @property
    def rates(self) -> Value | None:
        """The chance of a pair, if that is what was learned."""
        return "chance" if self.chance == "pair" else None

    def view(self, tokens: Tokens) -> View:
        """Return the view of the sequences to encode, with MASK where the readout needs one."""
        return View(tokens, self.mode) if self.shown is None else self.shown(tokens)

    def query(self, encoded: Encoded, tokens: Tokens, node_type: int) -> Tensor:
        """Return the vector of each source: ``[B, D]``.

        Args:
            encoded: Of :meth:`view`.
            tokens: The sequences, on the CPU.
            node_type: Node type of the candidates.
        """
        if encoded.query is not None:
            encoded = Encoded(encoded.view, encoded.query)
        if self.where == "mask":
            at = last_masks(tokens, node_type)
            return encoded.hidden.index_select(0, at.to(encoded.hidden.device))
        if self.where == "end":
            return encoded.pooled("last")
        if self.where == "vector":
            raise GraphRecError("readout", "a vector of a sequence", "that of the source itself")
        return pooled(encoded, self.where)

    def sides(self, head: nn.Module) -> Sides:
        """Return the module that compares the two sides: the objective's head or the default."""
        trained = head if self.part is None else head.get_submodule(self.part)
        chosen: Sides | nn.Module = self.head or trained
        if not hasattr(chosen, "sides"):
            got = type(chosen).__name__
            hint = "ItemHead as the head, or QueryReadout(head=ItemHead(0))"
            raise GraphRecError("readout", "a head with two sides to compare", got, hint)
        return chosen  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Encoded sequences of B sources.

    Args:
        encoded: Their hidden states.
        tokens: The sequences, on the CPU.
        source: int64 ``[B]`` global ids, on the CPU.
        graph: The graph that may be seen, without held-out edges.
        relation: Leads from sources to candidates.
        model: At rest.
        head: Head of the objective, trained.
    """

    encoded: Encoded
    tokens: Tokens
    source: Tensor
    graph: Graph
    relation: Relation
    model: Model
    head: nn.Module


@dataclass(frozen=True)
class CatalogueReadout(Readout):
    """Scores of the whole catalogue from one sequence per source, by any function.

    Args:
        scores: From encoded sequences to scores ``[B, V]``.
    """

    scores: Callable[[Sequences], Tensor]

    @property
    def ranks(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class PairReadout(Readout):
    """A value for each (source, candidate) pair, read from a sequence of the pair.

    A sequence for every pair of a catalogue is out of reach. Where it ranks, every item is scored
    by the vectors of the two nodes, ``e_u · e_i``, and the best `rerank` items that the source has
    not met are put in the order of these numbers, above all others. With `rerank` at the size of
    the catalogue this is CHEST (Wang et al., TOIS 2023) to the letter.

    Args:
        scores: From hidden states of n sequences, the pairs ``[n, 2]`` (global ids), the model and
            the head of the objective to numbers ``[n]``.
        shown: The sequences as the model saw them in training; as they are by default.
        value: From the numbers to what :attr:`rates` says; they themselves by default.
        of: The kind of value of a pair; None where the numbers can only be compared.
        rerank: Items of each source that are put in order; 0 leaves the order of the vectors; None
            where pairs are never ranked.
    """

    roots: ClassVar[RootKind] = "pairs"

    scores: Callable[[Encoded, Tensor, Model, nn.Module], Tensor]
    shown: Callable[[Tokens], Tokens] | None = None
    value: Callable[[Tensor], Tensor] | None = None
    of: Value | None = None
    rerank: int | None = None

    @property
    def ranks(self) -> bool:
        """Whether the readout ranks pairs."""
        return self.rerank is not None

    @property
    def rates(self) -> Value | None:
        """The kind of value of a pair."""
        return self.of


@dataclass(frozen=True)
class CategoryReadout(Readout):
    """The chance of each category of a source.

    Args:
        column: Column of the node type, whose categories they are.
        shown: The sequences of some roots (int64 ``[B]``) as the model saw them in training.
        chances: From hidden states of B sequences and the head to ``[B, C]``.
    """

    column: str
    shown: Callable[[Tokens, Tensor], Tokens]
    chances: Callable[[Encoded, nn.Module], Tensor]


@dataclass(frozen=True)
class PathReadout(Readout):
    """Items by the paths that a path language model decodes to them.

    Args:
        decode: How paths are searched, and what they make of an item's score.
        nodes: From states ``[n, D]``, the model, the head and a node type to logits ``[n, V]``.
        relations: From states ``[n, D]``, the model and the head to logits ``[n, R]``.
    """

    decode: Decoding
    nodes: Callable[[Tensor, Model, nn.Module, str], Tensor]
    relations: Callable[[Tensor, Model, nn.Module], Tensor]

    @property
    def ranks(self) -> bool:
        """Always."""
        return True


def masks(tokens: Tokens) -> Tensor:
    """Return the mask tokens whose node must be predicted: bool ``[T]``."""
    return (tokens.kind == Kind.SPECIAL) & (tokens.id == Special.MASK) & (tokens.type >= 0)


def last_masks(tokens: Tokens, node_type: int) -> Tensor:
    """Return the last mask of a type in each sequence: int64 ``[B]`` tokens.

    Raises:
        GraphRecError: When a sequence has no mask of the type.
    """
    at = last_of(tokens, masks(tokens) & (tokens.type == node_type))
    if bool((at < 0).any()):
        got = f"{int((at < 0).sum())} of {len(at)} without one"
        hint = "a pattern that ends with a masked candidate"
        raise GraphRecError("predictor", "a mask of the candidates' type", got, hint)
    return at
