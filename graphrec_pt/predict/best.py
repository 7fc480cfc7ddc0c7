"""The k best candidates of many sources when the catalogue is large: blocks of inner products.

Inner products, a bias and a sparse prior are ranked without the scores of the whole catalogue in
memory. Other scorers fall back to :func:`~graphrec_pt.predict.lists.best_of`.
"""

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.predict.lists import Lists, best_of
from graphrec_pt.predict.scorer import Factorised, Scorer, WithPrior

Pairs = tuple[Tensor, Tensor]
"""Pointers int64 ``[Q + 1]`` and candidates int64 ``[S]``, counted from the first of their type."""
CELLS = 1 << 22
"""Inner products that exist at once: 16 MB in float32."""


def best_lists(
    scorer: Scorer,
    graph: Graph,
    relation: str,
    nodes: Tensor,
    k: int,
    *,
    left_out: Pairs | None = None,
    among: Tensor | None = None,
) -> Lists:
    """Return the best candidates of each source; equal scores go to the lower id.

    Args:
        scorer: The system that recommends.
        graph: The graph of the candidates.
        relation: The relation to recommend for.
        nodes: int64 ``[Q]``, sources as the scorer numbers them, ascending.
        k: How many; places without a candidate hold −1.
        left_out: Candidates that a source must not get.
        among: bool ``[V]``, the allowed candidates; all by default.

    Raises:
        GraphRecError: When `k` is below 1 or larger than the catalogue, and for vectors that are
            not finite.
    """
    catalogue = graph.nodes(graph.schema.relation(relation).target)
    if not 1 <= k <= len(catalogue):
        raise GraphRecError("recommend", f"1 <= k <= {len(catalogue)}, the catalogue", k)
    plain = scorer.plain if isinstance(scorer, WithPrior) else scorer
    if not isinstance(plain, Factorised):
        return best_of(scorer, graph, relation, nodes, k, left_out=left_out, among=among)
    row, item = _pairs(left_out, plain.table.device)
    blocked = row, item
    if isinstance(scorer, WithPrior):
        at = torch.searchsorted(plain.nodes, nodes)
        place, owner = ranges(scorer.ptr[at], scorer.ptr[at + 1] - scorer.ptr[at])
        linked, term = scorer.item[place].long(), scorer.term[place.to(scorer.term.device)]
        owner, linked = owner.to(row.device), linked.to(row.device)
        blocked = torch.cat([row, owner]), torch.cat([item, linked])  # scored apart, below
    score, best = _products(plain, nodes, k, blocked, among)
    if isinstance(scorer, WithPrior) and len(linked):
        keep = _not_among(owner * len(catalogue) + linked, row * len(catalogue) + item)
        if among is not None:
            keep &= among.to(linked.device)[linked]
        owner, linked, term = owner[keep], linked[keep], term.to(row.device)[keep]
        sum_ = plain.pairs(nodes[owner.to(nodes.device)], linked) + term.to(score)
        score, best = _merged(score, best, owner, linked, sum_)
    score, best = score.float().cpu(), best.cpu()
    items = torch.where(best < 0, best, best + catalogue.start)
    return Lists(nodes, items, score, len(catalogue), catalogue.start)


def _products(
    plain: Factorised, nodes: Tensor, k: int, blocked: Pairs, among: Tensor | None
) -> Pairs:
    """Return the k best inner products ``[Q, k]`` and their columns, block by block."""
    queries, table, bias = plain.of(nodes), plain.table, plain.bias
    for name, vectors in (("queries", queries), ("items", table)):
        finite = torch.isfinite(vectors).all(dim=1)
        if not bool(finite.all()):
            raise GraphRecError("topk", f"finite {name}", f"row {int((~finite).nonzero()[0])}")
    columns = None
    row, item = blocked
    if among is not None:
        columns = among.to(table.device).nonzero().squeeze(1)
        table, bias = table[columns], None if bias is None else bias[columns]
        position = torch.full((len(among),), -1, device=table.device)
        position[columns] = torch.arange(len(columns), device=table.device)
        kept = position[item] >= 0
        row, item = row[kept], position[item[kept]]
    item, order = torch.sort(item, stable=True)
    row = row[order]
    score = queries.new_full((len(queries), k), -torch.inf)
    best = torch.full_like(score, -1, dtype=torch.int64)
    merge, block = body("topk", queries), max(CELLS // max(len(queries), 1), 1024)
    for low in range(0, len(table), block):
        part = queries @ table[low : low + block].T  # [Q, block]
        if bias is not None:
            part += bias[low : low + block]
        bounds = torch.tensor([low, low + block], device=item.device)
        first, last = torch.searchsorted(item, bounds).tolist()
        part[row[first:last], item[first:last] - low] = -torch.inf
        score, best = merge(part.contiguous(), low, score, best)
    if columns is not None and len(columns):
        best = torch.where(best < 0, best, columns[best.clamp(min=0)])
    return score, best


def _merged(score: Tensor, best: Tensor, row: Tensor, item: Tensor, added: Tensor) -> Pairs:
    """Return the k best of ``[Q, k]`` and further pairs; equal scores go to the lower item."""
    queries, k = score.shape
    rows = torch.arange(queries, device=row.device).repeat_interleave(k)
    owner = torch.cat([rows, row])
    columns, scores = torch.cat([best.reshape(-1), item]), torch.cat([score.reshape(-1), added])
    alive = columns >= 0
    owner, columns, scores = owner[alive], columns[alive], scores[alive]
    # Three stable sorts, the last key first: by source, then falling score, then column.
    for key, falling in ((1, False), (2, True), (0, False)):
        ordered = (owner, columns, scores)[key]
        order = torch.sort(ordered, descending=falling, stable=True).indices
        owner, columns, scores = owner[order], columns[order], scores[order]
    first = torch.searchsorted(owner, torch.arange(queries, device=owner.device))
    place = torch.arange(len(owner), device=owner.device) - first[owner]
    top = place < k
    new_score = torch.full_like(score, -torch.inf)
    new_best = torch.full_like(best, -1)
    new_score[owner[top], place[top]] = scores[top]
    new_best[owner[top], place[top]] = columns[top]
    return new_score, new_best


def _pairs(left_out: Pairs | None, device: torch.device) -> Pairs:
    """Return the row and the column of each pair that is left out."""
    if left_out is None:
        none = torch.empty(0, dtype=torch.int64, device=device)
        return none, none
    ptr, column = left_out
    row = ranges(ptr[:-1], ptr.diff())[1]
    return row.to(device), column.to(device)


def _not_among(pairs: Tensor, others: Tensor) -> Tensor:
    return ~torch.isin(pairs, others)


def joined(first: Pairs, second: Pairs) -> Pairs:
    """Return the pairs of both, each once, ascending in every row."""
    rows = [ranges(ptr[:-1], ptr.diff())[1] for ptr, _ in (first, second)]
    row, column = torch.cat(rows), torch.cat([first[1], second[1]])
    width = int(column.max()) + 1 if len(column) else 1
    both = torch.unique(row * width + column)
    count = torch.bincount(both // width, minlength=len(first[0]) - 1)
    return torch.cat([count.new_zeros(1), count.cumsum(0)]), both % width
