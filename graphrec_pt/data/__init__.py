"""Floor 3: cards, tables, readers, the build, bridges to other libraries and descriptions."""

from graphrec_pt.data import readers  # registers its members

__all__ = ["readers"]
