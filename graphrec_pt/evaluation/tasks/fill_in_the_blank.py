"""Fill in the blank: the missing member of a set among a few others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from graphrec_pt.evaluation.negatives import Sampled
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.evaluation.ranks import COMPAT, Ranks
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.evaluation.tasks.ranking import Ranking
from graphrec_pt.graph.split import Split, When
from graphrec_pt.predict.scorer import Scorer


@task("fill_in_the_blank")
class FillInTheBlank(Ranking):
    """The rank of a held-out member among members of other sets.

    ``hr@1`` is the accuracy of the fill-in-the-blank test of fashion outfits (Han et al.,
    "Learning Fashion Compatibility with Bidirectional LSTMs", ACM MM 2017), ``1 / (1 + others)``
    by chance; ties count by their expected rank. Other members are drawn uniformly by Philox, the
    same for every system, and never belong to the set. Few candidates may order systems otherwise
    than the whole catalogue does (Krichene and Rendle, KDD 2020).

    Args:
        others: Wrong candidates.
        seed: Of the draws.
    """

    metrics: ClassVar[tuple[str, ...]] = ("hr@1", "mrr")
    watch: ClassVar[str] = "hr@1"

    others: int = Field(3, ge=1)
    seed: int = Field(0, ge=0)

    def check_split(self, split: Split, metrics: Sequence[str]) -> None:
        """Accept every split: sets without enough candidates are refused where they are drawn."""

    def judge(self, system: Scorer, split: Split, when: When, policy: RankingConfig) -> Ranks:
        """Return the rank of every held-out member among the candidates."""
        sampled = Sampled(self.others, seed=self.seed)
        ranks = rank_targets(system, split, when, seen=policy.seen, sampled=sampled)
        kept = {name: value for name, value in ranks.policy.items() if name != COMPAT}
        return replace(ranks, policy=kept | {"blank": str(sampled)})

    def beyond(self, system: Scorer, split: Split, policy: RankingConfig) -> dict[str, float]:
        """Return nothing: no lists of the catalogue are made."""
        return {}
