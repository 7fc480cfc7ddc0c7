"""A soft prompt as backbones take it: tokens before the sequence, keys and values in each layer."""

from dataclasses import dataclass

from torch import Tensor

from graphrec_pt.core.errors import GraphRecError


@dataclass(frozen=True, eq=False, slots=True)
class Prompt:
    """What stands before every sequence; it takes no position away from the tokens.

    Args:
        tokens: Soft tokens ``[B, P, D]``, or ``[1, P, D]`` for all sequences (Lester et al.,
            "The power of scale for parameter-efficient prompt tuning", EMNLP 2021).
        keys: ``[layers, B or 1, H, P, d]``, seen by every token of the sequence in each layer
            (Li and Liang, "Prefix-tuning", ACL 2021). Comes with `values`; P may differ.
        values: Of the shape of `keys`.

    Raises:
        GraphRecError: For shapes that do not fit.
    """

    tokens: Tensor | None = None
    keys: Tensor | None = None
    values: Tensor | None = None

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens.ndim != 3:
            raise GraphRecError("Prompt", "tokens [B or 1, P, D]", list(self.tokens.shape))
        given = [None if x is None else list(x.shape) for x in (self.keys, self.values)]
        if given[0] != given[1] or (self.keys is not None and self.keys.ndim != 5):
            shapes = "keys and values [layers, B or 1, H, P, d], both or neither"
            raise GraphRecError("Prompt", shapes, f"{given[0]} and {given[1]}")

    def of_layer(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """Return keys and values ``[B or 1, H, P, d]`` of one layer."""
        if self.keys is None or self.values is None:
            return None
        return self.keys[layer], self.values[layer]
