"""Gap filling: an encoder reads a history with gaps, a decoder predicts the gaps."""

from dataclasses import replace

import torch

from graphrec_pt.models.view import View
from graphrec_pt.objectives.catalogue import NodePrediction
from graphrec_pt.objectives.masking import Masking, choose_nodes, hide
from graphrec_pt.objectives.objective import Examples, TrainingExamples, objective
from graphrec_pt.objectives.readout import QueryReadout
from graphrec_pt.tokens.join import side_by_side, specials
from graphrec_pt.tokens.kind import Special
from graphrec_pt.tokens.tokens import Tokens

DECODER = 2
"""`hop` of decoder tokens, so that ``structure: {hop: 3}`` separates them from the encoder's."""


@objective("gap_filling")
class GapFilling(NodePrediction):
    """Gap filling of GRec (Yuan et al., WWW 2020), re-derived for one transformer.

    ``L = −1/|M| Σ_{m ∈ M} log p(v_m | sequence without M, v_1 … v_{m−1})``: an encoder reads the
    sequence with gaps in both directions, a decoder reads the whole of it from left to right and
    says what stands in each gap. Both are the same layers here: the decoder's tokens follow those
    of the encoder in one sequence, see all of them and the decoder's past (mode ``prefix``), and
    have the position of the event that they predict.

    Args:
        masking: How many events are gaps; .4 in the released code.
        candidates: The loss over the nodes of a type, and its negatives.
        types: Names of the node types that may be gaps; all by default.
    """

    masking: Masking = Masking(share=0.4, everywhere=False)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return one view of encoder and decoder, and the nodes of the gaps."""
        graph, tokens = examples.graph, examples.tokens
        draws = examples.draws.named("gap_filling")
        chosen = choose_nodes(graph, tokens, draws, self.masking, self.types)
        view = with_decoder(hide(graph, tokens, chosen, draws, self.masking), tokens)
        gap = chosen.nonzero().squeeze(1)
        words = draws.named("candidates").of_tokens(tokens)[gap]
        targets = self.candidates.targets(graph, tokens, gap, words, draws)
        row = tokens.sequence_of()[gap]
        targets["token"] = view.tokens.ptr[row] + tokens.lengths()[row] + tokens.places()[gap]
        return TrainingExamples((view,), targets, len(gap))

    def readout(self) -> QueryReadout:
        """Return a ranking from the decoder's last token."""
        return QueryReadout("end", shown=_without_gaps)


def with_decoder(seen: Tokens, whole: Tokens) -> View:
    """Return encoder tokens followed by decoder tokens, which are shifted by one place.

    BOS predicts the first token of the sequence, the token after it the second, and so on.

    Args:
        seen: B sequences with gaps.
        whole: The same without gaps.
    """
    length = seen.lengths()
    last = whole.places() == whole.lengths()[whole.sequence_of()] - 1
    past = whole.take((~last).nonzero().squeeze(1))
    decoder = side_by_side([specials(Special.BOS, len(whole)), past])
    joined = side_by_side([seen, replace(decoder, hop=torch.full_like(decoder.hop, DECODER))])
    place = joined.places() - length[joined.sequence_of()]  # in the decoder, from 0
    position = torch.where(place >= 0, place, joined.position)
    return View(replace(joined, position=position), "prefix", prefix=length)


def _without_gaps(tokens: Tokens) -> View:
    return with_decoder(tokens, tokens)
