"""Co-occurrence prior: a learned score term from item-to-item links after a history."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.links import Links, co_interaction_links, content_links, transition_links
from graphrec_pt.graph.schema import Strict
from graphrec_pt.graph.sequences import sequences
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.cooccurrence import ChannelSums, Matrices, cooccurrence
from graphrec_pt.kernels.sparse import owners
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.cooccurrence_head import CooccurrenceHead
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

Share = Annotated[float, Field(ge=0, le=1)]
Power = Annotated[float, Field(ge=0)]
_matrices: Memo[Matrices] = Memo()  # of a graph
_degrees: Memo[Tensor] = Memo()  # of a graph


class Channel(Strict):
    """One kind of item links, followed from the events of a history with decaying weights.

    Args:
        links: What came ``"after"`` or ``"before"`` an item in histories, what stood
            ``"together"`` with it, or what has like ``"content"``.
        decay: Weight of an event relative to the next later one.
        window: Largest distance of ``after`` and ``before``.
        falloff: Weights fall as ``distance^−falloff``.
        source_power: How much popular origins are damped.
        target_power: How much popular destinations are damped.
    """

    links: Literal["after", "before", "together", "content"]
    decay: Share = 0.7
    window: int = Field(5, ge=1)
    falloff: Power = 1.0
    source_power: Power = 0.5
    target_power: Power = 0.3

    def made(self, graph: Graph, relation: str, most: int) -> Links:
        """Return the links of a graph, at most a given number per item."""
        if self.links == "content":
            return content_links(graph, graph.schema.relation(relation).target, most=most)
        if self.links == "together":
            return co_interaction_links(graph, relation, power=self.source_power, most=most)
        return transition_links(
            graph,
            relation,
            window=self.window,
            falloff=self.falloff,
            order=self.links,
            source_power=self.source_power,
            target_power=self.target_power,
            most=most,
        )


def _channels() -> tuple[Channel, ...]:
    far = {"window": 50, "falloff": 0.5, "source_power": 0.7}
    return (
        Channel(links="after", decay=0.7),
        Channel(links="after", decay=0.3),
        Channel(links="after", decay=0.8, **far),
        Channel(links="before", decay=0.7),
        Channel(links="together", decay=0.7),
        Channel(links="together", decay=0.97),
        Channel(links="content", decay=0.7),
    )


class CooccurrencePrior(Strict):
    """A co-occurrence prior ``b(u, v)``: a learned term of the score from links between items.

    Channel c sums the weights of links from the latest events to v, ``K_c(u, v)``
    (:func:`~graphrec_pt.kernels.cooccurrence.cooccurrence`). A small learned function of all
    ``K_c`` is added to the score
    (:class:`~graphrec_pt.models.cooccurrence_head.CooccurrenceHead`). In training, the share of
    the links that the history itself contributed is subtracted, so that training and test see the
    same kind of input.

    Args:
        channels: Kinds of links and how fast events fade.
        relation: The interaction whose histories are counted; the graph's first by default.
        links: Links of each item at most, in each channel.
        most: Items that get a term at each place.
        inner: Width of the learned function.
        degree: Whether the function also reads how many events an item has, without the event
            that is predicted: links of popular items are worth less than those of rare ones.
    """

    channels: tuple[Channel, ...] = Field(default_factory=_channels, min_length=1)
    relation: str | None = None
    links: int = Field(100, ge=1)
    most: int = Field(128, ge=1)
    inner: int = Field(16, ge=1)
    degree: bool = False

    def head(self) -> CooccurrenceHead:
        """Return the learned function; ``seeded`` fills its weights."""
        return CooccurrenceHead(len(self.channels), self.inner, self.degree)

    def catalogue(self, graph: Graph) -> str:
        """Return the node type that gets the term."""
        return graph.schema.interaction(self.relation).target

    def at(
        self, known: Graph, tokens: Tokens, token: Tensor, target: Tensor, *, own: bool
    ) -> ChannelSums:
        """Return the sums of the channels after some tokens of histories.

        Args:
            known: The graph whose links are followed.
            tokens: The histories; tokens that are no items are passed over.
            token: int64 ``[P]``, ascending, after which the next item is asked for.
            target: int64 ``[P]``, global id of that item, −1 where nobody knows.
            own: Whether the histories are among those that the links were counted from.

        Returns:
            Sums of the C channels, and the degree as one more column where it is read.
        """
        items = known.nodes(self.catalogue(known))
        is_item = (tokens.kind == Kind.NODE) & (tokens.id >= items.start) & (tokens.id < items.stop)
        before = torch.cat([tokens.ptr.new_zeros(1), is_item.long().cumsum(0)])  # [T + 1]
        ptr = before[tokens.ptr]
        place = before[token + 1] - 1  # of the latest item at or before each token
        some = place >= ptr[tokens.sequence_of()[token]]
        wanted = torch.where(target < 0, target, target - items.start)
        sums = cooccurrence(
            tokens.id[is_item] - items.start,
            ptr,
            place[some],
            wanted[some],
            self.matrices(known),
            self._pairs(),
            own=own,
            most=self.most,
        )
        if self.degree:
            degree = self.degrees(known)[sums.item]  # [N]
            if own:
                aim = wanted[some][owners(sums.ptr, len(sums.item))]
                degree = degree - (sums.item == aim).to(degree.dtype)
            sums = sums._replace(value=torch.cat([sums.value, degree.unsqueeze(1)], dim=1))
        count = torch.zeros_like(token).index_copy(0, some.nonzero().squeeze(1), sums.ptr.diff())
        return sums._replace(ptr=torch.cat([count.new_zeros(1), count.cumsum(0)]))

    def pairs(
        self, known: Graph, tokens: Tokens, token: Tensor, target: Tensor, *, hide: bool
    ) -> dict[str, Tensor]:
        """Return the (place, item) pairs that the loss treats separately, by name.

        Args:
            known: The graph that is trained on, its histories among them.
            tokens: The histories.
            token: int64 ``[P]``, ascending.
            target: int64 ``[P]``, global ids of the items that come next.
            hide: Whether items that were met before are no candidates.
        """
        sums = self.at(known, tokens, token, target, own=True)
        earlier_row, earlier = torch.empty(0, dtype=torch.int64), sums.item[:0]
        if hide:
            items = known.nodes(self.catalogue(known))
            earlier_row, earlier = met_before(tokens, token, target)
            inside = (earlier >= items.start) & (earlier < items.stop)
            earlier_row, earlier = earlier_row[inside], earlier[inside] - items.start
        count = torch.bincount(earlier_row, minlength=len(token))
        before = torch.cat([count.new_zeros(1), count.cumsum(0)])
        # of each place first what has cooccurrence, then what was met
        row = owners(sums.ptr, len(sums.item))
        first = torch.arange(len(row)) + before[row]
        then = torch.arange(len(earlier)) + sums.ptr[earlier_row + 1]
        item = sums.item.new_empty(len(row) + len(earlier))
        item[first], item[then] = sums.item, earlier
        value = sums.value.new_zeros(len(item), sums.value.shape[1])
        value[first] = sums.value
        hidden = torch.ones(len(item), dtype=torch.bool).index_fill(0, first, False)
        named = {"ptr": sums.ptr + before, "item": item, "value": value, "hidden": hidden}
        return {f"cooccurrence.{name}": column for name, column in named.items()}

    def check(self, spec: GraphSpec) -> None:
        """Raise for a relation that the graph does not have, or that has no times."""
        relations = [r for r in spec.relations if r.interaction and not r.backward]
        names = [r.name for r in relations if r.timed]
        wanted = self.relation or (relations[0].name if relations else None)
        if wanted not in names:
            expected = "a timed interaction relation"
            hint = did_you_mean(wanted or "", names)
            raise GraphRecError("cooccurrence", expected, repr(wanted), hint)

    def matrices(self, known: Graph) -> Matrices:
        """Return the links of a graph; made once and kept as long as it."""

        def made() -> Matrices:
            relation = known.schema.interaction(self.relation).name
            return stacked([each.made(known, relation, self.links) for each in self._different()])

        shape = {"most", "inner", "degree"}
        return _matrices(known, self.model_dump_json(exclude=shape), made)

    def degrees(self, known: Graph) -> Tensor:
        """Return the number of events of each item of the catalogue: float32 ``[V]``."""

        def made() -> Tensor:
            events = sequences(known, known.schema.interaction(self.relation).name)
            return torch.bincount(torch.as_tensor(events.item), minlength=events.shape[1]).float()

        return _degrees(known, self.relation, made)

    def _different(self) -> list[Channel]:
        """Return the channels without those that differ in their decay alone."""
        return list(dict.fromkeys(map(_without_decay, self.channels)))

    def _pairs(self) -> list[tuple[int, float]]:
        """Return the number of the links and the decay of each channel."""
        different = self._different()
        return [(different.index(_without_decay(each)), each.decay) for each in self.channels]


def _without_decay(channel: Channel) -> Channel:
    return channel.model_copy(update={"decay": 1.0})


def stacked(links: list[Links]) -> Matrices:
    """Return the link matrices of one catalogue, concatenated in the kernel's layout."""
    window = max(len(each.near) // 2 for each in links)
    near = np.zeros((len(links), 2 * window + 1), np.float32)
    for row, each in zip(near, links, strict=True):
        half = len(each.near) // 2
        row[:] = each.far
        row[window - half : window + half + 1] = each.near
    before = np.cumsum([0, *(each.matrix.nnz for each in links)])
    ptr = [each.matrix.indptr + low for each, low in zip(links, before, strict=False)]
    return Matrices(
        torch.from_numpy(np.stack(ptr).astype(np.int64)),
        torch.from_numpy(np.concatenate([each.matrix.indices for each in links]).astype(np.int32)),
        torch.from_numpy(np.concatenate([each.matrix.data for each in links]).astype(np.float32)),
        torch.from_numpy(np.stack([each.left for each in links])),
        torch.from_numpy(np.stack([each.right for each in links])),
        torch.from_numpy(near),
        torch.tensor([each.far for each in links], dtype=torch.float32),
    )


def met_before(tokens: Tokens, token: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the different nodes at or before some tokens of a sequence, but for the targets.

    Args:
        tokens: The sequences.
        token: int64 ``[P]``.
        target: int64 ``[P]`` global ids.

    Returns:
        int64 ``[N]`` places in `token`, ascending, and int64 ``[N]`` global ids.
    """
    first = tokens.ptr[tokens.sequence_of()[token]]
    which, row = ranges(first, token + 1 - first)
    name = (row << 32) | tokens.id[which]
    name = torch.unique(name[(tokens.kind[which] == Kind.NODE) & (tokens.id[which] != target[row])])
    return name >> 32, name & 0xFFFFFFFF
