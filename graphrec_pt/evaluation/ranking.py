"""Full ranking of the real catalogue, a block of queries at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.negatives import Sampled
from graphrec_pt.evaluation.ranks import COMPAT, Ranks
from graphrec_pt.evaluation.scorer import Scorer
from graphrec_pt.evaluation.seen import HISTORY, SeenPolicy, seen_pairs, targets_of
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.split import Split, When
from graphrec_pt.kernels.torch.segments import ranges

CELLS = 1 << 22
"""Scores that exist at once: 16 MB in float32."""
_EXACT = 1 << 24  # integers that float32 adds up exactly


def rank_targets(
    scorer: Scorer,
    split: Split,
    when: When = "test",
    *,
    seen: SeenPolicy = "mask",
    sampled: Sampled | None = None,
    cells: int = CELLS,
) -> Ranks:
    """Rank every target among the whole catalogue of its node type.

    The rank is the expected one when ties are broken at random, so neither ids nor the order of
    the catalogue matter:

    ``rank(t) = 1 + #{v : s_v > s_t} + ½ #{v ≠ t : s_v = s_t}``, over the candidates *v*.

    Targets of one user are ranked in one list. A target that its source has met before is no
    candidate under ``"mask"`` and gets rank ∞.

    Args:
        scorer: What is evaluated; made with the same history that the split shows at `when`.
        split: Where the targets come from.
        when: Which targets.
        seen: Whether what a source has met in ``split.history(when)`` is left out or kept.
        sampled: Rank among sampled negatives instead, to reproduce an old table.
        cells: Scores that may exist at once; at least one row is always scored whole.

    Raises:
        GraphRecError: When there are no targets, and for scores of a wrong shape or with NaN.
    """
    history = split.history(when)
    relation = split.graph.schema.relation(split.relation)
    catalogue = split.graph.nodes(relation.target)
    asked = _asked(split, when)
    if not len(asked.source):
        raise GraphRecError("rank_targets", f"targets at {when}", "none", "another protocol")
    if seen not in ("mask", "keep"):
        raise GraphRecError("rank_targets", "seen 'mask' or 'keep'", repr(seen))
    negatives = None if sampled is None else sampled.draw(split, asked.source, asked.edge)
    rank = torch.empty(len(asked.source), dtype=torch.float64)
    candidates = torch.full((len(rank),), 1 + sampled.count if sampled else len(catalogue))
    for first, last, nodes, row in _blocks(asked.source, max(cells // len(catalogue), 1)):
        scores = checked_scores(scorer, nodes, split.graph, len(catalogue))
        met = seen_pairs(history, split.relation, nodes)
        for low in range(first, last, max(len(nodes), 1)):
            part = slice(low, min(low + len(nodes), last))
            rows, column = row[part.start - first : part.stop - first], asked.column[part]
            if negatives is None:
                _against_all(scores, rows, column, rank[part])
                if seen == "mask":
                    _without(scores, rows, column, met, rank[part], candidates[part])
            else:
                _against_some(scores, rows, column, negatives[part], rank[part])
    policy: dict[str, str] = {"seen": seen, "history": HISTORY[when]}
    if sampled is not None:  # what a source has met is never among its negatives
        policy |= {"seen": "mask", COMPAT: str(sampled)}
    return Ranks(_table(split, when, asked, rank, candidates), policy)


def checked_scores(scorer: Scorer, nodes: Tensor, graph: Graph, width: int) -> Tensor:
    """Return a scorer's scores ``[B, width]``, at least float32.

    Raises:
        GraphRecError: For another shape and for NaN; names the first source.
    """
    scores = scorer.scores(nodes)
    if scores.shape != (len(nodes), width) or not scores.is_floating_point():
        got = f"{scores.dtype} {list(scores.shape)}"
        raise GraphRecError("scorer", f"float scores [{len(nodes)}, {width}]", got)
    scores = scores.detach()
    # A sum shows a NaN (or infinities, which are looked at again) in one pass.
    if bool(scores.sum().isnan()):
        wrong = scores.isnan().any(1)
        if bool(wrong.any()):
            node = int(nodes[int(wrong.nonzero()[0])])
            raise GraphRecError("scorer", "scores without NaN", f"NaN for {graph.raw_id(node)!r}")
    return scores if scores.dtype in (torch.float32, torch.float64) else scores.float()


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


def _against_all(scores: Tensor, row: Tensor, column: Tensor, rank: Tensor) -> None:
    """Write the ranks among all columns: ``[n]``."""
    row, column = row.to(scores.device), column.to(scores.device)
    mine = scores[row, column].unsqueeze(1)  # [n, 1]
    alone = len(row) == len(scores) and bool(
        (row == torch.arange(len(row), device=row.device)).all()
    )
    rank.copy_(_expected(_balance(scores if alone else scores[row], mine), scores.shape[1]))


def _against_some(
    scores: Tensor, row: Tensor, column: Tensor, others: Tensor, rank: Tensor
) -> None:
    """Write the ranks among the target and its negatives ``[n, K]``."""
    row, column = row.to(scores.device), column.to(scores.device)
    against = scores[row.unsqueeze(1), others.to(scores.device)]  # [n, K]
    balance = _balance(against, scores[row, column].unsqueeze(1))
    rank.copy_(_expected(balance, others.shape[1] + 1))


def _without(
    scores: Tensor,
    row: Tensor,
    column: Tensor,
    met: tuple[Tensor, Tensor],
    rank: Tensor,
    candidates: Tensor,
) -> None:
    """Take the seen candidates out of the ranks."""
    ptr, seen = met
    count = ptr.diff()[row]
    position, target = ranges(ptr[row], count)
    theirs = scores[row[target].to(scores.device), seen[position].to(scores.device)]
    mine = scores[row.to(scores.device), column.to(scores.device)]
    sides = _compared(theirs, mine[target.to(mine.device)]).double().cpu()
    balance = torch.zeros(len(row), dtype=torch.float64).index_add_(0, target, sides)
    rank -= (balance + count) / 2
    candidates -= count
    rank[target[seen[position] == column[target]]] = torch.inf


def _balance(scores: Tensor, mine: Tensor) -> Tensor:
    """Return, for each row, how many scores lie above its own less how many lie below."""
    exact = scores.dtype if scores.shape[1] < _EXACT else torch.float64
    balance = (scores - mine).sign_().sum(1, dtype=exact)
    if bool(balance.isnan().any()):  # ∞ − ∞
        balance = _compared(scores, mine).sum(1, dtype=exact)
    return balance.double()


def _compared(scores: Tensor, mine: Tensor) -> Tensor:
    """Return 1 where a score lies above its own, −1 where below, 0 where equal."""
    return (scores > mine).to(scores.dtype) - (scores < mine).to(scores.dtype)


def _expected(balance: Tensor, candidates: int) -> Tensor:
    # With a above, b below and e others equal, C = a + b + e + 1, the rank 1 + a + e/2 is
    # (C + 1 + a − b) / 2: signs alone give it.
    return ((candidates + 1 + balance) / 2).cpu()


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
