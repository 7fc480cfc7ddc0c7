"""Position embeddings: a token's place in sequence and graph, and rotary angles."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.sparse import owners

ROTARY_BASE = 10_000.0


class StructuralEmbedding(nn.Module):
    """Sum of learned embeddings of integer columns of the tokens.

    Any column will do: type, slot, position, hop, parent (the precursor of CHEST, Wang et al.,
    2021), relation, the bucket of :func:`time_gap`. The value −1 (none) adds nothing.

    Args:
        sizes: Number of values of each column by name.
        width: D.
    """

    def __init__(self, sizes: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        # A module dict cannot hold "type", which is one of its own attributes: hence "of_type".
        self.tables = nn.ModuleDict(
            {f"of_{n}": nn.Embedding(size + 1, width, padding_idx=0) for n, size in sizes.items()}
        )

    def forward(self, x: Tensor, structure: Mapping[str, Tensor]) -> Tensor:
        """Return token vectors with their places added: ``[T, D]``.

        Args:
            x: ``[T, D]``.
            structure: int64 ``[T]`` by name, each in ``[−1, size)``; names without a table are
                left out.

        Raises:
            GraphRecError: When a column is missing, of another length or (on the CPU) too high.
        """
        for name, size in self.sizes.items():
            column = structure.get(name)
            if column is None:
                hint = did_you_mean(name, structure)
                raise GraphRecError("structure", f"a column {name!r}", "none", hint)
            if column.shape != x.shape[:1] or column.dtype != torch.int64:
                got = f"{column.dtype} {list(column.shape)}"
                raise GraphRecError("structure", f"{name} as int64 [{len(x)}]", got)
            if column.numel() and column.device.type == "cpu":
                low, high = (int(bound) for bound in torch.aminmax(column))
                if low < -1 or high >= size:
                    wrong = low if low < -1 else high
                    expected = f"{name} in [-1, {size})"
                    raise GraphRecError("structure", expected, wrong, "a larger size in the config")
            x = x + self.tables[f"of_{name}"](column + 1)
        return x


def time_gap(time: Tensor, ptr: Tensor, buckets: int) -> Tensor:
    """Return the bucket of the time since the token before: ``⌊log₂(1 + gap)⌋``.

    Args:
        time: int64 ``[T]``, in any unit; ``NO_TIME`` where there is none.
        ptr: int64 ``[B+1]``, where each sequence starts.
        buckets: Number of buckets; longer gaps fall into the last.

    Returns:
        int64 ``[T]`` in ``[−1, buckets)``; −1 for first tokens and unknown times. Time that runs
        backwards counts as no gap.
    """
    before = time.roll(1)
    known = (time != NO_TIME) & (before != NO_TIME)
    known[ptr[:-1][ptr.diff() > 0]] = False
    gap = torch.where(known, time - before, 0).clamp(min=0)
    bucket = torch.log2(1 + gap.double()).long().clamp(max=buckets - 1)
    return torch.where(known, bucket, -1)


def places(ptr: Tensor, tokens: int) -> Tensor:
    """Return the index of every token inside its sequence: int64 ``[T]``."""
    return torch.arange(tokens, device=ptr.device) - ptr[owners(ptr, tokens)]


def rotary(width: int, position: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of rotary positions (Su et al., "RoFormer", 2021).

    ``angle[t, i] = position[t] · base^(−2i/d)``; the product of a rotated query and a rotated key
    depends on their distance only.

    Args:
        width: d of a head, even.
        position: Integers ``[T]``; may be negative.

    Returns:
        Two float32 ``[T, 1, d/2]``.
    """
    step = torch.arange(0, width, 2, device=position.device, dtype=torch.float32)
    angle = position.float().view(-1, 1, 1) * ROTARY_BASE ** (-step / width)  # [T, 1, d/2]
    return angle.cos(), angle.sin()


def rotated(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn pairs ``(i, i + d/2)`` of each head.

    Args:
        heads: ``[T, H, d]``.
        turn: Cosines and sines ``[T, 1, d/2]``.
    """
    cos, sin = (part.to(heads.dtype) for part in turn)
    left, right = heads.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)
