"""Key–value caches of Hugging Face models: decoders alone, and encoder–decoders."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

HIDDEN = -30_000.0
"""Added to a score that is not to be seen: its weight is 0, and float16 can still hold it."""


@dataclass(frozen=True, eq=False)
class HuggingFaceCache:
    """The state of n texts in the making.

    Args:
        cache: Of transformers; it is changed in place.
        real: bool ``[n, C]``, the places of the cache that hold a token, not padding.
        places: int64 ``[n]``, tokens of each text so far: the next one's place.
        memory: ``[n, S, H]``, states of an encoder that the texts attend to, or None.
        memory_seen: int64 ``[n, S]``, 0 where those are padding.
        places_given: Whether the model takes position ids; it counts tokens itself otherwise.
    """

    cache: Any
    real: Tensor
    places: Tensor
    memory: Tensor | None = None
    memory_seen: Tensor | None = None
    places_given: bool = False

    def select(self, rows: Tensor) -> "HuggingFaceCache":
        """Return the state of some texts, int64 ``[m]``; this state is used up."""
        self.cache.reorder_cache(rows)
        memory, seen = self.memory, self.memory_seen
        return replace(
            self,
            real=self.real.index_select(0, rows),
            places=self.places.index_select(0, rows),
            memory=None if memory is None else memory.index_select(0, rows),
            memory_seen=None if seen is None else seen.index_select(0, rows),
        )

    def read(self, stack: Any, x: Tensor, position: Tensor) -> tuple[Tensor, "HuggingFaceCache"]:
        """Return the state of one more token of each text: ``[n, H]``, and the new cache.

        Args:
            stack: The decoder.
            x: ``[n, H]``, token vectors.
            position: int64 ``[n]``, position ids, for models that take them.
        """
        real = torch.cat([self.real, torch.ones_like(self.real[:, :1])], dim=1)
        options: dict[str, Any] = {"past_key_values": self.cache, "use_cache": True}
        if self.places_given:
            options["position_ids"] = position.unsqueeze(1)
        if self.memory is not None:
            options["encoder_hidden_states"] = self.memory
            options["encoder_attention_mask"] = self.memory_seen
        mask = torch.zeros(real.shape, dtype=x.dtype, device=x.device).masked_fill(~real, HIDDEN)
        states = stack(inputs_embeds=x.unsqueeze(1), attention_mask=mask[:, None, None], **options)
        state: Tensor = states.last_hidden_state.squeeze(1)
        return state, replace(self, real=real, places=self.places + 1)
