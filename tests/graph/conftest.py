"""Gives the tests of this folder the small graph."""

from tests.small_graph import toy_graph

__all__ = ["toy_graph"]
