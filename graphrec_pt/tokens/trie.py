"""A trie of names: which token may follow, so that only names that exist can be written."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.torch.segments import lower_bound, ranges


@dataclass(frozen=True, eq=False)
class Trie:
    """The prefixes of some names as states; state 0 is the empty prefix.

    Args:
        first: int64 ``[S+1]``, where the continuations of each state start.
        token: int64 ``[E]``, the token of each, ascending within a state.
        child: int64 ``[E]``, the state that it leads to.
        name: int64 ``[S]``, the name that ends at each state, −1 for none.
        depth: Tokens of the longest name.

    Example:
        >>> trie = Trie.of([[5, 7], [5]])
        >>> state = trie.step(torch.zeros(1, dtype=torch.int64), torch.tensor([5]))
        >>> trie.name[state].tolist(), trie.allowed(state)[1].tolist()
        ([1], [7])
    """

    first: Tensor
    token: Tensor
    child: Tensor
    name: Tensor
    depth: int

    @classmethod
    def of(cls, names: Sequence[Sequence[int]], shown: Sequence[str] | None = None) -> "Trie":
        """Return the trie of some names, numbered in their order.

        Args:
            names: Tokens of each name.
            shown: What each is called in errors; its tokens by default.

        Raises:
            GraphRecError: For no names, an empty one, and two that are equal.
        """

        def called(number: int) -> str:
            return repr(shown[number]) if shown is not None else str(list(names[number]))

        if not len(names):
            raise GraphRecError("trie", "at least one name", "none")
        length = np.array([len(name) for name in names])
        if not length.all():
            empty = int(length.argmin())
            raise GraphRecError("trie", "names of at least one token", f"{called(empty)}, empty")
        state = np.zeros(len(names), dtype=np.int64)
        parents, tokens, states = [], [], 1
        for place in range(int(length.max())):
            rows = np.flatnonzero(length > place)
            token = np.array([names[row][place] for row in rows.tolist()], dtype=np.int64)
            pairs = np.stack([state[rows], token], axis=1)
            fresh, number = np.unique(pairs, axis=0, return_inverse=True)
            state[rows] = states + number.reshape(-1)
            parents.append(fresh[:, 0])
            tokens.append(fresh[:, 1])
            states += len(fresh)
        kept, where = np.unique(state, return_index=True)
        if len(kept) < len(names):
            ordered = np.argsort(state, kind="stable")
            twice = np.flatnonzero(np.diff(state[ordered]) == 0)[0]
            pair = [called(int(number)) for number in ordered[twice : twice + 2]]
            got = f"{pair[0]} twice" if pair[0] == pair[1] else f"{pair[0]} and {pair[1]}"
            hint = "identifiers, or a column whose texts differ"
            raise GraphRecError("trie", "names that differ", got, hint)
        name = np.full(states, -1, dtype=np.int64)
        name[kept] = where
        # Fresh pairs come sorted by parent within a level, and parents of later levels are higher.
        parent, token = np.concatenate(parents), np.concatenate(tokens)
        first = np.concatenate([[0], np.bincount(parent, minlength=states).cumsum()])
        columns = (first, token, np.arange(1, states), name)
        tensors = [torch.from_numpy(np.ascontiguousarray(column)) for column in columns]
        return cls(tensors[0], tensors[1], tensors[2], tensors[3], depth=int(length.max()))

    def __len__(self) -> int:
        """How many names there are."""
        return int((self.name >= 0).sum())

    def to(self, device: torch.device | str) -> "Trie":
        """Return the same trie on another device."""
        return Trie(
            self.first.to(device),
            self.token.to(device),
            self.child.to(device),
            self.name.to(device),
            self.depth,
        )

    def allowed(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens that may follow: where those of each state start, and the tokens.

        Args:
            state: int64 ``[n]``.

        Returns:
            int64 ``[n+1]`` and int64 ``[M]``.
        """
        low = self.first[state]
        count = self.first[state + 1] - low
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        return ptr, self.token[ranges(low, count)[0]]

    def step(self, state: Tensor, token: Tensor) -> Tensor:
        """Return the states after one more token each, −1 where no name goes on so: int64 ``[n]``.

        Args:
            state: int64 ``[n]``.
            token: int64 ``[n]``.
        """
        if not len(self.token):
            return torch.full_like(state, -1)
        low, high = self.first[state], self.first[state + 1]
        at = lower_bound(self.token, low, high, token)
        inside = at.clamp(max=len(self.token) - 1)
        there = (at < high) & (self.token[inside] == token)
        return torch.where(there, self.child[inside], -1)
