"""Set-wise ranking: the right candidate among others, by a match head or inside the sequence."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.adjacency import in_batch
from graphrec_pt.models.match import MATCHES, Context, MatchHead, SetMatch, Sides
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import Examples, TrainingExamples, objective
from graphrec_pt.objectives.pairs import (
    OfRelation,
    checked_relation,
    drawn_negatives,
    positives,
    relation_of,
)
from graphrec_pt.objectives.pooling import SequencePool
from graphrec_pt.objectives.readout import CatalogueReadout, Sequences
from graphrec_pt.objectives.set_losses import SetLoss
from graphrec_pt.objectives.set_negatives import How, category_negatives, check_category
from graphrec_pt.tokens.candidates import candidate_order, with_candidates
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

Match = Literal["dot", "bilinear", "additive", "cross_modal", "set"]
SOURCES = 32
"""Sources that the whole catalogue is scored for at a time."""
_images: Memo[Tensor] = Memo()  # of a graph


class Padded(NamedTuple):
    """Packed values as a table, one row a sequence.

    Args:
        value: int64 ``[n, L]``, 0 where there is none.
        there: bool ``[n, L]``.
    """

    value: Tensor
    there: Tensor


@objective("set_ranking")
class SetRanking(OfRelation):
    """Rank a set of candidates, one of which is right, after a context.

    ``match: set`` puts the candidates behind the context in the sequence: they share one position,
    see the context and one another, and the context sees none of them, so their order does not
    matter (the reranker of MESE, Yang et al., NAACL 2022). The other forms compare the context
    with the vectors of candidates (:mod:`graphrec_pt.models.match`): ``dot``, ``bilinear``,
    ``additive`` (NRMS) and ``cross_modal`` (MM-Rec).

    Every candidate may stand at any place: the right one is known by its column only to the loss.
    ``set`` also learns the first ranking, ``recall · −log softmax_V(h · e)₊``; a catalogue is
    ranked by it, and its best `rerank` items by the set, above all others.

    Args:
        relation: Leads from roots to candidates; by default the first interaction relation.
        match: How scores are made.
        negatives: K wrong candidates for each right one.
        draw: ``"uniform"``; of the same ``"category"``; or the right ones of the ``"batch"``.
        category: Relation from candidates to their categories, for ``draw: category``.
        set_loss: The loss over a set.
        pool: Where the vector of the context is read off.
        causal: Whether tokens of the context see earlier ones alone, with ``set``; as the backbone.
        images: Relation from candidates to the node of their image, for ``cross_modal``; without
            it items alone are compared.
        recall: Weight of the first ranking, for ``set``.
        rerank: Items of a first ranking that the set puts in order, for ``set``.
    """

    match: Match = "dot"
    negatives: int = Field(4, ge=1)
    draw: How = "uniform"
    category: str | None = None
    set_loss: SetLoss = Field(default_factory=SetLoss)
    pool: SequencePool = "last"
    causal: bool = False
    images: str | None = None
    recall: float = Field(0.8, ge=0)
    rerank: int = Field(100, ge=1)

    def __post_init__(self) -> None:
        if self.match == "set" and self.draw == "batch":
            got = "draw: batch"
            raise GraphRecError("set_ranking", "drawn candidates for match: set", got, "uniform")

    def check(self, spec: GraphSpec) -> None:
        """Raise for relations that the graph does not have."""
        relation = checked_relation(spec, self.relation)
        if self.draw == "category":
            check_category(spec, relation, self.category)
        if self.images is None:
            return
        target = spec.relations[spec.relation_index(relation)].target
        if spec.relations[spec.relation_index(self.images)].source != target:
            expected = f"a relation that leaves the candidates ({target!r})"
            raise GraphRecError("set_ranking.images", expected, repr(self.images))

    def lengths(self, examples: Examples) -> Tensor:
        """Return the tokens of each sequence, candidates included: int64 ``[B]``."""
        more = 1 + self.negatives if self.match == "set" else 0
        return examples.tokens.lengths() + more

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return contexts, and the candidates of each; the right one is the first."""
        graph, relation = examples.graph, relation_of(examples.graph, self.relation)
        pairs = positives(examples, relation)
        kind = graph.schema.node_index(relation.target)
        draws = examples.draws.named("set_ranking").select(pairs.row)
        right = pairs.target.unsqueeze(1)
        if self.draw == "batch":
            true = in_batch(graph.csr, pairs.source, graph.schema.slot(relation.name), pairs.target)
            there = ~true & (right != pairs.target)
            there.fill_diagonal_(True)
            nodes, column = pairs.target.repeat(len(right), 1), torch.arange(len(right))
        else:
            source, many = pairs.source, self.negatives
            if self.draw == "category":
                name, target = str(self.category), pairs.target
                wrong = category_negatives(graph, relation, source, name, target, draws, many)
            else:
                wrong = drawn_negatives(graph, relation, source, draws, many)
            nodes = torch.cat([right, torch.where(wrong < 0, right, wrong)], dim=1)  # [n, 1 + K]
            there = torch.cat([right >= 0, (wrong >= 0) & (wrong != right)], dim=1)
            column = torch.zeros_like(pairs.target)
        targets = {"node": nodes, "there": there, "right": column}
        if self.match == "set":
            tokens, at = with_candidates(pairs.tokens, nodes, kind)
            order = candidate_order(tokens, at, causal=self.causal)
            view = View(tokens, "permuted", order=order, root=pairs.source)
            context = pairs.tokens.lengths()
            targets |= {"at": at, "context": context}
        else:
            view = View(pairs.tokens, root=pairs.source)
            targets |= self._of_images(graph, pairs.tokens, kind, nodes)
        return TrainingExamples((view,), targets, len(right))

    def head(self, spec: GraphSpec, width: int) -> MatchHead:
        """Return the match head."""
        return MATCHES[self.match](width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: MatchHead
    ) -> Tensor:
        """Return the mean over contexts."""
        at, states = corrupted.targets, encoded[0]
        size = max(len(at["right"]), 1)
        if not isinstance(head, SetMatch):
            items = _vectors_of(model, at["node"])
            image, has_image = _image_vectors(model, at.get("image.candidate"), items)
            scores = head(self._context(states, at, model), Sides(items, image, has_image))
            return self.set_loss.of(scores, at["right"], at["there"]) / size
        relation = model.spec.relation_index(checked_relation(model.spec, self.relation))
        kind = model.spec.relations[relation].target
        scores = head.of_states(states.hidden[at["at"]])
        total = self.set_loss.of(scores, at["right"], at["there"])
        if self.recall:
            target = at["node"][:, 0] - model.spec.ids(kind).start
            first = _pooled(states, at["context"], self.pool) @ model.table(kind).T
            total = total + self.recall * cross_entropy(first, target, reduction="sum")
        return total / size

    def readout(self) -> CatalogueReadout:
        """Return the scores of the whole catalogue."""
        return CatalogueReadout(self._catalogue)

    def _catalogue(self, given: Sequences) -> Tensor:
        """Return the scores of the whole catalogue: ``[n, V]``."""
        model, head, kind = given.model, given.head, given.relation.target
        assert isinstance(head, MatchHead)
        table, device = model.table(kind), given.encoded.hidden.device
        if isinstance(head, SetMatch):
            first = given.encoded.pooled(self.pool) @ table.T
            return self._reranked(given, first, head)
        index = given.graph.schema.node_index(kind)
        first_id = given.graph.nodes(kind).start
        every = torch.arange(first_id, first_id + len(table))
        found = self._of_images(given.graph, given.tokens, index, every)
        at = {name: value.to(device) for name, value in found.items()}
        context = self._context(given.encoded, at, model)
        items = table.unsqueeze(0)
        candidate = at.get("image.candidate")
        one = None if candidate is None else candidate.unsqueeze(0)
        image, has_image = _image_vectors(model, one, items)
        sides = Sides(items, image, has_image)
        blocks = zip(*(torch.split(each, SOURCES) for each in context), strict=True)
        return torch.cat([head(Context(*block), sides) for block in blocks])

    def _reranked(self, given: Sequences, first: Tensor, head: SetMatch) -> Tensor:
        """Return the first ranking with its best items in the order of the set, above the rest."""
        graph, kind = given.graph, given.relation.target
        best = first.topk(min(self.rerank, first.shape[1]), dim=1).indices  # [n, R]
        nodes = best.cpu() + graph.nodes(kind).start
        tokens, at = with_candidates(given.tokens, nodes, graph.schema.node_index(kind))
        order = candidate_order(tokens, at, causal=self.causal)
        view = View(tokens, "permuted", order=order, root=given.source).to(first.device)
        scores = head.of_states(given.model.encode(view).hidden[at.to(first.device)])  # [n, R]
        low, high = scores.amin(1, keepdim=True), scores.amax(1, keepdim=True)
        share = (scores - low) / (high - low).clamp(min=1e-9)
        above = first.amax(1, keepdim=True) + 1 + share
        return first.scatter(1, best, above.to(first.dtype))

    def _of_images(
        self, graph: Graph, tokens: Tokens, kind: int, nodes: Tensor
    ) -> dict[str, Tensor]:
        """Return the items of the contexts, and the images of these and of candidates."""
        if self.match != "cross_modal":
            return {}
        of_kind = (tokens.kind == Kind.NODE) & (tokens.type == kind)
        past = _padded(tokens.id[of_kind], tokens.sequence_of()[of_kind], len(tokens))
        found = {"past": past.value, "past.there": past.there}
        if self.images is not None:
            image = _image_of(graph, self.images)
            found["image.past"] = torch.where(past.there, image[past.value], -1)
            found["image.candidate"] = image[nodes]
        return found

    def _context(self, encoded: Encoded, at: Mapping[str, Tensor], model: Model) -> Context:
        tokens, state = encoded.view.tokens, encoded.pooled(self.pool)
        every = torch.arange(len(tokens.id), device=state.device)
        place = _padded(every, tokens.sequence_of(), len(tokens))
        hidden = encoded.hidden[place.value] if len(every) else state.unsqueeze(1) * 0
        if "past" not in at:
            none = place.there[:, :0]
            return Context(state, hidden, place.there, hidden[:, :0], hidden[:, :0], none, none)
        there = at["past.there"]
        items = _vectors_of(model, at["past"])
        images, has_image = _image_vectors(model, at.get("image.past"), items)
        return Context(state, hidden, place.there, items, images, there, has_image)


def _padded(values: Tensor, row: Tensor, size: int) -> Padded:
    """Return packed values as a table with at least one column, by their ascending sequences."""
    count = torch.bincount(row, minlength=size)
    width = max(int(count.max()) if len(count) else 0, 1)
    place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    value = torch.zeros(size, width, dtype=torch.int64, device=row.device)
    there = torch.zeros(size, width, dtype=torch.bool, device=row.device)
    return Padded(value.index_put((row, place), values), there.index_put((row, place), row >= 0))


def _image_of(graph: Graph, relation: str) -> Tensor:
    """Return the first node that a relation leads to from each node, −1 for none: int64 ``[N]``."""

    def made() -> Tensor:
        csr, among = graph.csr, graph.nodes(graph.schema.relation(relation).source)
        node = torch.arange(among.start, among.stop)
        segment = csr.first_segment(node) + graph.schema.slot(relation)
        low, high = csr.segment[segment], csr.segment[segment + 1]
        some = high > low
        out = torch.full((graph.num_nodes(),), -1)
        out[node[some]] = csr.indices[low[some]].long()
        return out

    return _images(graph, (relation,), made)


def _vectors_of(model: Model, nodes: Tensor) -> Tensor:
    """Return the vectors of a table of nodes: ``[n, C, D]``."""
    return model.nodes(nodes.flatten()).view(*nodes.shape, -1)


def _image_vectors(model: Model, image: Tensor | None, items: Tensor) -> tuple[Tensor, Tensor]:
    """Return the vectors of images, 0 for none, and which there are."""
    if image is None:
        return torch.zeros_like(items), torch.zeros_like(items[..., 0], dtype=torch.bool)
    has = image >= 0
    vectors = torch.zeros_like(items)
    if bool(has.any()):
        vectors = vectors.index_put((has,), model.nodes(image[has]).to(items.dtype))
    return vectors, has


def _pooled(encoded: Encoded, length: Tensor, how: SequencePool) -> Tensor:
    """Return the vector of the first tokens of each sequence, its context: ``[n, D]``."""
    tokens = encoded.view.tokens
    own = tokens.places() < length[tokens.sequence_of()]
    kept = own.nonzero().squeeze(1)
    ptr = torch.cat([length.new_zeros(1), length.cumsum(0)])
    part = Tokens.of(tokens.id[kept], Kind.NODE, ptr)
    return Encoded(View(part), encoded.hidden[kept]).pooled(how)
