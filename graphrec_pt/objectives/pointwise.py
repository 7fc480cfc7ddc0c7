"""Pointwise ranking: does this user want that item, yes or no."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import softplus

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import ItemHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.pairs import Pairs


def bce(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean of ``−(log σ(s_n) + Σ_k log σ(−s_nk)) / (1 + K)``.

    Args:
        positive: ``[n]``, logits: nothing went through a sigmoid yet.
        negative: ``[n, K]``, logits.

    Returns:
        A scalar; 0 for no rows.
    """
    terms = softplus(-positive).sum() + softplus(negative).sum()
    return terms / max(positive.numel() + negative.numel(), 1)


@objective("pointwise")
class Pointwise(Objective):
    """Binary cross-entropy (BCE) over pairs of user and item.

    ``L = −1/n(1+K) Σ_n [log σ(s(u_n, i_n)) + Σ_k log σ(−s(u_n, j_nk))]``, as in SASRec (Kang &
    McAuley, ICDM 2018) and in pre-training by side information (COM-P, Liu et al., TOIS 2023).

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
        return self.pairs.corrupt(examples, "pointwise")

    def head(self, outline: Outline, width: int) -> ItemHead:
        """Return what scores pairs; it has no weights."""
        return self.pairs.head(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: ItemHead
    ) -> Tensor:
        """Return the mean over positives and negatives alike."""
        return bce(*self.pairs.scores(encoded, corrupted.targets, model, head))
