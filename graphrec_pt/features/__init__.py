"""Floor 5: node featurizers, from nodes to vectors."""

from graphrec_pt.features import identity  # registers its members

__all__ = ["identity"]
