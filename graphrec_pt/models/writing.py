"""Hidden states of texts in the making: a prompt once, then token by token with a cache.

A backbone with ``begin_writing`` and ``write`` keeps keys and values of what it has read. Any
other one reads the whole sequence anew for every token, which costs time and gives the same.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.attention import Mode
from graphrec_pt.models.cache import Cache
from graphrec_pt.models.model import Model
from graphrec_pt.models.prompt import PromptStates
from graphrec_pt.models.view import View
from graphrec_pt.tokens.join import side_by_side
from graphrec_pt.tokens.tokens import Tokens


@runtime_checkable
class CachingNetwork(Protocol):
    """A backbone that writes with a cache; :class:`~graphrec_pt.models.transformer.Transformer`."""

    def begin_writing(
        self,
        x: Tensor,
        ptr: Tensor,
        structure: dict[str, Tensor],
        prompt: PromptStates | None = None,
        *,
        mode: Mode | None = None,
        prefix: Tensor | None = None,
        edges: Tensor | None = None,
    ) -> tuple[Tensor, Cache]:
        """Return hidden states ``[T, D]`` of packed prompts, and their cache."""
        ...

    def write(self, x: Tensor, structure: dict[str, Tensor], cache: Cache) -> tuple[Tensor, Cache]:
        """Return the hidden state ``[n, D]`` of one more token of each sequence, and the cache."""
        ...


@dataclass(frozen=True, eq=False)
class Reading:
    """In place of a cache: the sequences so far, read anew for every token.

    Args:
        view: The sequences.
    """

    view: View

    def select(self, rows: Tensor) -> "Reading":
        """Return some of the sequences: int64 ``[m]``."""
        view = self.view

        def taken(column: Tensor | None) -> Tensor | None:
            return None if column is None else column.index_select(0, rows)

        tokens = view.tokens.select(rows)
        prefix, root, readable = map(taken, (view.prefix, view.root, view.readable))
        return Reading(replace(view, tokens=tokens, prefix=prefix, root=root, readable=readable))


def begin(model: Model, view: View, *, cached: bool = True) -> tuple[Tensor, Cache]:
    """Return the state after each prompt, ``[B, D]``, and what is needed to go on.

    Args:
        model: At rest.
        view: B prompts of at least one token, in mode ``"causal"`` or ``"prefix"``.
        cached: Keep keys and values, where the backbone can.

    Raises:
        GraphRecError: For an empty prompt.
    """
    tokens = view.tokens
    if bool((tokens.lengths() < 1).any()):
        raise GraphRecError("generate", "prompts of at least one token", "an empty one")
    last = tokens.ptr[1:] - 1
    network = model.backbone
    if not cached or not isinstance(network, CachingNetwork):
        return model.encode(view).hidden.index_select(0, last), Reading(view)
    prompt = None if model.prompt is None else model.prompt(view.of_prompt(), model)
    x, structure = model.inputs(tokens)
    hidden, cache = network.begin_writing(
        x,
        tokens.ptr,
        structure,
        prompt,
        mode=view.mode,
        prefix=view.prefix,
        edges=tokens.edges,
    )
    return hidden.index_select(0, last), cache


def write(model: Model, tokens: Tokens, cache: Cache) -> tuple[Tensor, Cache]:
    """Return the state after one more token of each sequence, ``[n, D]``, and the new cache.

    Args:
        model: At rest.
        tokens: n sequences of one token each, with their positions.
        cache: Of n sequences; it is used up.
    """
    if isinstance(cache, Reading):
        whole = side_by_side([cache.view.tokens, tokens])
        place = whole.ptr[1:] - 1
        position = whole.position.index_copy(0, place, tokens.position)
        view = replace(cache.view, tokens=replace(whole, position=position))
        return model.encode(view).hidden.index_select(0, place), Reading(view)
    network = model.backbone
    assert isinstance(network, CachingNetwork)
    x, structure = model.inputs(tokens)
    return network.write(x, structure, cache)
