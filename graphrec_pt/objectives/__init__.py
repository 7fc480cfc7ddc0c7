"""Floor 7: objectives, corruption and loss, one file each."""

from graphrec_pt.objectives import masked_node  # registers its members

__all__ = ["masked_node"]
