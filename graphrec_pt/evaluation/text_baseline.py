"""Interfaces of systems and baselines that write texts about pairs."""

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from graphrec_pt.core.registry import Registry
from graphrec_pt.graph.graph import Graph


class KnownTexts(NamedTuple):
    """The texts of training edges, those without one left out.

    Args:
        source: Global ids of sources, one per text.
        target: Global ids of targets.
        text: The texts.
        graph: The training graph.
        relation: The predicted relation.
    """

    source: list[int]
    target: list[int]
    text: list[str]
    graph: Graph
    relation: str


class TextSystem(Protocol):
    """Writes a text about any pair."""

    def write(self, source: Tensor, target: Tensor, edge: Tensor) -> list[str]:
        """Return one text per pair: int64 ``[n]`` global ids each, and ids of the hidden edges.

        The edge only names the example, for draws and for what is hidden; its text is not read.
        """
        ...


@runtime_checkable
class LikelyTexts(Protocol):
    """A system that also knows how likely the references are."""

    def nll(self, source: Tensor, target: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
        """Return the negative log-likelihood of each reference in nats, and its tokens.

        Returns:
            float64 ``[n]`` and int64 ``[n]``; 0 tokens where there is no reference.
        """
        ...


class TextBaseline(Protocol):
    """Learns from texts of training edges; a frozen config."""

    def fit(self, known: KnownTexts) -> TextSystem:
        """Return the fitted baseline."""
        ...


text_baseline: Registry[TextBaseline] = Registry("text baseline")
"""``@text_baseline("name")`` makes a class usable as a baseline of the task ``text``."""
