"""One softmax over words, the end of a text, and nodes: what a language model may write next."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid, softplus

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.softmax_loss import softmax_loss
from graphrec_pt.models.model import Model
from graphrec_pt.models.pointer_head import PointerHead
from graphrec_pt.tokens.kind import Kind, Special

ENDS = ("eos", "sep")
"""Special tokens of a tokenizer that may end a text, the first that it has."""


@dataclass(frozen=True, eq=False)
class JointVocabulary:
    """The numbers and the probabilities of everything that may come next.

    Words come first, by their text ids. The end is the end token of the tokenizer where it has
    one, else one number more, scored by the vector of EOS. Then come the nodes, type by type.

    Args:
        model: Has the words, the nodes and their vectors.
        head: Head of the objective; a :class:`PointerHead` where there are nodes.
        nodes: Names of the node types that may be written.

    Raises:
        GraphRecError: For a model without words.
    """

    model: Model
    head: nn.Module
    nodes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.model.num_words:
            hint = "model.text: trained:8000"
            raise GraphRecError("language_model", "a model with words", "none", hint)

    @cached_property
    def end(self) -> int:
        """Number of the end of a text."""
        words = self.model.tokenizer
        special = {} if words is None else words.special
        known = [special[name] for name in ENDS if name in special]
        return next((id for id in known if id < self.words), self.words)

    @property
    def words(self) -> int:
        """V, the rows of the model's word table."""
        return self.model.num_words

    @property
    def first_node(self) -> int:
        """Number of the first node."""
        return max(self.words, self.end + 1)

    @cached_property
    def starts(self) -> list[tuple[int, range]]:
        """The first number of each node type, and the global ids of its nodes."""
        found, first = [], self.first_node
        for name in self.nodes:
            ids = self.model.spec.ids(name)
            found.append((first, ids))
            first += len(ids)
        return found

    def __len__(self) -> int:
        """How many words, ends and nodes there are."""
        return self.first_node + sum(len(ids) for _, ids in self.starts)

    def numbers(self, kind: Tensor, id: Tensor) -> Tensor:
        """Return the numbers of tokens: int64 ``[n]``, −1 for tokens that are never written.

        Args:
            kind: int64 ``[n]``: TEXT, NODE, or SPECIAL for the end.
            id: int64 ``[n]``.
        """
        end = (kind == Kind.SPECIAL) & (id == Special.EOS)
        found = torch.where(kind == Kind.TEXT, id, -1).masked_fill(end, self.end)
        for first, ids in self.starts:
            mine = (kind == Kind.NODE) & (id >= ids.start) & (id < ids.stop)
            found = torch.where(mine, id - ids.start + first, found)
        return found

    def tokens(self, number: Tensor) -> tuple[Tensor, Tensor]:
        """Return kind and id of numbers: two int64 ``[n]``; the end is the special token EOS."""
        kind = torch.full_like(number, Kind.TEXT)
        id = number
        for first, ids in self.starts:
            mine = (number >= first) & (number < first + len(ids))
            kind = kind.masked_fill(mine, Kind.NODE)
            id = torch.where(mine, number - first + ids.start, id)
        end = number == self.end
        return kind.masked_fill(end, Kind.SPECIAL), id.masked_fill(end, Special.EOS)

    def loss(self, hidden: Tensor, number: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy of what comes next, a scalar.

        Args:
            hidden: ``[n, D]``, states of the tokens before.
            number: int64 ``[n]``, what comes.
            smoothing: ε: ``(1 − ε) CE + ε · mean_v(−log p(v))``; with a gate the mean is over the
                part, words or nodes, that the target is of.
        """
        if self.nodes:
            return self.losses(hidden, number, smoothing).sum() / max(len(number), 1)
        part = _Part(*self._word_sides(hidden))
        loss = softmax_loss(part.query, part.table, number, bias=part.bias)
        if smoothing:
            loss = loss + smoothing * (part.logit(number) - part.mean()).mean()
        return loss

    def losses(self, hidden: Tensor, number: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the cross-entropy of each row ``[n]``; arguments as of :meth:`loss`."""
        if not self.nodes:
            part = _Part(*self._word_sides(hidden))
            return part.losses(number, smoothing)
        written = number >= self.first_node
        gate = self._pointer(hidden)
        if gate is not None:
            losses = torch.where(written, softplus(-gate), softplus(gate))
            for chosen, first, sides in (
                (~written, 0, self._word_sides),
                (written, self.first_node, self._node_sides),
            ):
                rows = chosen.nonzero().squeeze(1)
                part = _Part(*sides(hidden.index_select(0, rows)))
                own = part.losses(number[rows] - first, smoothing)
                losses = losses.index_add(0, rows, own.to(losses.dtype))
            return losses
        words, nodes = _Part(*self._word_sides(hidden)), _Part(*self._node_sides(hidden))
        total = torch.logaddexp(words.total(), nodes.total())
        target = torch.where(
            written,
            nodes.logit((number - self.first_node).clamp(min=0)),
            words.logit(number.masked_fill(written, 0)),
        )
        if smoothing:
            sizes = len(words.table), len(nodes.table)
            mean = (sizes[0] * words.mean() + sizes[1] * nodes.mean()) / sum(sizes)
            target = (1 - smoothing) * target + smoothing * mean
        return total - target

    def logp(self, hidden: Tensor) -> Tensor:
        """Return the log-probability of everything after each state: float ``[n, J]``."""
        words = _Part(*self._word_sides(hidden)).logits()
        if not self.nodes:
            return log_softmax(words, dim=1)
        nodes, gate = _Part(*self._node_sides(hidden)).logits(), self._pointer(hidden)
        if gate is None:
            return log_softmax(torch.cat([words, nodes], dim=1), dim=1)
        gate = gate.to(words.dtype).unsqueeze(1)
        parts = log_softmax(words, 1) + logsigmoid(-gate), log_softmax(nodes, 1) + logsigmoid(gate)
        return torch.cat(parts, dim=1)

    def _word_sides(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return query, table and bias of words, with a row for the end where none is its own."""
        sides = self.model.word_sides(hidden)
        query, table, bias = sides.query, sides.table, sides.bias
        if self.end < self.words:
            return query, table, bias
        if bias is not None:
            bias = torch.cat([bias, bias.new_zeros(1)])
        return query, self._with_end(table), bias

    def _with_end(self, table: Tensor) -> Tensor:
        """Return a table of words with a row for the end, made once for this table."""
        known = self._extended.get(id(table))
        if known is None or known[0] is not table:
            end = self.model.embedding.special.weight[Special.EOS].unsqueeze(0).to(table.dtype)
            if end.shape[1] != table.shape[1]:
                expected = (
                    "a tokenizer with an end token, for words of another width than the model"
                )
                raise GraphRecError("language_model", expected, "none")
            known = self._extended[id(table)] = table, torch.cat([table, end])
        return known[1]

    @cached_property
    def _extended(self) -> dict[int, tuple[Tensor, Tensor]]:
        return {}

    def _node_sides(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return query, table and bias of nodes."""
        assert isinstance(self.head, PointerHead)
        query, table = self.head.node.sides(hidden, self._table)
        bias = self.head.bias
        return query, table, None if bias is None else bias.expand(len(table))

    @cached_property
    def _table(self) -> Tensor:
        return torch.cat([self.model.table(name) for name in self.nodes])

    def _pointer(self, hidden: Tensor) -> Tensor | None:
        assert isinstance(self.head, PointerHead)
        gate: Tensor | None = self.head(hidden)
        return gate


@dataclass(frozen=True, eq=False)
class _Part:
    """Products of states with a table: the logits ``[n, V]`` are made only on request."""

    query: Tensor
    table: Tensor
    bias: Tensor | None

    def losses(self, target: Tensor, smoothing: float) -> Tensor:
        """Return the smoothed cross-entropy over this table: ``[n]``."""
        losses = softmax_loss(self.query, self.table, target, bias=self.bias, reduction="none")
        if smoothing:
            losses = losses + smoothing * (self.logit(target) - self.mean())
        return losses

    def total(self) -> Tensor:
        """Return ``log Σ_v exp(logit)``: ``[n]``."""
        first = torch.zeros_like(self.query[:, 0], dtype=torch.int64)
        above = softmax_loss(self.query, self.table, first, bias=self.bias, reduction="none")
        return above + self.logit(first)

    def logit(self, target: Tensor) -> Tensor:
        """Return the logit of one number for each state: ``[n]``."""
        found = (self.query * self.table.index_select(0, target)).sum(1)
        return found if self.bias is None else found + self.bias.index_select(0, target)

    def mean(self) -> Tensor:
        """Return the mean logit of each state: ``[n]``."""
        found = self.query @ self.table.mean(0)
        return found if self.bias is None else found + self.bias.mean()

    def logits(self) -> Tensor:
        """Return all logits ``[n, V]``, in float32 or better."""
        found = self.query @ self.table.T
        found = found if self.bias is None else found + self.bias
        return found.to(torch.promote_types(found.dtype, torch.float32))
