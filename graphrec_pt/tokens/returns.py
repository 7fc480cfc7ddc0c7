"""Histories with a return-to-go prompt before every event, for reward-conditioned models."""

from dataclasses import replace
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.linearizer import (
    Linearizer,
    ProvidedFields,
    check_sample,
    linearizer,
    makes,
)
from graphrec_pt.tokens.tokens import Tokens

_NONE = {"type": -1, "hop": -1, "relation": -1, "time": NO_TIME}
"""Values of the other columns at a prompt token."""
_means: Memo[float] = Memo()  # of a graph


@linearizer("returns")
class Returns(Linearizer):
    """``R_1 v_1 R_2 v_2 … R_n v_n R*``: the reward prompts of PRL (Xin et al., SIGIR 2022).

    ``R_t = Σ_k γ^k r_{t+k}`` is the return of a history from event t on. A prompt token, one of K
    buckets of equal width, holds it before the event and shares the event's position, the step.
    So ``next_item`` learns the next event *given* a return, at every step in one pass, from a
    token that sees all earlier steps. The last token is the wanted return: μ times the mean return
    of all events of the graph. Re-derived: PRL uses the mean of the step, and attends from
    one prompt for each state; sequences of rewards, states and actions are those of the Decision
    Transformer (Chen et al., NeurIPS 2021).

    Args:
        rewards: Relation → reward r of its events; others have 0. PRL has .2 for a click, 1 for
            a purchase.
        weighted: Multiply r by the weight of the edge, such as a rating.
        discount: γ.
        buckets: K; the model needs at least as many `prompts`.
        most: Lower bound of the last bucket.
        aim: μ.
        window: Events at most, the latest ones; all by default.
    """

    rewards: dict[str, float] = Field(min_length=1)
    weighted: bool = False
    discount: float = Field(0.5, ge=0, le=1)
    buckets: int = Field(16, ge=1)
    most: float = Field(gt=0)
    aim: float = Field(1.0, gt=0)
    window: int | None = Field(None, ge=1)

    @property
    def makes(self) -> ProvidedFields:
        """Nodes with times and relations, and prompts."""
        return makes([Kind.NODE, Kind.PROMPT], "slot", "hop", "relation", "time")

    @property
    def names_root(self) -> bool:
        """False: sequences hold events and prompts only."""
        return False

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences of twice their events and one more token."""
        sample = check_sample("returns", sample, Subgraphs)
        numbered = replace(sample, slot=torch.arange(len(sample.node)))
        past = linearizer.build({"name": "history", "window": self.window})
        events = past.linearize(graph, numbered, key)
        at, row = events.slot, events.sequence_of()
        reward = self._rewards(graph, sample.relation[at], sample.position[at])
        gained = self._bucket(returns_to_go(reward, row, self.discount))  # [T]
        wanted = self._bucket(torch.tensor([self.aim * self._mean(graph)]))
        count, place = events.lengths(), events.places()
        ptr = torch.cat([count.new_zeros(1), (2 * count + 1).cumsum(0)])
        asking, found, last = ptr[row] + 2 * place, ptr[row] + 2 * place + 1, ptr[1:] - 1
        size = 2 * len(at) + len(count)

        def laid(events: Tensor, rest: int) -> Tensor:
            return torch.full((size,), rest).index_copy(0, found, events)

        id = laid(events.id, 0).index_copy(0, asking, gained)
        position = laid(place, 0).index_copy(0, asking, place)
        columns = {name: getattr(events, name) for name in ("type", "hop", "relation", "time")}
        return Tokens.of(
            id.index_copy(0, last, wanted.expand(len(count))),
            laid(torch.full_like(at, Kind.NODE), Kind.PROMPT),
            ptr,
            position=position.index_copy(0, last, count),
            slot=laid(sample.slot[at], 0),
            **{name: laid(value, _NONE[name]) for name, value in columns.items()},
        )

    def _rewards(self, graph: Graph, relation: Tensor, position: Tensor) -> Tensor:
        """Return r of events: float64 ``[n]``; an edge without a weight counts as one of 1."""
        schema = graph.schema
        of = torch.zeros(len(schema.relations) + 1, dtype=torch.float64)  # the last for none
        for name, value in self.rewards.items():
            of[schema.relation_index(name)] = value
        reward = of[relation]
        if not self.weighted:
            return reward
        if graph.csr.weight is None:
            raise GraphRecError("returns", "weighted edges", "none", "weighted: false")
        weight = graph.csr.weight[position.clamp(min=0)].double().nan_to_num(1.0)
        return reward * torch.where(position < 0, 1.0, weight)

    def _mean(self, graph: Graph) -> float:
        """Return the mean return of all events of a graph, 0 for none."""
        return _means(graph, repr(self), lambda: self._of_all(graph))

    def _of_all(self, graph: Graph) -> float:
        edges = [graph.edges(name) for name in self.rewards]
        source = torch.cat([part.source for part in edges])
        if not len(source):
            return 0.0
        none = [torch.full_like(part.source, NO_TIME) for part in edges]
        times = [n if part.time is None else part.time for part, n in zip(edges, none, strict=True)]
        relation = torch.cat(
            [
                torch.full_like(part.source, graph.schema.relation_index(name))
                for name, part in zip(self.rewards, edges, strict=True)
            ]
        )
        reward = self._rewards(graph, relation, torch.cat([part.position for part in edges]))
        order = torch.argsort(torch.cat(times), stable=True)
        order = order[torch.argsort(source[order], stable=True)]
        return float(returns_to_go(reward[order], source[order], self.discount).mean())

    def _bucket(self, value: Tensor) -> Tensor:
        """Return the bucket of returns: int64 ``[n]``."""
        return (value / self.most * self.buckets).floor().long().clamp(0, self.buckets - 1)


def returns_to_go(reward: Tensor, owner: Tensor, discount: float) -> Tensor:
    """Return the discounted return from every event on: ``R_t = r_t + γ R_{t+1}``.

    Args:
        reward: ``[n]``, those of one owner side by side and in order.
        owner: Integers ``[n]``, never falling.
        discount: γ.

    Returns:
        ``[n]``.
    """
    ends = torch.searchsorted(owner, owner, right=True)
    left = ends - torch.arange(len(owner), device=owner.device) - 1  # events after it
    total = reward.clone()
    by_left = torch.argsort(left, stable=True)
    bounds = torch.bincount(left).cumsum(0).tolist() if len(left) else []
    for low, high in pairwise(bounds):
        at = by_left[low:high]  # as many events after each; the next one is done
        total[at] += discount * total[at + 1]
    return total
