"""Full ranking of the whole catalogue, a block of queries at a time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.negatives import Sampled
from graphrec_pt.evaluation.ranks import COMPAT, Ranks
from graphrec_pt.evaluation.seen import HISTORY, targets_of
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.split import Split, When
from graphrec_pt.kernels.topk import rank as ranked
from graphrec_pt.predict.lists import CELLS
from graphrec_pt.predict.scorer import Scorer, check_numbers, checked_scores, shaped_scores
from graphrec_pt.predict.seen import SeenPolicy, seen_pairs


def rank_targets(
    scorer: Scorer,
    split: Split,
    when: When = "test",
    *,
    seen: SeenPolicy = "mask",
    sampled: Sampled | None = None,
    left_out: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
    cells: int = CELLS,
) -> Ranks:
    """Rank every target among the whole catalogue of its node type.

    The rank is the expected one when ties are broken at random, so neither ids nor the order of
    the catalogue matter:

    ``rank(t) = 1 + #{v : s_v > s_t} + ½ #{v ≠ t : s_v = s_t}``, over the candidates *v*.

    Targets of one user are ranked in one list. Under ``"mask"`` a target that its source has
    already interacted with is no candidate and gets rank ∞.

    Args:
        scorer: The evaluated system, made for ``split.history(when)``.
        split: The split with the targets.
        when: Validation or test targets.
        seen: Whether items of a source in ``split.history(when)`` are left out or kept.
        sampled: Rank among sampled negatives instead, to reproduce a published table.
        left_out: From sources int64 ``[B]`` to the candidates that ``"mask"`` leaves out, as
            pointers and columns; by default :func:`~graphrec_pt.predict.seen.seen_pairs`.
        cells: Most scores held in memory at once; at least one row is always scored.

    Raises:
        GraphRecError: When there are no targets, and for scores of a wrong shape or with NaN.

    Example:
        >>> parts = split(checkerboard(10), "leave_one_out")
        >>> popular = Popularity().fit(parts.train).on(parts.history("test"))
        >>> evaluate(rank_targets(popular, parts, "test"), ["hr@5", "mrr"])
        {'hr@5': 1.0, 'mrr': 0.25}
    """
    history = split.history(when)
    relation = split.graph.schema.relation(split.relation)
    catalogue = split.graph.nodes(relation.target)
    wanted = _asked(split, when)
    if not len(wanted.source):
        raise GraphRecError("rank_targets", f"targets at {when}", "none", "another protocol")
    if seen not in ("mask", "keep"):
        raise GraphRecError("rank_targets", "seen 'mask' or 'keep'", repr(seen))
    negatives = None if sampled is None else sampled.draw(split, wanted.source, wanted.edge)
    rank = torch.empty(len(wanted.source), dtype=torch.float64)
    candidates = torch.full((len(rank),), 1 + sampled.count if sampled else len(catalogue))
    for first, last, nodes, row in _blocks(wanted.source, max(cells // len(catalogue), 1)):
        part = slice(first, last)
        if negatives is not None:
            scores = checked_scores(scorer, nodes, split.graph, len(catalogue))
            rank[part] = _against_some(scores, row, wanted.column[part], negatives[part])
            continue
        scores = shaped_scores(scorer, nodes, len(catalogue))
        seen_items = None
        if seen == "mask":
            seen_items = left_out(nodes) if left_out else seen_pairs(history, split.relation, nodes)
        ranks = ranked(scores, row, wanted.column[part], seen_items)
        check_numbers(ranks.rank, nodes[row], split.graph)
        rank[part], candidates[part] = ranks
    policy: dict[str, str] = {"seen": seen, "history": HISTORY[when]}
    if sampled is not None:  # negatives never include items of the source
        policy |= {"seen": "mask", COMPAT: str(sampled)}
    return Ranks(_table(split, when, wanted, rank, candidates), policy)


class _Asked(NamedTuple):
    """Targets, each once, ordered by source."""

    source: Tensor  # int64 [n] global ids
    column: Tensor  # int64 [n] counted from the first candidate
    edge: Tensor  # int64 [n]


def _asked(split: Split, when: When) -> _Asked:
    targets = targets_of(split, when)
    catalogue = split.graph.nodes(split.graph.schema.relation(split.relation).target)
    key = targets.source * len(catalogue) + targets.target - catalogue.start
    pairs, at = torch.unique(key, return_inverse=True)
    edge = torch.full_like(pairs, torch.iinfo(torch.int64).max)
    edge.scatter_reduce_(0, at, targets.edge, "amin")
    return _Asked(pairs // len(catalogue), pairs % len(catalogue), edge)


def _blocks(source: Tensor, rows: int) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """Yield (first, last) target, the sources and the row of each target, block by block."""
    nodes, count = torch.unique_consecutive(source, return_counts=True)
    end = count.cumsum(0)
    for low in range(0, len(nodes), rows):
        of_block = count[low : low + rows]
        last = int(end[low + len(of_block) - 1])
        row = torch.arange(len(of_block)).repeat_interleave(of_block)
        yield last - len(row), last, nodes[low : low + rows], row


def _against_some(scores: Tensor, row: Tensor, column: Tensor, others: Tensor) -> Tensor:
    """Return the ranks among the target and its negatives: ``[n]`` for negatives ``[n, K]``."""
    both = torch.cat([column.unsqueeze(1), others], dim=1)  # [n, 1 + K]
    against = scores[row.to(scores.device).unsqueeze(1), both.to(scores.device)]
    return ranked(against, torch.arange(len(row)), torch.zeros_like(row)).rank


def _table(
    split: Split, when: When, asked: _Asked, rank: Tensor, candidates: Tensor
) -> pl.DataFrame:
    relation = split.graph.schema.relation(split.relation)
    users, items = split.graph.tables[relation.source], split.graph.tables[relation.target]
    at = (asked.source - split.graph.nodes(relation.source).start).numpy()
    return pl.DataFrame(
        {
            "split": pl.Series([when]).new_from_index(0, len(rank)),
            "user": users[RAW_ID].gather(at),
            "item": items[RAW_ID].gather(asked.column.numpy()),
            "rank": rank.numpy(),
            "candidates": candidates.numpy(),
        }
    )
