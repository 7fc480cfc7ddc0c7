"""Words as numbers without a vocabulary: nothing to fit, nothing to keep."""

from dataclasses import dataclass
from functools import cache

from graphrec_pt.core.hashing import bucket_of, words_of

PREFIX = "hashed:"
"""What begins the name of such a tokenizer."""


@dataclass(frozen=True)
class HashedWords:
    """A tokenizer without a vocabulary: each lower-cased word to one of B buckets, for ever.

    The hashing trick (Weinberger et al., "Feature hashing for large scale multitask learning",
    ICML 2009); words are runs of letters, digits and underscores of any script. Recipes name it
    ``hashed:B``.

    Args:
        buckets: B.
    """

    buckets: int

    @property
    def name_or_path(self) -> str:
        """What a config calls it."""
        return f"{PREFIX}{self.buckets}"

    def encode(self, text: str) -> list[int]:
        """Return the bucket of every word."""
        return [bucket_of(word, self.buckets) for word in words_of(text)]

    def __len__(self) -> int:
        """B."""
        return self.buckets


@cache
def hashed_words(buckets: int) -> HashedWords:
    """Return one tokenizer for all who ask for as many buckets: they share what it has read."""
    return HashedWords(buckets)
