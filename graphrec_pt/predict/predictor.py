"""The predictor: scores, rankings, values and paths of a trained model.

Evaluation, serving, exports and the command line all use this class. A predictor computes the
vectors of items once, so make a new one after the weights have changed. Everything runs in blocks:
memory holds the scores of the whole catalogue for a few sources at a time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import trusting
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.store import open_graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.cooccurrence import CooccurrencePrior
from graphrec_pt.objectives.readout import (
    CatalogueReadout,
    CategoryReadout,
    PairReadout,
    PathReadout,
    QueryReadout,
    Value,
)
from graphrec_pt.objectives.spelled import SpelledReadout
from graphrec_pt.predict.lists import Lists, best_of
from graphrec_pt.predict.paths import PathScorer
from graphrec_pt.predict.reading import (
    KNOWN,
    NEW,
    READS_SEQUENCES,
    Reading,
    graph_without_edges,
    with_mask,
)
from graphrec_pt.predict.rerank import CatalogueScorer, PairScorer
from graphrec_pt.predict.scorer import Factorised, Scorer, WithPrior, chances
from graphrec_pt.predict.seen import SeenPolicy, seen_pairs
from graphrec_pt.predict.spelled import SpelledScorer
from graphrec_pt.predict.taught import Found, Taught
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.training.stage import Stage

BLOCK = 256
"""Sources encoded at once."""
MODEL, HISTORY = "model", "history"
"""Folders of a run: the trained model, and the graph that it may see."""
Histories = Sequence[Tensor]
"""Sources outside the graph: for each, the global ids of its items, int64 ``[n]``, oldest first."""


class RunLike(Protocol):
    """A finished run: a folder with a model and the graph that it may see."""

    @property
    def folder(self) -> Path:
        """Where it is."""
        ...


class Predictor:
    """Predicts with a trained model, as its last stage taught it.

    Args:
        model: Trained or loaded.
        graph: The history graph of sources and candidates; without one, sources must be histories.
        stage: The last stage of the training; by default the stage that is saved in the model.
        relation: The relation to predict; by default that of the saved stage, else the first
            interaction relation.
        trust_code: Allow the saved stage to name code outside the library, which is then run.

    Raises:
        GraphRecError: For an untrained model without a stage.

    Example:
        >>> predictor = Predictor.load("runs/sasrec")
        >>> best = predictor.rank(torch.tensor([3, 17]), k=10)
        >>> best.items.shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        model: Model,
        graph: Graph | None = None,
        *,
        stage: Stage | None = None,
        relation: str | None = None,
        trust_code: bool = False,
    ) -> None:
        with trusting(trust_code):
            taught = Taught.of(model, stage)
        graph = graph_without_edges(model) if graph is None else graph
        if not model.bound:
            model.attach_graph(graph)
        name = relation or taught.relation
        found = graph.schema.interaction() if name is None else graph.schema.relation(name)
        self.reading = Reading(model, taught, graph, found)

    @classmethod
    def load(
        cls, source: str | Path | RunLike, *, graph: Graph | None = None, trust_code: bool = False
    ) -> Self:
        """Return the predictor of a saved model.

        Args:
            source: A run, its folder, or the folder of a saved model.
            graph: The history graph; by default the graph of the run.
            trust_code: Allow the model's configs to name code outside the library, which is then
                run.

        Raises:
            GraphRecError: When there is no saved model.
        """
        folder = Path(source) if isinstance(source, str | Path) else source.folder
        if (folder / MODEL).is_dir():
            graph = open_graph(folder / HISTORY) if graph is None else graph
            folder = folder / MODEL
        model = Model.from_pretrained(folder, trust_code=trust_code)
        return cls(model, graph, trust_code=trust_code)

    @property
    def model(self) -> Model:
        """The trained model."""
        return self.reading.model

    @property
    def graph(self) -> Graph:
        """What may be seen."""
        return self.reading.graph

    @property
    def prior(self) -> CooccurrencePrior | None:
        """The co-occurrence prior that is added to the inner products, if there is one."""
        readout = self.reading.taught.ranking().readout
        return readout.prior if isinstance(readout, QueryReadout) else None

    def scorer(self, sources: Tensor | Histories) -> Scorer:
        """Return a scorer of the whole catalogue for some sources, which can be called repeatedly.

        Args:
            sources: int64 ``[Q]`` global ids, ascending; or histories, which the scorer numbers
                from 0.

        Raises:
            GraphRecError: For a model that ranks nothing or has no head; for histories that it
                cannot read.
        """
        found = self.reading.taught.ranking()
        if isinstance(found.readout, QueryReadout):
            return self._products(found, found.readout, sources)
        if not isinstance(sources, Tensor):
            raise GraphRecError("model", KNOWN, NEW, READS_SEQUENCES)
        if isinstance(found.readout, PairReadout):
            return PairScorer(self.reading, found)
        if isinstance(found.readout, PathReadout):
            return PathScorer(self.reading, found)
        if isinstance(found.readout, CatalogueReadout):
            return CatalogueScorer(self.reading, found)
        if isinstance(found.readout, SpelledReadout):
            return SpelledScorer(self.reading, found)
        got = type(found.readout).__name__
        raise GraphRecError("readout", "a subclass of a readout that ranks", got)

    def score(self, sources: Tensor | Histories, candidates: Tensor | None = None) -> Tensor:
        """Return scores; they are comparable within one source only.

        Args:
            sources: int64 ``[B]`` global ids, or B histories.
            candidates: int64 ``[B, K]`` or ``[K]`` global ids; the whole catalogue by default.

        Returns:
            ``[B, K]``, or ``[B, V]`` in the order of the ids.
        """
        scorer, names, row = self._asked(sources)
        if candidates is None:
            parts = [scorer.scores(block) for block in torch.split(names, BLOCK)]
            empty = torch.empty(0, len(self.reading.items))
            return torch.cat(parts)[row.to(parts[0].device)] if parts else empty
        column = self._columns(candidates).expand(len(row), -1)
        found = torch.empty(column.shape)
        for low in range(0, len(names), BLOCK):
            scores = scorer.scores(names[low : low + BLOCK])
            mine = ((row >= low) & (row < low + BLOCK)).nonzero().squeeze(1)
            at = (row[mine] - low).to(scores.device)
            found[mine] = scores[at].gather(1, column[mine].to(scores.device)).float().cpu()
        return found

    def rank(
        self,
        sources: Tensor | Histories,
        k: int,
        *,
        seen: SeenPolicy = "mask",
        among: Tensor | None = None,
    ) -> Lists:
        """Return the best candidates of each source; equal scores go to the lower id.

        Args:
            sources: int64 ``[B]`` global ids, or B histories.
            k: How many.
            seen: Whether items that a source has interacted with are left out or kept.
            among: int64 ``[n]`` global ids of the candidates; the whole catalogue by default.

        Raises:
            GraphRecError: When `k` is below 1 or larger than the catalogue.
        """
        reading, (scorer, names, row) = self.reading, self._asked(sources)
        left_out = self._seen(sources, names) if seen == "mask" else None
        mask = None
        if among is not None:
            mask = torch.zeros(len(reading.items), dtype=torch.bool)
            mask[self._columns(among)] = True
        name = reading.relation.name
        best = best_of(scorer, reading.graph, name, names, k, left_out=left_out, among=mask)
        asked = names if not isinstance(sources, Tensor) else sources
        return Lists(asked, best.items[row], best.score[row], best.catalogue, best.start)

    def rerank(self, source: int, candidates: Tensor) -> Tensor:
        """Return some candidates of a source, best first; equal scores keep their order.

        Args:
            source: Global id.
            candidates: int64 ``[K]`` global ids.
        """
        scores = self.score(torch.tensor([source]), candidates)[0]
        return candidates[torch.sort(scores.cpu(), descending=True, stable=True).indices]

    def rate(self, pairs: Tensor, value: Value = "number") -> Tensor:
        """Return the predicted value of each pair.

        Args:
            pairs: int64 ``[n, 2]`` global ids of sources and candidates.
            value: A ``"number"``, such as a rating, or a ``"chance"``, such as that of a click.

        Returns:
            float64 ``[n]``.

        Raises:
            GraphRecError: For a model that predicts no such value.
        """
        found = self.reading.taught.rating(value)
        if isinstance(found.readout, PairReadout):
            return PairScorer(self.reading, found).values(pairs)
        if isinstance(found.readout, SpelledReadout):
            return SpelledScorer(self.reading, found).values(pairs)
        return self._chances(found, pairs)

    def membership(self, pairs: Tensor) -> Tensor:
        """Return the chance that each candidate is in the set of its source: float64 ``[n]``.

        Args:
            pairs: int64 ``[n, 2]`` global ids of sources and candidates.

        Raises:
            GraphRecError: For a model that predicts no sets.
        """
        return self._chances(self.reading.taught.setting(), pairs)

    def classify(self, roots: Tensor) -> Tensor:
        """Return the chance of each category of some nodes: ``[B, C]``.

        Args:
            roots: int64 ``[B]`` global ids.

        Raises:
            GraphRecError: For a model that predicts no categories.
        """
        reading = self.reading
        found = reading.taught.first(CategoryReadout, "an objective that predicts a category")
        readout, head = found.readout, reading.head(found)
        assert isinstance(readout, CategoryReadout)
        parts = []
        with reading.at_rest():
            for block in torch.split(roots, BLOCK):
                tokens = readout.shown(reading.tokens(block), block)
                parts.append(readout.chances(reading.encode(View(tokens), block), head))
        return torch.cat(parts).cpu() if parts else torch.empty(0, 0)

    def paths(self, sources: Tensor, items: Tensor | None = None, *, k: int = 10) -> Paths:
        """Return the best decoded path from each source to each item, where there is one.

        Args:
            sources: int64 ``[B]`` global ids.
            items: int64 ``[B, K]`` global ids; the `k` best ones by default.
            k: How many items, where none are given.

        Returns:
            At most one path for each of B·K roots.

        Raises:
            GraphRecError: For a model that decodes no paths.
        """
        taught = self.reading.taught
        found = taught.first(PathReadout, "an objective that decodes paths")
        if items is None:
            best = self.rank(sources, k)
            items = best.items.clamp(min=best.start)
        return PathScorer(self.reading, found).paths(sources, items)

    def _asked(self, sources: Tensor | Histories) -> tuple[Scorer, Tensor, Tensor]:
        """Return a scorer, its numbers of the distinct sources, and the index of each source."""
        if isinstance(sources, Tensor):
            names, row = torch.unique(sources, return_inverse=True)
            return self.scorer(names), names, row
        number = torch.arange(len(sources))
        return self.scorer(sources), number, number

    def _seen(self, sources: Tensor | Histories, names: Tensor) -> tuple[Tensor, Tensor]:
        """Return pointers and columns of the items that each source has interacted with."""
        if isinstance(sources, Tensor):
            return seen_pairs(self.graph, self.reading.relation.name, names)
        columns = [torch.unique(self._columns(history)) for history in sources]
        count = torch.tensor([0, *(len(past) for past in columns)])
        return count.cumsum(0), torch.cat([torch.empty(0, dtype=torch.int64), *columns])

    def _columns(self, items: Tensor) -> Tensor:
        """Return candidates counted from the first of their type.

        Raises:
            GraphRecError: For nodes that are no candidates.
        """
        catalogue = self.reading.items
        wrong = (items < catalogue.start) | (items >= catalogue.stop)
        if bool(wrong.any()):
            expected = f"nodes of type {self.reading.relation.target!r}"
            hint = "transfer(model, graph) for items that came after the training"
            raise GraphRecError("candidates", expected, f"node {int(items[wrong][0])}", hint)
        return items - catalogue.start

    def _chances(self, found: Found, pairs: Tensor) -> Tensor:
        """Return ``σ(s(u, i))`` of pairs: float64 ``[n]``."""
        source, column = pairs[:, 0].contiguous(), self._columns(pairs[:, 1])
        assert isinstance(found.readout, QueryReadout)
        scorer = self._products(found, found.readout, torch.unique(source))
        return chances(scorer, source, column)

    def _products(
        self, found: Found, readout: QueryReadout, sources: Tensor | Histories
    ) -> Factorised | WithPrior:
        """Return the inner products of the vectors of sources with those of all items."""
        reading = self.reading
        head = reading.head(found)
        names = sources if isinstance(sources, Tensor) else torch.arange(len(sources))
        vectors, added = [], []
        with reading.at_rest():
            table = reading.model.table(reading.relation.target)  # first: blocks look it up
            for block in torch.split(names, BLOCK):
                if readout.where == "vector":
                    if not isinstance(sources, Tensor):
                        raise GraphRecError("model", KNOWN, NEW, READS_SEQUENCES)
                    vectors.append(reading.model.nodes(block.to(reading.device)))
                    continue
                tokens = self._sequences(readout, block, sources)
                root = block if isinstance(sources, Tensor) else torch.full_like(block, -1)
                encoded = reading.encode(readout.view(tokens), root)
                vectors.append(readout.query(encoded, tokens, reading.item_type))
                if readout.prior is not None:
                    added.append(
                        self._prior(readout.prior, head.get_submodule("cooccurrence"), tokens)
                    )
            empty = torch.empty(0, reading.model.width, device=reading.device)
            sides = readout.sides(head)
            left, right = sides.sides(torch.cat(vectors or [empty]), table)
        bias = None if sides.bias is None else sides.bias.detach()
        plain = Factorised(names, left / sides.temperature, right, bias)
        if not added:
            return plain
        count, item, value = (torch.cat(part) for part in zip(*added, strict=True))
        return WithPrior(plain, torch.cat([count.new_zeros(1), count.cumsum(0)]), item, value)

    def _sequences(
        self, readout: QueryReadout, block: Tensor, sources: Tensor | Histories
    ) -> Tokens:
        """Return the sequence of each source, with a MASK at the end if the readout reads one."""
        reading, asks = self.reading, readout.where == "end"
        taught = reading.taught.with_room() if asks else reading.taught
        if isinstance(sources, Tensor):
            tokens = reading.tokens(block, taught=taught)
        else:
            histories = [sources[n] for n in block.tolist()]
            tokens = reading.tokens_of_events(histories, taught=taught)
        return with_mask(tokens, reading.item_type) if asks else tokens

    def _prior(
        self, term: CooccurrencePrior, head: torch.nn.Module, tokens: Tokens
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the items with a prior term after each sequence: counts, items, terms."""
        known = self.model.graph or self.graph
        some = (tokens.lengths() > 0).nonzero().squeeze(1)
        last = tokens.ptr[1:][some] - 1
        links = term.at(known, tokens, last, torch.full_like(last, -1), own=False)
        count = torch.zeros_like(tokens.ptr[1:]).index_copy(0, some, links.ptr.diff())
        return count, links.item, head(links.value.to(self.reading.device))
