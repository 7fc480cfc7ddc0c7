"""Floor 5: linearizers, from samples to packed tokens; tokenizers; the vocabulary; batches."""

from graphrec_pt.tokens import (  # noqa: F401 - registers their members
    history,
    identifiers,
    path,
    returns,
    subgraphs,
    template,
    text,
    verbalizer,
)
