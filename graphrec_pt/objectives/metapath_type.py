"""Metapath type prediction: which metapath led to the nodes of a slot."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import FeatureHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.edge_masking import without_relations, without_slots
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.sampling.tree_batch import first_of
from graphrec_pt.tokens.kind import Kind


@objective("metapath_type")
class MetapathType(Objective):
    """Metapath type prediction of CHEST (Wang et al., TOIS 2023), re-derived.

    ``L = −log softmax(f(mean_{t ∈ ρ} h_t))_ρ``: the metapath ρ that led to the nodes of a
    slot is predicted from their pooled states. All slots are hidden, and so is the order of the
    tokens, which stand slot by slot. Relations, times and edges spell a metapath and are hidden
    too unless ``relations`` shows them. Node types stay: where two metapaths differ in theirs, as
    user–item–user–item and user–item–brand–item do, these may suffice; what is left to learn
    then are metapaths over the same types.

    Args:
        metapaths: Relation names of each metapath, in the order in which the sampler numbers its
            slots from 1.
        slots: The number of slots, instead, where they are not metapaths.
        relations: Show relations, times and edges.
    """

    metapaths: tuple[tuple[str, ...], ...] | None = Field(None, min_length=1)
    slots: int | None = Field(None, ge=1)
    relations: bool = False

    def __post_init__(self) -> None:
        if (self.metapaths is None) == (self.slots is None):
            got = "neither" if self.slots is None else "both"
            raise GraphRecError("metapath_type", "metapaths or a number of slots", got)

    @property
    def classes(self) -> int:
        """The number of metapaths."""
        return self.slots or len(self.metapaths or ())

    @property
    def needs(self) -> RequiredFields:
        """Nodes in slots."""
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"slot"}))

    def check(self, spec: GraphSpec) -> None:
        """Raise for metapaths that the graph does not have."""
        for metapath in self.metapaths or ():
            hops = [spec.relations[spec.relation_index(name)] for name in metapath]
            for one, after in pairwise(hops):
                if one.target != after.source:
                    fit = [each.name for each in spec.relations if each.source == one.target]
                    raise GraphRecError(
                        "metapath_type",
                        f"a relation from {one.target!r} after {one.name!r}",
                        repr(after.name),
                        "one of " + ", ".join(fit) if fit else "",
                    )

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view, and the nodes of every slot.

        Raises:
            GraphRecError: For slots beyond the known ones.
        """
        tokens = examples.tokens
        token = ((tokens.slot > 0) & (tokens.kind == Kind.NODE)).nonzero().squeeze(1)
        slot = tokens.slot[token]
        if len(slot) and int(slot.max()) > self.classes:
            hint = "the metapaths of the sampler"
            raise GraphRecError(
                "metapath_type", f"slots up to {self.classes}", int(slot.max()), hint
            )
        name = tokens.sequence_of()[token] * (self.classes + 1) + slot
        starts = first_of(name)
        ordered, place = torch.sort(name[starts])
        leader = token[starts][place]  # the first token of each slot, ordered by its name
        targets = {
            "token": token,
            "leader": leader[torch.searchsorted(ordered, name)],
            "path": leader,
            "slot": tokens.slot[leader] - 1,
        }
        seen = without_slots(tokens if self.relations else without_relations(tokens))
        return TrainingExamples((View(seen),), targets, len(leader))

    def head(self, spec: GraphSpec, width: int) -> FeatureHead:
        """Return a net from a pooled state to the metapaths."""
        return FeatureHead(width, self.classes)

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: FeatureHead,
    ) -> Tensor:
        """Return the mean over the slots of all sequences."""
        at, hidden = corrupted.targets, encoded[0].hidden
        total = torch.zeros_like(hidden)
        total = total.index_add(0, at["leader"], hidden.index_select(0, at["token"]))
        size = torch.zeros_like(hidden[:, 0]).index_add(
            0, at["leader"], torch.ones_like(at["leader"], dtype=hidden.dtype)
        )
        pooled = total.index_select(0, at["path"]) / size.index_select(0, at["path"]).unsqueeze(1)
        loss = cross_entropy(head(pooled), at["slot"], reduction="sum")
        return loss / max(len(at["slot"]), 1)
