"""Pairwise ranking: the item that was chosen before one that was not."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import softplus

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.pairs import Pairs


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean of ``−log σ(s_n − s_nk)``: Bayesian personalised ranking.

    Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009.

    Args:
        positive: ``[n]``, scores.
        negative: ``[n, K]``, scores.

    Returns:
        A scalar; 0 for no rows.
    """
    terms = softplus(negative - positive.unsqueeze(1))
    return terms.sum() / max(terms.numel(), 1)


@objective("pairwise")
class Pairwise(Objective):
    """Bayesian personalised ranking (BPR) over pairs of user and item.

    ``L = −1/nK Σ_n Σ_k log σ(s(u_n, i_n) − s(u_n, j_nk))`` (Rendle et al., UAI 2009), as in
    pre-training by side information (COM-P, Liu et al., TOIS 2023) and graph recommenders.

    Args:
        pairs: Which pairs are scored, and how.
    """

    pairs: Pairs = Pairs()

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots, where sequences are read."""
        return self.pairs.needs

    def check(self, outline: Outline) -> None:
        """Raise when the graph does not have the relation."""
        self.pairs.check(outline)

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return the sequences, what each is to be matched with, and what it is not."""
        return self.pairs.corrupt(examples, "pairwise")

    def head(self, outline: Outline, width: int) -> ItemHead:
        """Return what scores pairs; it has no weights."""
        return self.pairs.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over positives and their negatives."""
        return bpr(*self.pairs.scores(encoded, corrupted.targets, model, head))
