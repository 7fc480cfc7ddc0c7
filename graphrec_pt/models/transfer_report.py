"""What a warm start matched."""

from collections.abc import Mapping
from dataclasses import dataclass

Hits = tuple[int, int]
"""How many were matched, of how many."""


@dataclass(frozen=True)
class Report:
    """What the new model has from the old one; ``str`` tells it to a person.

    Args:
        nodes: Node type → nodes of the new graph with a raw id that the old one had.
        relations: Relations of the new graph that the old one had, with the same ends.
        categories: ``"type.column"`` → values of category features that the old model knew.
        tensors: Weights of the new model that the old one filled, whole or in part.
        fresh: Weights of the new model that are as in a new one.
        lost: Weights of the old model that have no place in the new one.
    """

    nodes: Mapping[str, Hits]
    relations: Hits
    categories: Mapping[str, Hits]
    tensors: Hits
    fresh: tuple[str, ...]
    lost: tuple[str, ...]

    def __str__(self) -> str:
        counts = {
            **{f"nodes {name}": hits for name, hits in self.nodes.items()},
            "relations": self.relations,
            **{f"values {name}": hits for name, hits in self.categories.items()},
            "weights": self.tensors,
        }
        width = max(map(len, counts))
        digits = max(len(f"{hits:,}") for hits, _ in counts.values())
        lines = [
            f"{name:{width}}  {hits:{digits},} of {total:,} known"
            for name, (hits, total) in counts.items()
        ]
        lines += [f"as in a new model: {name}" for name in self.fresh]
        return "\n".join([*lines, *(f"left behind: {name}" for name in self.lost)])
