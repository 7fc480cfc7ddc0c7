"""How many tokens each root gives: what length-bucketed steps are planned by."""

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.loader import Loader
from graphrec_pt.sampling.sampler import Sampler, Sets
from graphrec_pt.tokens.linearizer import Linearizer
from graphrec_pt.training.preparation import Preparation

CHUNK = 1024


def lengths_of(
    graph: Graph,
    chosen: Sampler,
    linear: Linearizer,
    roots: Tensor | Sets,
    exclude: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Return the tokens that each root gives in epoch 0: int64 ``[n]``, at least 1.

    Exact for samplers that do not draw (histories); of the others an epoch's lengths are like
    those of another.
    """
    prepare = Preparation(graph, chosen, linear, {}, roots, exclude)
    total = torch.zeros(len(roots), dtype=torch.int64)
    loader = Loader(graph, chosen, roots, CHUNK, seed, exclude=exclude, shuffle=False)
    for batch in loader:
        examples = prepare.examples(batch._replace(key=Key(seed)))
        total.index_add_(0, batch.rows[examples.owner], examples.tokens.lengths())
    return total.clamp(min=1)
