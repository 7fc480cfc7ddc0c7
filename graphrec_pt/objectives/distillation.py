"""Knowledge distillation: a model imitates the vectors and scores of its teachers."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.head import Map
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.node_vectors import vectors_of_type, width_of
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.pairs import drawn_negatives, positives
from graphrec_pt.objectives.pooling import SequencePool
from graphrec_pt.tokens.kind import Kind


@objective("distillation")
class Distillation(Objective):
    r"""Distillation from several teachers (Tiny-NewsRec, Yu et al., EMNLP 2022).

    The teachers are vectors of nodes made elsewhere. With a `relation`, a root u has one true item
    (the target of the hidden edge, else its last event) among K false ones:

    .. math:: \mathcal L = \tau^2 H(p, q) + \gamma H(y, q) +
              \lambda \sum_i w_i \left(\|W_i h_u - t^i_u\|^2 + \|W_i e_y - t^i_y\|^2\right) / F_i

    with the student's ``q = softmax(h · e / τ)``, the teachers' mixed
    ``p = softmax(Σ_i w_i t^i_u · t^i / τ)`` and each teacher's weight by how well it finds the true
    item, ``w = softmax_i(−H(y, softmax(t^i_u · t^i)))``. Without a relation the vector of the root
    alone is imitated, all teachers alike. The paper maps teachers to the student, which can be
    solved by vectors of 0; here the student is mapped to the teachers.

    Args:
        teachers: Vector columns of the root's type (and of the items', by the same names), or
            safetensors files with a tensor ``[n, F]`` for each node type.
        node_type: Node type of the roots; where there is a relation, the type that it leaves.
        relation: Leads from roots to items.
        negatives: K.
        temperature: τ; the paper has 1.
        cosine: Put the teachers' vectors on the unit sphere.
        hard: γ; the paper has 1 in post-training and .2 in fine-tuning.
        states: λ.
        pool: Pooling of hidden states to the student's vector.
    """

    teachers: tuple[str, ...] = Field(min_length=1)
    node_type: str | None = None
    relation: str | None = None
    negatives: int = Field(9, ge=1)
    temperature: float = Field(1.0, gt=0)
    cosine: bool = False
    hard: float = Field(1.0, ge=0)
    states: float = Field(1.0, ge=0)
    pool: SequencePool = "mean"

    @property
    def needs(self) -> RequiredFields:
        """Nodes; with a relation also their hop, which marks the roots."""
        fields = {"type", "hop"} if self.relation else set()
        return RequiredFields(frozenset({Kind.NODE}), frozenset(fields))

    def check(self, spec: GraphSpec) -> None:
        """Raise when there is no such relation, or a teacher has no vectors of a node type."""
        for teacher in self.teachers:
            widths = [width_of(spec, each, teacher) for each in self._types(spec)]
            if len(set(widths)) > 1:
                expected = f"vectors of one length in {teacher!r}"
                raise GraphRecError("distillation", expected, widths)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return sequences, and the teachers' vectors of their roots and items."""
        if self.relation is None:
            return self._of_roots(examples)
        graph, relation = examples.graph, examples.graph.schema.relation(self.relation)
        pairs = positives(examples, relation)
        draws = examples.draws.named("distillation").select(pairs.row)
        negatives = drawn_negatives(graph, relation, pairs.source, draws, self.negatives)
        items = torch.cat([pairs.target.unsqueeze(1), negatives], dim=1)  # [n, 1+K]
        user, user_missing = self._vectors(graph, relation.source, pairs.source)
        item, item_missing = self._vectors(graph, relation.target, items.clamp(min=0))
        kept = ((items >= 0).all(1) & ~user_missing & ~item_missing[:, 0]).nonzero().squeeze(1)
        scores = [torch.einsum("nf,nkf->nk", *pair)[kept] for pair in zip(user, item, strict=True)]
        found_it = torch.stack([each.log_softmax(1)[:, 0] for each in scores], dim=1)
        weight = found_it.softmax(1)  # [n, I]
        mixed = torch.einsum("ni,nki->nk", weight, torch.stack(scores, dim=2))
        targets = {"items": items[kept], "weight": weight, "scores": mixed}
        for number, (of_root, of_items) in enumerate(zip(user, item, strict=True)):
            targets[f"root.{number}"] = of_root[kept]
            targets[f"item.{number}"] = of_items[kept, 0]
        return TrainingExamples((View(pairs.tokens.select(kept)),), targets, len(kept))

    def head(self, spec: GraphSpec, width: int) -> nn.ModuleDict:
        """Return the maps W_i, one per teacher for roots and one for items."""
        sides = zip(("root", "item"), self._types(spec), strict=False)
        return nn.ModuleDict(
            {
                side: nn.ModuleList(
                    Map(width, width_of(spec, node_type, each)) for each in self.teachers
                )
                for side, node_type in sides
            }
        )

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: nn.ModuleDict,
    ) -> Tensor:
        """Return the mean over roots."""
        at = corrupted.targets
        state = encoded[0].pooled(self.pool)  # [n, D]
        terms = self.states * self._unlike(state, "root", at, head)  # [n]
        if self.relation is not None:
            items = at["items"]
            vectors = model.nodes(items.flatten()).view(*items.shape, -1)  # [n, 1+K, D]
            log_q = torch.einsum("nd,nkd->nk", state, vectors) / self.temperature
            log_q = log_q.log_softmax(1)
            p = (at["scores"] / self.temperature).softmax(1)
            terms = terms - self.temperature**2 * (p * log_q).sum(1) - self.hard * log_q[:, 0]
            terms = terms + self.states * self._unlike(vectors[:, 0], "item", at, head)
        return terms.sum() / max(corrupted.count, 1)

    def _of_roots(self, examples: Examples) -> TrainingExamples:
        """Return the sequences whose roots all teachers know."""
        roots, tokens = examples.roots, examples.tokens
        if not isinstance(roots, Tensor) or roots.ndim != 1:
            raise GraphRecError("distillation", "roots that are nodes", "pairs or sets")
        assert self.node_type is not None
        vectors, missing = self._vectors(examples.graph, self.node_type, roots[examples.owner])
        kept = (~missing & (tokens.lengths() > 0)).nonzero().squeeze(1)
        weight = torch.full((len(kept), len(vectors)), 1 / len(vectors))
        targets = {f"root.{number}": each[kept] for number, each in enumerate(vectors)}
        return TrainingExamples(
            (View(tokens.select(kept)),), targets | {"weight": weight}, len(kept)
        )

    def _vectors(self, graph: Graph, node_type: str, nodes: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return each teacher's vectors of some nodes, and which nodes a teacher lacks."""
        ids = graph.nodes(node_type)
        inside = (nodes >= ids.start) & (nodes < ids.stop)
        if not bool(inside.all()):
            got = repr(graph.type_of(int(nodes[~inside][0])))
            raise GraphRecError("distillation", f"nodes of type {node_type!r}", got)
        vectors, missing = [], torch.zeros_like(inside)
        for teacher in self.teachers:
            given, absent = vectors_of_type(graph, node_type, teacher)
            row = (nodes - ids.start).to(given.device)  # tables stay on the CPU
            rows = given[row].to(nodes.device)
            vectors.append(normalize(rows, dim=-1) if self.cosine else rows)
            missing = missing | absent[row].to(nodes.device)
        return vectors, missing

    def _unlike(
        self, ours: Tensor, side: str, at: Mapping[str, Tensor], head: nn.ModuleDict
    ) -> Tensor:
        """Return the weighted mean squared distance to the teachers: ``[n]``."""
        maps = cast(nn.ModuleList, head[side])
        apart = [
            (each(ours) - at[f"{side}.{number}"]).square().mean(1)
            for number, each in enumerate(maps)
        ]
        return (torch.stack(apart, dim=1) * at["weight"]).sum(1)

    def _types(self, spec: GraphSpec) -> tuple[str, ...]:
        """Return the type of the roots, and of the items if there is a relation."""
        if self.relation is not None:
            relation = spec.relations[spec.relation_index(self.relation)]
            return relation.source, relation.target
        if self.node_type is None:
            raise GraphRecError("distillation", "a relation or a node_type", "neither")
        spec.node_index(self.node_type)
        return (self.node_type,)
