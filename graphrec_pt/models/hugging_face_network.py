"""The network around a Hugging Face model: dense batches, masks of every mode, prompts."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.attention import Mode, seen
from graphrec_pt.kernels.sparse import check_ptr
from graphrec_pt.models.attention_probe import attention_violation
from graphrec_pt.models.base import Base
from graphrec_pt.models.encoder_decoder import dense, translated
from graphrec_pt.models.hugging_face_cache import HIDDEN, HuggingFaceCache
from graphrec_pt.models.positions import StructuralEmbedding, places
from graphrec_pt.models.prompt import PromptStates, with_soft_tokens
from graphrec_pt.models.word_head import WordHead, class_with_head, split_head


class Network(nn.Module):
    """Packed token vectors through a Hugging Face model.

    The mask of each mode is handed to the model as a whole (a 4D mask), so a decoder can look both
    ways and an encoder can be causal. Before a mode is first used, a probe of four tokens shows
    whether the model obeys; one that does not is refused.

    Of an encoder–decoder, mode ``"prefix"`` puts the first ``prefix[b]`` tokens through the encoder
    and the rest through the decoder, which sees them; the other modes use the encoder alone.

    Soft tokens stand at position 0, so that the tokens keep their positions; models without
    position ids (T5, BART) count for themselves, soft tokens included.

    Args:
        config: Config of the Hugging Face model.
        given: The model with its weights, or None to make a new one.
        width: D.
        mode: What a token sees by default.
        structure: Sizes of structural columns.
        words: Whether word embeddings are kept.
        head: Whether its language-model head is kept too; `given` then has one.
    """

    def __init__(
        self,
        config: Any,
        given: Any,
        width: int,
        mode: Mode,
        structure: Mapping[str, int | None],
        words: bool,
        head: bool = False,
    ) -> None:
        super().__init__()
        self.mode, self.width, self.keep_words, self.keep_head = mode, width, words, head
        self.config, self.hidden = config, int(config.hidden_size)
        sizes = {name: size or 0 for name, size in structure.items() if name != "position"}
        self.structure = StructuralEmbedding(sizes, width)
        same = width == self.hidden
        self.into = None if same else nn.Linear(width, self.hidden)
        self.out = None if same else nn.Linear(self.hidden, width)
        self.model: Any = None
        self.words: Any = None
        self.word_head: WordHead | None = None
        self.base: Base | None = None
        self._given = [given]  # in a list, so that it is no part yet, and is not emptied
        self._obeyed: set[tuple[str, bool]] = set()

    def initialise(self, draw: torch.Generator) -> None:
        """Copy the pre-trained weights, or draw new ones by the model's own rule."""
        import transformers

        model = self._given.pop()
        if model is None:
            seed = int(torch.randint(2**31, (), generator=draw))
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                name = class_with_head(self.config) if self.keep_head else "AutoModel"
                maker: Any = getattr(transformers, name)
                model = maker.from_config(self.config, trust_remote_code=False)
        if self.keep_head:
            model, self.word_head = split_head(model)
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # would be a weight that no loss reaches
        # Kept here under one name: encoder and decoder share them.
        self.words = model.get_input_embeddings() if self.keep_words else None
        model.set_input_embeddings(None)
        self.model = model
        for side in (self.into, self.out):
            if side is not None:  # keep the size of the vectors
                side.weight.normal_(0, side.in_features**-0.5, generator=draw)

    @property
    def text_embedding(self) -> nn.Embedding | None:
        """The model's word embeddings ``[V, D]``, if they are kept."""
        words: nn.Embedding | None = self.words
        return words

    @property
    def prompt_shape(self) -> tuple[int, int, int]:
        """Layers, heads and width of a head, which per-layer prompts must have."""
        config = self.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        wide = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
        return config.num_hidden_layers, heads, wide or self.hidden // config.num_attention_heads

    def forward(
        self,
        x: Tensor,
        ptr: Tensor,
        structure: Mapping[str, Tensor],
        prompt: PromptStates | None = None,
        *,
        mode: Mode | None = None,
        order: Tensor | None = None,
        prefix: Tensor | None = None,
        edges: Tensor | None = None,
    ) -> Tensor:
        """Return the hidden state of every token: ``[T, D]``.

        Args:
            x: ``[T, D]``, token vectors.
            ptr: int64 ``[B+1]``, where each sequence starts.
            structure: int64 ``[T]`` columns by name.
            prompt: Prompt states before the sequences.
            mode: See :func:`graphrec_pt.kernels.attention.attention`; that of the config by
                default.
            order: int64 ``[T]``, for mode ``"permuted"``.
            prefix: int64 ``[B]``, for mode ``"prefix"``.
            edges: Not used.

        Raises:
            GraphRecError: For shapes and columns that do not fit, and for what the model cannot do.
        """
        return self._read(x, ptr, structure, prompt, mode or self.mode, order, prefix)[0]

    @property
    def positions(self) -> int | None:
        """Number of positions; None for no bound that the config names."""
        room = getattr(self.config, "max_position_embeddings", None)
        return None if room is None else int(room) - self._first_position()

    def begin_writing(
        self,
        x: Tensor,
        ptr: Tensor,
        structure: Mapping[str, Tensor],
        prompt: PromptStates | None = None,
        *,
        mode: Mode | None = None,
        prefix: Tensor | None = None,
        edges: Tensor | None = None,
    ) -> tuple[Tensor, HuggingFaceCache]:
        """Return hidden states ``[T, D]`` as :meth:`forward` does, and the cache of the tokens.

        Args:
            x: ``[T, D]``, token vectors of the prompts; one token at least in each.
            ptr: int64 ``[B+1]``.
            structure: int64 ``[T]`` columns by name.
            prompt: Prompt states before the sequences.
            mode: ``"causal"`` or ``"prefix"``.
            prefix: int64 ``[B]``, for mode ``"prefix"``.
            edges: Not used.
        """
        from transformers import DynamicCache, EncoderDecoderCache

        mode = mode or self.mode
        if mode not in ("causal", "prefix"):
            raise GraphRecError("hugging_face", "mode 'causal' or 'prefix' to write", repr(mode))
        translates = self.config.is_encoder_decoder and mode == "prefix"
        if self.config.is_encoder_decoder and not translates:
            got = f"{self.config.model_type} in mode {mode!r}"
            raise GraphRecError("hugging_face", "mode 'prefix' to write", got, "mode: prefix")
        cache: DynamicCache | EncoderDecoderCache = DynamicCache()
        if translates:
            cache = EncoderDecoderCache(cache, DynamicCache())
        hidden, begun = self._read(x, ptr, structure, prompt, mode, None, prefix, cache)
        assert begun is not None
        return hidden, replace(begun, places=ptr.diff())

    def write(
        self, x: Tensor, structure: Mapping[str, Tensor], cache: HuggingFaceCache
    ) -> tuple[Tensor, HuggingFaceCache]:
        """Return the hidden state ``[n, D]`` of one more token of each sequence, and the new cache.

        Args:
            x: ``[n, D]``, token vectors.
            structure: int64 ``[n]`` columns by name.
            cache: Of n sequences; it is used up.
        """
        x = self.structure(x, structure)
        x = x if self.into is None else self.into(x)
        position = structure.get("position", cache.places) + self._first_position()
        stack = self.model if cache.memory is None else self.model.get_decoder()
        hidden, cache = cache.read(stack, x, position)
        return hidden if self.out is None else self.out(hidden), cache

    def _read(
        self,
        x: Tensor,
        ptr: Tensor,
        structure: Mapping[str, Tensor],
        prompt: PromptStates | None,
        mode: str,
        order: Tensor | None,
        prefix: Tensor | None,
        cache: Any = None,
    ) -> tuple[Tensor, HuggingFaceCache | None]:
        """Return hidden states ``[T, D]``, and what was put into a cache if one is given."""
        if x.ndim != 2 or x.shape[1] != self.width:
            expected = f"token vectors [T, {self.width}]"
            raise GraphRecError("hugging_face", expected, list(x.shape))
        check_ptr("hugging_face", ptr, len(x))
        x = self.structure(x, structure)
        position = structure.get("position")
        split = self.config.is_encoder_decoder and mode == "prefix"
        self._check_room(ptr, prefix if split else None)
        position = places(ptr, len(x)) if position is None else self._checked(position, ptr)
        kept_rows, soft = None, None if prompt is None else prompt.tokens
        if soft is not None:
            x, ptr, kept_rows, position, order, prefix, _ = with_soft_tokens(
                soft, x, ptr, position, order, prefix, None
            )
        if self.into is not None:
            x = self.into(x)
        deep = None
        if prompt is not None and prompt.keys is not None and prompt.values is not None:
            deep = self._checked_layers(prompt.keys, len(ptr) - 1), prompt.values
        begun = None
        if not len(x):
            hidden = x
        elif self.config.is_encoder_decoder and mode == "prefix":
            if deep is not None:
                raise GraphRecError("hugging_face", "no per-layer prompt", "an encoder–decoder")
            hidden, begun = translated(self.model, x, ptr, prefix, cache)
        else:
            self._check_obeys(mode, deep is not None)
            hidden, begun = self._masked(x, ptr, position, mode, order, prefix, deep, cache)
        if self.out is not None:
            hidden = self.out(hidden)
        return hidden if kept_rows is None else hidden.index_select(0, kept_rows), begun

    def two_stream(self, *given: Any, **options: Any) -> tuple[Tensor, Tensor]:
        """Refuse: a Hugging Face model has one stream.

        Raises:
            GraphRecError: Always.
        """
        raise GraphRecError("hugging_face", "one stream", "two_stream", "graph_transformer")

    def _masked(
        self,
        x: Tensor,
        ptr: Tensor,
        position: Tensor,
        mode: str,
        order: Tensor | None,
        prefix: Tensor | None,
        deep: tuple[Tensor, Tensor] | None,
        cache: Any = None,
    ) -> tuple[Tensor, HuggingFaceCache]:
        """Return hidden states ``[T, H]`` of one stack under the mask of a mode, and the cache."""
        if mode == "permuted_query":
            raise GraphRecError("hugging_face", "a mode of one stream", repr(mode), "permuted")
        sight = seen(ptr, mode, order, prefix)
        index, real = dense(ptr)  # [B, L]
        visible = real.unsqueeze(1).expand(-1, real.shape[1], -1)  # [B, L, L]
        if sight.rank is not None and sight.reach is not None:
            visible = visible & (sight.rank[index].unsqueeze(1) <= sight.reach[index].unsqueeze(2))
        mask = torch.zeros(visible.shape, dtype=x.dtype, device=x.device)
        mask = mask.masked_fill(~visible, HIDDEN).unsqueeze(1)  # [B, 1, L, L]
        options: dict[str, Any] = {}
        held = real  # [B, P + L]
        caching = cache is not None
        if caching:
            options["past_key_values"] = cache
        if deep is not None:
            from transformers import DynamicCache

            options["past_key_values"] = cache = DynamicCache() if cache is None else cache
            held = nn.functional.pad(real, (deep[0].shape[3], 0), value=True)
            for layer, (keys, values) in enumerate(zip(*deep, strict=True)):
                spread = (len(mask), -1, -1, -1)
                cache.update(keys.expand(spread), values.expand(spread), layer)
            mask = nn.functional.pad(mask, (deep[0].shape[3], 0))  # [B, 1, L, P + L]
        stack = self.model.get_encoder() if self.config.is_encoder_decoder else self.model
        takes = signature(stack.forward).parameters
        if "position_ids" in takes:
            options["position_ids"] = position.clamp(min=0)[index] + self._first_position()
        if "use_cache" in takes:
            options["use_cache"] = caching
        states = stack(inputs_embeds=x[index], attention_mask=mask, **options).last_hidden_state
        packed: Tensor = states[real]
        given = "position_ids" in takes
        return packed, HuggingFaceCache(cache, held, ptr.diff(), places_given=given)

    def _check_obeys(self, mode: str, deep: bool) -> None:
        """Raise unless the model respects the mask of a mode; checked before the first use."""
        if (mode, deep) in self._obeyed:
            return
        trained = self.model.training
        self.model.eval()
        try:
            some = next(self.model.parameters())
            shape = self.prompt_shape if deep else None
            run = partial(_states, self._masked)
            reason = attention_violation(run, mode, self.hidden, shape, some)
        finally:
            self.model.train(trained)
        if reason:
            what = f"a model that can do mode {mode!r}" + " with a per-layer prompt" * deep
            got = f"{self.config.model_type} ({reason})"
            raise GraphRecError("hugging_face", what, got, "graph_transformer")
        self._obeyed.add((mode, deep))

    def _first_position(self) -> int:
        """Return the id of the first position: RoBERTa starts after its padding."""
        for name, module in self.model.named_modules():
            if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
                return 0 if module.padding_idx is None else module.padding_idx + 1
        return 0

    def _check_room(self, ptr: Tensor, prefix: Tensor | None) -> None:
        """Raise for sequences that have more tokens than the model has positions."""
        if ptr.device.type != "cpu" or self.positions is None or len(ptr) < 2:
            return
        length = ptr.diff()
        longest = int((length if prefix is None else torch.max(prefix, length - prefix)).max())
        if longest > self.positions:
            expected = f"sequences of at most {self.positions} tokens, the model's positions"
            hint = "a shorter window, fewer tokens of each text, or another model"
            raise GraphRecError("hugging_face", expected, longest, hint)

    def _checked(self, position: Tensor, ptr: Tensor) -> Tensor:
        """Return positions; raise when the model has fewer."""
        if position.device.type != "cpu" or not position.numel():
            return position
        stack = self.model.get_encoder() if self.config.is_encoder_decoder else self.model
        if "position_ids" not in signature(stack.forward).parameters:
            if not torch.equal(position, places(ptr, len(position))):
                hint = "structure without position"
                got = f"{self.config.model_type}, which counts tokens itself"
                raise GraphRecError("hugging_face", "a model with position ids", got, hint)
            return position
        room = getattr(self.config, "max_position_embeddings", None)
        highest = int(position.max()) + self._first_position()
        if room is not None and highest >= room:
            raise GraphRecError("hugging_face", f"positions below {room}", highest)
        return position

    def _checked_layers(self, keys: Tensor, sequences: int) -> Tensor:
        layers, heads, wide = self.prompt_shape
        shape = list(keys.shape)
        if [shape[0], *shape[2:3], shape[4]] != [layers, heads, wide] or shape[1] not in (
            1,
            sequences,
        ):
            expected = f"prompt keys [{layers}, {sequences} or 1, {heads}, P, {wide}]"
            raise GraphRecError("hugging_face", expected, shape)
        return keys


def _states(run: Callable[..., tuple[Tensor, object]], *given: Any) -> Tensor:
    return run(*given)[0]
