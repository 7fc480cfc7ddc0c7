"""Choice by two sides: a user vector off the history, and the vectors of the items shown."""

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.user_attention import UserAttention
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import RequiredFields, objective
from graphrec_pt.objectives.shown import Asked, ShownChoice
from graphrec_pt.sampling.impression import HISTORY_SLOT
from graphrec_pt.tokens.kind import Kind


@objective("choice")
class Choice(ShownChoice):
    """Choose the clicked item among shown ones by ``s = u · e_i / τ``.

    ``L = −log softmax(s)[i⁺]`` over one clicked item and K that were shown and not clicked. The
    user vector u is additive attention over the history: over the item vectors themselves (NAML,
    Wu et al., IJCAI 2019), or over their states in the backbone, which lets them see each other
    (NRMS, Wu et al., EMNLP 2019). With a text featurizer on the items it is PLM-NR (Wu et al.,
    SIGIR 2021).

    Args:
        shows: Relation from lists to items.
        relation: Interaction relation whose events are lists; the first by default.
        above: Weight from which an interaction is a click; every interaction is one for None.
        clicked: Clicked items of a list at most.
        negatives: K, items that were shown and not clicked beside each.
        form: ``softmax`` or ``bce`` over the 1 + K.
        encoded: Whether the backbone encodes the history first.
        temperature: τ.
        alone: Add ``v · e_i``, a score of the item whoever the user is, like the popularity of
            PP-Rec (Qi et al., ACL 2021) but from the item's vector.
    """

    encoded: bool = True
    temperature: float = Field(1.0, gt=0)
    alone: bool = False

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their slots."""
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"type", "slot"}))

    @property
    def reads_sequences(self) -> bool:
        """Whether the backbone encodes the history."""
        return self.encoded

    def sees(self, asked: Asked) -> tuple[tuple[View, ...], dict[str, Tensor]]:
        """Return the histories, and the items to compare them with."""
        tokens = asked.tokens
        past = (tokens.kind == Kind.NODE) & (tokens.slot == HISTORY_SLOT)
        history = tokens.take(past.nonzero().squeeze(1))
        given = {"count": asked.length, "item": asked.item, "past_count": history.lengths()}
        if self.encoded:
            return (View(history),), given
        return (), {**given, "past": history.id}

    def head(self, spec: GraphSpec, width: int) -> nn.Module:
        """Return the attention over the history."""
        return UserAttention(width, width, self.alone)

    def scores(
        self,
        encoded: Sequence[Encoded],
        given: Mapping[str, Tensor],
        model: Model,
        head: UserAttention,
    ) -> Tensor:
        """Return the inner products: ``[n]``."""
        states = encoded[0].hidden if self.encoded else model.nodes(given["past"])  # [T, D]
        users = head(states, given["past_count"])  # [L, D]
        count, item = given["count"], given["item"]
        row = torch.arange(len(count), device=count.device)
        row = row.repeat_interleave(count, output_size=len(item))
        items = model.nodes(item)
        scores = (users[row] * items).sum(1)
        if head.alone is not None:
            scores = scores + head.alone(items).squeeze(1)
        divided: Tensor = scores / self.temperature
        return divided
