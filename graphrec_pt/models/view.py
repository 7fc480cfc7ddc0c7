"""Views: the input of an encoder, and the hidden states that it returns."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.kernels.attention import Mode
from graphrec_pt.tokens.tokens import Tokens

POOLINGS = ("mean", "first", "last")


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """Tokens, and the attention mode among them.

    Args:
        tokens: The sequences.
        mode: What a token sees; the backbone's own mode by default.
        order: int64 ``[T]``, place of each token in the order of factorisation, for permuted modes.
        prefix: int64 ``[B]``, tokens of each sequence that all may see, for mode ``"prefix"``.
        two_stream: Whether a query stream is wanted, which knows the place of a token and not its
            content (XLNet, Yang et al., NeurIPS 2019).
        root: int64 ``[B]``, global id of the node that each sequence was sampled for, −1 for none;
            None where unknown. Personalised prompts need it.
        readable: int64 ``[B]``, tokens of each sequence, from its first, that a soft prompt may be
            made of: those before an answer. All by default.
    """

    tokens: Tokens
    mode: Mode | None = None
    order: Tensor | None = None
    prefix: Tensor | None = None
    two_stream: bool = False
    root: Tensor | None = None
    readable: Tensor | None = None

    def of_prompt(self) -> "View":
        """Return the view that a prompt encoder reads: nothing of an answer."""
        if self.readable is None:
            return self
        places = self.tokens.places()
        kept = places < self.readable[self.tokens.sequence_of()]
        tokens = self.tokens.take(kept.nonzero().squeeze(1))
        return View(tokens, root=self.root)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "View":
        """Return the same view on another device."""

        def moved(column: Tensor | None) -> Tensor | None:
            return None if column is None else column.to(device, non_blocking=non_blocking)

        tokens = self.tokens.to(device, non_blocking=non_blocking)
        return replace(
            self,
            tokens=tokens,
            order=moved(self.order),
            prefix=moved(self.prefix),
            root=moved(self.root),
            readable=moved(self.readable),
        )


@dataclass(frozen=True, eq=False, slots=True)
class Encoded:
    """Hidden states of a view.

    Args:
        view: The encoded view.
        hidden: ``[T, D]``.
        query: ``[T, D]``, hidden states of the query stream; None unless asked for.
    """

    view: View
    hidden: Tensor
    query: Tensor | None = None

    def pooled(self, how: str = "mean") -> Tensor:
        """Return one vector per sequence: ``[B, D]``; zeros for an empty one.

        Args:
            how: ``"mean"`` of the tokens, the ``"first"`` or the ``"last"``.

        Raises:
            GraphRecError: For another way.
        """
        if how not in POOLINGS:
            hint = did_you_mean(str(how), POOLINGS)
            raise GraphRecError("pooled", "a way to pool", repr(how), hint)
        ptr = self.view.tokens.ptr
        length = ptr.diff()
        if how == "mean":
            total = self.hidden.new_zeros(len(length), self.hidden.shape[1])
            total = total.index_add(0, self.view.tokens.sequence_of(), self.hidden)
            return total / length.clamp(min=1).unsqueeze(1)
        vectors = self.hidden.new_zeros(len(length), self.hidden.shape[1])
        some = (length > 0).nonzero().squeeze(1)
        place = ptr[:-1] if how == "first" else ptr[1:] - 1
        return vectors.index_copy(0, some, self.hidden.index_select(0, place[some]))
