"""What others have: sequences of other roots, sampled just like those of a batch."""

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.objectives.draws import one_of
from graphrec_pt.objectives.objective import Examples
from graphrec_pt.tokens.tokens import Tokens


def of_others(examples: Examples, words: Tensor, who: str) -> tuple[Tensor, Tokens]:
    """Return a sequence of another root of the same type for each, made in the same way.

    Any root of the type may be the other one, as likely; a type of one node gives itself.

    Args:
        examples: B sequences of roots that are nodes.
        words: int64 ``[B]``, random bits.
        who: Asks, for errors.

    Returns:
        int64 ``[n]``, the sequences of the batch that got one, ascending, and n sequences.

    Raises:
        GraphRecError: For roots that are pairs or sets.
    """
    if not isinstance(examples.roots, Tensor) or examples.roots.ndim != 1:
        raise GraphRecError(who, "roots that are nodes", "pairs or sets")
    roots, csr = examples.roots[examples.owner], examples.graph.csr
    kind = csr.node_type(roots)
    low = csr.offset[kind]
    size = csr.offset[kind + 1] - low
    others = low + (roots - low + 1 + one_of(words, (size - 1).clamp(min=1))) % size
    exclude = None if examples.exclude is None else torch.full_like(others, -1)
    tokens, owner = examples.again(others, exclude)
    first = torch.ones_like(owner, dtype=torch.bool)
    first[1:] = owner[1:] != owner[:-1]
    return owner[first], tokens.select(first.nonzero().squeeze(1))
