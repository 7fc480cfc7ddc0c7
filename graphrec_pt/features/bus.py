"""BusLM: segments of a text are encoded apart, and see one another's first states (SpeedyFeed)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.pretrained import layers_of


def bus_states(encoder: nn.Module, ids: Tensor, seen: Tensor, there: Tensor) -> Tensor:
    """Return the states of all tokens of segmented texts: ``[n, S, L, F]``.

    Before every layer but the first, the state of each segment's first token is put into stations
    that all segments of the text see (Xiao et al., KDD 2022). A token so attends to L + S − 1
    states in place of S · L. A segment's own first state is in its tokens and no station of it.

    Args:
        encoder: Its positions are in its embeddings, as in BERT, RoBERTa and DistilBERT.
        ids: int64 ``[n, S, L]``, padded.
        seen: bool ``[n, S, L]``, which are tokens.
        there: bool ``[n, S]``, which are segments.

    Raises:
        GraphRecError: For an encoder without layers, or with positions in its layers.
    """
    texts, segments, length = ids.shape
    flat = seen.reshape(-1, length)
    with _stations(encoder, flat, there):
        found: Any = encoder(input_ids=ids.reshape(-1, length), attention_mask=flat.long())
    states: Tensor = found.last_hidden_state
    return states.view(texts, segments, length, -1)


@contextmanager
def _stations(encoder: nn.Module, seen: Tensor, there: Tensor) -> Iterator[None]:
    """Put stations behind the tokens of every layer but the first, and take them off again."""
    layers = layers_of(encoder)
    if not len(layers):
        raise GraphRecError("text", "an encoder whose layers can be found", type(encoder).__name__)
    texts, segments = there.shape
    length = seen.shape[1]
    others = ~torch.eye(segments, dtype=torch.bool, device=there.device)
    stations = there.unsqueeze(1) & others  # [n, S, S]
    open_ = torch.cat([seen, stations.reshape(-1, segments)], dim=1)  # [n·S, L + S]

    def before(
        layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if named.get("position_embeddings") is not None:
            expected = "an encoder whose positions are in its embeddings, such as BERT"
            raise GraphRecError("text", expected, type(encoder).__name__, "segments: null")
        hidden: Tensor = inputs[0] if inputs else named["hidden_states"]
        first = hidden[:, 0].view(texts, 1, segments, -1).expand(-1, segments, -1, -1)
        hidden = torch.cat([hidden, first.reshape(len(hidden), segments, -1)], dim=1)
        mask = torch.zeros(open_.shape, dtype=hidden.dtype, device=hidden.device)
        mask = mask.masked_fill(~open_, torch.finfo(hidden.dtype).min)[:, None, None]
        if "hidden_states" in named:
            named = named | {"hidden_states": hidden}
        else:
            inputs = (hidden, *inputs[1:])
        if len(inputs) > 1:
            inputs = (inputs[0], mask, *inputs[2:])
        else:
            named = named | {"attention_mask": mask}
        return inputs, named

    def after(layer: nn.Module, inputs: tuple[Any, ...], made: Any) -> Any:
        if isinstance(made, Tensor):
            return made[:, :length]
        return (made[0][:, :length], *made[1:])

    hooks = [layer.register_forward_pre_hook(before, with_kwargs=True) for layer in layers[1:]]
    hooks += [layer.register_forward_hook(after) for layer in layers[1:]]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


Pooled = Callable[[Tensor, Tensor], Tensor]
"""From states ``[n, L, F]`` and which are there, bool ``[n, L]``, to one vector each."""


def pooled_segments(
    states: Tensor, seen: Tensor, there: Tensor, words: Pooled, texts: Pooled
) -> Tensor:
    """Return one vector for each text: its words are pooled to segments, and these to the text.

    Args:
        states: ``[n, S, L, F]``.
        seen: bool ``[n, S, L]``.
        there: bool ``[n, S]``, the first of each row.
        words: Pools the tokens of segments.
        texts: Pools the segments of texts.
    """
    some = there.reshape(-1).nonzero().squeeze(1)
    flat = states.reshape(-1, *states.shape[2:])
    vectors = words(flat[some], seen.reshape(-1, seen.shape[2])[some])
    every = flat.new_zeros(len(flat), flat.shape[2]).index_copy(0, some, vectors)
    return texts(every.view(*there.shape, -1), there)
