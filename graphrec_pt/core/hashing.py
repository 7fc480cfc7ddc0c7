"""Stable hashes of words and names, which serve as ids without a vocabulary."""

import re
from hashlib import blake2b


def words_of(text: str) -> list[str]:
    """Return the lower-cased words of a text: runs of letters, digits and underscores."""
    return re.findall(r"\w+", text.lower())


def bucket_of(name: str, buckets: int) -> int:
    """Return the hash bucket of a name (hashing trick, Weinberger et al., ICML 2009)."""
    digest = blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets
