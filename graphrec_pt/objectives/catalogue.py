"""Prediction of nodes: losses over all nodes of a type, or over drawn negatives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import softplus

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Strict
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.philox import philox
from graphrec_pt.kernels.softmax_loss import sampled_softmax_loss
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import Objective, TrainingExamples
from graphrec_pt.objectives.sequence_rng import SequenceRNG, one_of
from graphrec_pt.tokens.tokens import Tokens


class Candidates(Strict):
    """The loss by which a hidden state predicts a node among the nodes of its type.

    ``softmax``: ``−log softmax(s)[v]`` over the whole type. ``sampled``: the same over `negatives`
    drawn uniformly, corrected by log Q, shared by the step. ``pairwise``: ``−log σ(s_v − s_v')``
    with one negative of the type (S3-Rec, Zhou et al., CIKM 2020). ``bce``:
    ``−(β log σ(s_v) + Σ_k log σ(−s_k)) / (K + 1)`` with K negatives of the type for each target
    (SASRec, Kang & McAuley, ICDM 2018, has K = 1). ``β = 1 − t (1 − α)`` with ``α = K / (V − 1)``
    is the generalised form of gSASRec (Petrov & Macdonald, RecSys 2023): t = 1 undoes what
    sampling does to the probabilities, they have K = 256 and t = .75. ``choice``:
    ``−log e^{s_v} / (e^{s_v} + Σ_k e^{s_k})`` among K negatives of the type for each target, the
    multiple choice of PTUM (Wu et al., Findings of EMNLP 2020), which has K = 4.

    Args:
        how: One of the five.
        negatives: Negatives of ``sampled``, 512 by default; K of ``bce``, 1, and of ``choice``, 4.
        calibration: t of ``bce``.
        temperature: τ, divides all scores.
        cosine: Whether both sides are normalised to unit length.
        transform: Whether the hidden state goes through dense, GELU and norm first.
        known: A relation: ``softmax`` runs over those nodes of its target type that have an
            incoming edge of it. Nodes without such an edge are excluded as negatives, because the
            model would learn that their features never belong to an answer.
    """

    how: Literal["softmax", "sampled", "pairwise", "bce", "choice"] = "softmax"
    negatives: int | None = Field(None, ge=1)
    calibration: float = Field(0.0, ge=0, le=1)
    temperature: float = Field(1.0, gt=0)
    cosine: bool = False
    transform: bool = True
    known: str | None = None

    def model_post_init(self, context: object) -> None:
        """Check the options together."""
        if self.known is not None and self.how != "softmax":
            raise GraphRecError("candidates", "how: softmax with known", self.how)

    @property
    def _drawn(self) -> int:
        """The number of drawn negatives."""
        return self.negatives or {"bce": 1, "choice": 4}.get(self.how, 512)

    def head(self, width: int) -> ItemHead:
        """Return the head, to be filled by ``seeded``."""
        return ItemHead(
            width, transform=self.transform, cosine=self.cosine, temperature=self.temperature
        )

    def targets(
        self, graph: Graph, tokens: Tokens, token: Tensor, words: Tensor, draws: SequenceRNG
    ) -> dict[str, Tensor]:
        """Return the nodes at some tokens as targets, and their negatives.

        Args:
            graph: Whose nodes they are.
            tokens: Before anything was hidden.
            token: int64 ``[n]``, where they stand.
            words: int64 ``[n, 4]``, random bits of each.
            draws: Draws of the batch, named for the purpose.
        """
        node, types = tokens.id[token], tokens.type[token]
        named = {"token": token, "node": node, "type": types}
        return named | self.draw(graph, types, words, draws)

    def draw(
        self, graph: Graph, types: Tensor, words: Tensor, draws: SequenceRNG
    ) -> dict[str, Tensor]:
        """Return the negatives that :meth:`loss` needs, by name.

        Args:
            graph: Whose nodes they are.
            types: int64 ``[n]``, node type of each target.
            words: int64 ``[n, 4]``, random bits of each target.
            draws: Draws of the batch, named for the purpose.
        """
        offset = graph.csr.offset
        if self.how == "pairwise":
            # A step of 1 … V−1 from the target itself never lands on it.
            size = offset[types + 1] - offset[types]
            return {"step": 1 + one_of(words[:, 0], (size - 1).clamp(min=1))}
        if self.how == "softmax":
            return {} if self.known is None else _unknown(graph, self.known)
        if self.how in ("bce", "choice"):
            block = torch.arange(-(-self._drawn // 4))
            bits = philox(draws.key.named("negatives"), words[:, :1].expand(-1, len(block)), block)
            size = (offset[types + 1] - offset[types] - 1).clamp(min=1).unsqueeze(1)
            return {"step": 1 + one_of(bits.flatten(1)[:, : self._drawn], size)}  # [n, K]
        return {
            f"negatives.{kind}": shared_nodes(draws, kind, self._drawn, graph) - offset[kind]
            for kind in torch.unique(types).tolist()
        }

    def loss(
        self, hidden: Tensor, at: Mapping[str, Tensor], model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean loss over n targets.

        Args:
            hidden: ``[n, D]``, what each target is predicted from.
            at: Global ids ``node`` and node types ``type``, int64 ``[n]``, and what :meth:`draw`
                returned.
            model: Has the vectors of the nodes.
            head: The result of :meth:`head`.
        """
        node, types = at["node"], at["type"]
        total = hidden.new_zeros(())
        for index, name in enumerate(model.spec.node_names):
            rows = (types == index).nonzero().squeeze(1)
            if not len(rows):
                continue
            target = node[rows] - model.spec.ids(name).start
            loss = self._of_type(hidden[rows], target, rows, index, at, model.table(name), head)
            total = total + loss * len(rows)
        return total / max(len(node), 1)

    def _of_type(
        self,
        hidden: Tensor,
        target: Tensor,
        rows: Tensor,
        index: int,
        drawn: Mapping[str, Tensor],
        table: Tensor,
        head: ItemHead,
    ) -> Tensor:
        if self.how == "softmax":
            unknown = drawn.get(f"unknown.{index}")
            if unknown is not None:  # but the target itself, wherever it was found
                unknown = unknown.index_fill(0, target, False)
            return head.loss(hidden, table, target, masked=unknown)
        left, right = head.sides(hidden, table)
        if self.how == "pairwise":
            other = (target + drawn["step"][rows]) % len(table)
            margin = (left * (right[target] - right[other])).sum(1) / self.temperature
            return softplus(-margin).mean()
        if self.how in ("bce", "choice"):
            other = (target.unsqueeze(1) + drawn["step"][rows]) % len(table)  # [n, K]
            true = (left * right[target]).sum(1) / self.temperature
            false = torch.einsum("nd,nkd->nk", left, right[other]) / self.temperature
            if self.how == "choice":
                scores = torch.cat([true.unsqueeze(1), false], dim=1)  # [n, 1 + K]
                return (scores.logsumexp(1) - true).mean()
            share = self._drawn / max(len(table) - 1, 1)
            power = 1 - self.calibration * (1 - min(share, 1.0))
            each = power * softplus(-true) + softplus(false).sum(1)
            return each.mean() / (self._drawn + 1)
        negatives = drawn[f"negatives.{index}"]
        log_q = torch.full_like(negatives, self._drawn / len(table), dtype=torch.float32).log()
        return sampled_softmax_loss(
            left, right, target, negatives, None, log_q, temperature=self.temperature
        )


@dataclass(frozen=True)
class NodePrediction(Objective):
    """An objective that predicts nodes from hidden states.

    Args:
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types that are predicted; all by default.
    """

    candidates: Candidates = Candidates()  # noqa: RUF009 - frozen
    types: tuple[str, ...] | None = None

    def check(self, spec: GraphSpec) -> None:
        """Raise for node types that the graph does not have."""
        for name in self.types or ():
            spec.node_index(name)

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return the head of the candidates."""
        return self.candidates.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: Any
    ) -> Tensor:
        """Return the mean over the predicted nodes, each from the hidden state of its token."""
        hidden = encoded[0].hidden.index_select(0, corrupted.targets["token"])  # [n, D]
        return self.candidates.loss(hidden, corrupted.targets, model, head)


def shared_nodes(draws: SequenceRNG, node_type: int, count: int, graph: Graph) -> Tensor:
    """Return global ids of nodes of a type, drawn uniformly, that a step shares: ``[count]``."""
    offset = graph.csr.offset
    bits = draws.named(f"nodes {node_type}").shared(count)
    return offset[node_type] + one_of(bits, int(offset[node_type + 1] - offset[node_type]))


def _unknown(graph: Graph, name: str) -> dict[str, Tensor]:
    """Return the nodes of a relation's target type without an incoming edge: bool ``[V]``."""
    relation = graph.schema.relation(name)
    among = graph.nodes(relation.target)
    if relation.inverse is not None:
        degree = graph.degree(relation.inverse)
    else:
        degree = torch.bincount(graph.edges(name).target - among.start, minlength=len(among))
    return {f"unknown.{graph.schema.node_index(relation.target)}": degree == 0}
