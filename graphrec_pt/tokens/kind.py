"""The five kinds of token, each with its own id space, and the special tokens."""

from enum import IntEnum

IGNORE = -100
"""`labels` where nothing is to be predicted: what cross-entropy in torch leaves out."""


class Kind(IntEnum):
    """The id space that a token's id belongs to."""

    NODE = 0
    """Global node ids of the graph."""
    RELATION = 1
    """Relation indices of the schema."""
    TEXT = 2
    """Ids of a text tokenizer."""
    SPECIAL = 3
    """Members of :class:`Special`."""
    PROMPT = 4
    """Learned prompt vectors, numbered from 0."""


class Special(IntEnum):
    """Tokens that stand for no node, relation or text; the same ids in every model."""

    PAD = 0
    """Never stored; rows of dense batches past the end of a sequence."""
    MASK = 1
    """Something to be predicted; `type` still says of which node type, −1 if it is no node."""
    BOS = 2
    EOS = 3
    SEP = 4
    UNK = 5
    """A node that the model's vocabulary does not hold."""
    CLS = 6
    """Where a vector of the whole sequence is read off."""
