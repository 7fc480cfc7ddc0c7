"""Masked items: the cloze task of histories."""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.catalogue import Candidates
from graphrec_pt.objectives.masking import Masking
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective


@objective("masked_item")
class MaskedItem(Objective):
    """The masked language model of histories (BERT4Rec, Sun et al., CIKM 2019).

    ``L = −1/|M| Σ_{m ∈ M} log p(v_m | sequence without M)``: ``masked_node`` as BERT4Rec has
    it. Always MASK, each event by itself although its item may stand elsewhere in the history,
    ``max(1, round(ρ n))`` of n events and at most `most`; one event stays visible
    (Transformers4Rec, de Souza Pereira Moreira et al., RecSys 2021), so that a history of one
    event teaches nothing.

    Args:
        share: ρ; .2 to .6 in the paper, higher for shorter histories.
        most: Events hidden at most.
        last: Share of histories in which the last event alone is hidden, as at inference.
        candidates: What the hidden items are told from.
        types: Names of the node types that may be hidden; all by default.
    """

    share: float = Field(0.2, gt=0, le=1)
    most: int | None = Field(None, ge=1)
    last: float = Field(0.0, ge=0, le=1)
    candidates: Candidates = Candidates()
    types: tuple[str, ...] | None = None

    @property
    def nodes(self) -> Objective:
        """The same in terms of masked nodes."""
        masking = Masking(
            share=self.share, most=self.most, last=self.last, spare=1, everywhere=False
        )
        given = {"masking": masking, "candidates": self.candidates, "types": self.types}
        return objective.build({"name": "masked_node", **given})

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return self.nodes.needs

    def check(self, outline: Outline) -> None:
        """Raise for node types that the graph does not have."""
        self.nodes.check(outline)

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return one view, and the hidden items."""
        return self.nodes.corrupt(examples)

    def head(self, outline: Outline, width: int) -> ItemHead:
        """Return the head of the candidates."""
        return self.candidates.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over the hidden items."""
        return self.nodes.loss(encoded, corrupted, model, head)
